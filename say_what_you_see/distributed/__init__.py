"""Embeddings and captions of any number of pictures on one machine or many, with Ray Data.

Ray is an optional requirement (`requirements-ray.txt`) and imported only where it is asked for. Tasks read and decode
pictures, workers that each hold one model embed or caption them, and the process that was started writes what comes
back, in order. So only that process needs to reach the folder of the results, and all nodes the pictures.
"""
