"""Embeddings and captions of any number of pictures on one machine or many, with Ray Data.

Ray is an optional requirement (`requirements-ray.txt`) and imported only when it is asked for. How the work is divided
is described in docs/cluster.md.
"""
