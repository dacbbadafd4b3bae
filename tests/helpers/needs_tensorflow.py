"""Imported by test modules that run on TensorFlow only: where Keras computes with something else, they are skipped."""

import pytest

from say_what_you_see.core.backend import keras

if keras.config.backend() != "tensorflow":
    pytest.skip("needs KERAS_BACKEND=tensorflow", allow_module_level=True)
