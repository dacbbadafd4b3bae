"""Training without padding: the same weights after the same batches, in about half the time.

`decoder` computes the logits of real words only, on every backend, and picks the fastest way; `tensorflow` leaves
padding out of the LSTM as well, with gradients written by hand. Both train the decoder's own layers in place.
"""
