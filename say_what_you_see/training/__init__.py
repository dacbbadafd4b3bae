"""From a model and examples to trained weights: batches, losses, the loop, checkpoints; no files of the course.

`self_critical` goes on with trained weights, for the CIDEr of captions that the model samples (`cider_reward`).
`packed` trains the same without padding, `scale` on sharded records and several devices.
"""
