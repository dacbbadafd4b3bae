"""Show and Tell: the picture as the first word of the LSTM."""
