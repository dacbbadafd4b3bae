"""Training without padding: the same weights after the same batches, in about half the time.

`decoder` computes the logits of real words only, on every backend; `transformer` leaves padding out of the transformer
as well, and `lstm` out of the LSTM, on TensorFlow; `choice` picks one of them. All train the decoder's own layers in
place. `tensorflow` has a faster loss and optimizer.
"""
