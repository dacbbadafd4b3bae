"""Trained models without Keras: exported once, they start in a moment and run on the quickest engine at hand."""
