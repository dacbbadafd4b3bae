"""From captions to numbers: words, the vocabulary, padded matrices of word indices."""
