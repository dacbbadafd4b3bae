"""Trained models as folders, and captions from them.

Model folders are saved and loaded (`model_folder`), chosen (`model_choice`), brought in and given away
(`model_install`). A `Captioner` is a model with its encoder; `export` writes a copy of it that starts without Keras,
which `exported` runs. `caption_photos` captions any number of pictures with either. Pages and commands are not here.
"""
