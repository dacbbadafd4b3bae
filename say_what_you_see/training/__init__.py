"""From a model and a data set to trained weights: batches, losses, the loop, checkpoints; sharded records and several devices."""
