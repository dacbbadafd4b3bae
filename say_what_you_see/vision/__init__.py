"""From the bytes of a picture to an embedding: decoding and cropping, encoders, extraction."""
