"""Trained models, kept as folders, and captions from them.

A `Captioner` is a model with its encoder; a `FastCaptioner` does without Keras. It is read from a model's weights or,
where that is impossible, from what `export` has written.
"""
