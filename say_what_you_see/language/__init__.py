"""From captions to numbers: words, the vocabulary, padded matrices of word indices, and back to sentences."""
