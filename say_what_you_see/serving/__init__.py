"""Trained models as folders, and captions from them.

A `Captioner` is a model with its encoder; `export` writes what it takes to start it without Keras, which `exported`
runs; `from_weights` starts without Keras where no export is needed.
"""
