"""Training without padding: the same weights after the same batches, in about half the time.

A caption of 10 words in a row of 20 is half padding. The loss leaves padding out, but only after the most expensive
product of a step, that with the vocabulary, was computed for it. `decoder` computes the logits of real words only, on
every backend; `tensorflow` leaves padding out of the LSTM as well, with gradients written by hand; `choice` picks one.
All train the decoder's own layers in place.
"""
