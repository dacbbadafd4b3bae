"""The decoders: the bottlenecked LSTM, show-and-tell, visual attention, the transformer, and a CNN and LSTM trained
together.

Each also provides the step function that `decoding` calls. Losses and optimizers live in `training`.
"""
