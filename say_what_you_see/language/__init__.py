"""From captions to numbers: words, the vocabulary, padded matrices of word indices, and back to sentences.

Captions come in COCO's format, or as a table beside its features. How captions in any other file format become COCO's
belongs in `say_what_you_see.data` (`caption_files.py` for what users bring, a module for each published data set);
what is trained on the matrices is in `say_what_you_see.training`.
"""
