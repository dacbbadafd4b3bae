"""From a model and examples to trained weights: batches, losses, the loop, checkpoints; no files of the course.

`packed` trains the same without padding, `scale` on sharded records and several devices.
"""
