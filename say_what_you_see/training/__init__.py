"""From a model and examples to trained weights: batches, losses, the loop, checkpoints; without the course's files.

`self_critical` trains trained weights further, to raise the CIDEr of sampled captions (`cider_reward`). `packed` does
the same training without padding, `scale` trains on sharded records and several devices.
"""
