"""A mark for tests of what Keras computes that are slow to compile on other backends and show nothing more there."""

from __future__ import annotations

import pytest

from say_what_you_see.core.backend import keras

tensorflow_suffices = pytest.mark.skipif(
    keras.config.backend() != "tensorflow",
    reason="compiles for half a minute and shows nothing more than on TensorFlow",
)
