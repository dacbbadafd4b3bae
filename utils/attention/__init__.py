"""Visual attention: the model, its training, and where it looks."""
