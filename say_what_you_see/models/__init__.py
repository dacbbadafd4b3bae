"""The decoders: the bottlenecked LSTM, show-and-tell, visual attention, and the CNN with an LSTM that trains as one.

Each also gives the step function that `decoding` calls. Losses and optimizers live in `training`.
"""
