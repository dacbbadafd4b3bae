"""Training without padding: the same weights after the same batches, in about half the time.

`decoder` computes the logits of real words only, on every backend; `tensorflow` leaves padding out of the LSTM as well,
with gradients written by hand; `choose_packed_decoder` picks one. Both train the decoder's own layers in place.
"""
