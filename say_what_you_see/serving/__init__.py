"""Trained models, kept as folders, and captions from them.

A `Captioner` is a model with its encoder; `export` writes what is needed to start one without Keras, and `exported`
runs that; `from_weights` starts without Keras where no export is needed.
"""
