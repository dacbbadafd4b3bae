"""The quick ways of the course: captions prepared a piece at a time, and trained models without Keras, which are
exported once, start in a moment and run on the quickest engine at hand.
"""
