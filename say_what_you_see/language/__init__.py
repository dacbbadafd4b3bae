"""From captions to numbers: words, the vocabulary, padded matrices of word indices, and back to sentences.

Converting captions from other file formats to COCO's belongs in `say_what_you_see.data`.
"""
