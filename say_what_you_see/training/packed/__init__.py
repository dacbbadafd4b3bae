"""Training without padding: the same weights after the same batches, in about half the time.

`decoder` computes the logits of real words only, on every backend; `tensorflow` leaves padding out of the LSTM as well,
with gradients written by hand, and `transformer` out of the transformer; `choose_packed_decoder` picks one. All train
the decoder's own layers in place.
"""
