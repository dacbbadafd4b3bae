"""Trained models as folders, and captions from them.

Model folders are saved and loaded (`model_folder`), chosen (`model_choice`), brought in and given away
(`model_install`). A `Captioner` is a model with its encoder; `export` writes a copy of it that starts without Keras,
which `exported` runs; `from_weights` starts without Keras where no such copy is needed. `caption_photos` captions any
number of pictures with any of them, and `familiarity` says which captions not to believe. Pages and commands are not
here.
"""
