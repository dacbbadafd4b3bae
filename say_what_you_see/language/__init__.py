"""From captions to numbers: words, the vocabulary, padded matrices of word indices, and back to sentences.

How captions in any other file format become COCO's belongs in `say_what_you_see.data`.
"""
