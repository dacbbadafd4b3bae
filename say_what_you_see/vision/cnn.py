"""The encoder as a network to train further: from pictures in -1..1, of any side that it can take, to features."""

from __future__ import annotations

from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.vision.applications import find_application
from say_what_you_see.vision.efficientnet_lite import VARIANTS
from say_what_you_see.vision.encoders import Preprocess, affine_preprocessing, encoder_for

layers: Any = keras.layers
ops = keras.ops


def encoder_side_length(settings: Settings) -> int:
    """Height and width of the pictures that the settings' encoder was trained on; loads only `.keras` files."""
    if settings.encoder.endswith(".keras"):
        return encoder_for(settings).input_shape[0]
    if settings.encoder in VARIANTS:
        return VARIANTS[settings.encoder].input_size
    return find_application(settings.encoder).input_shape[0]


def cnn_for(settings: Settings, side: int | None = None) -> keras.Model:
    """The settings' encoder with its trained weights, for pictures in -1..1 of any side that it can take.

    Args:
        side: height and width of the pictures; None takes the size that the encoder was trained on.
    """
    encoder = encoder_for(settings)
    network, (height, width) = encoder.model, encoder.input_shape
    side = side or height
    try:
        if (height, width) != (side, side):  # convolutions work on pictures of any size
            functional = keras.Model(network.inputs, network.outputs)  # even if it is Sequential
            resized = keras.models.clone_model(functional, input_tensors=[layers.Input((side, side, 3))])
            resized.set_weights(network.get_weights())
            network = resized
        pictures = layers.Input((side, side, 3), name="pixels")
        features = network(_preprocessed(pictures, encoder.preprocess_for_model))
        return keras.Model(pictures, features, name=encoder.name)
    except ValueError as error:  # from Keras, if the layers do not fit each other
        raise CourseError(
            f"The encoder {encoder.name} cannot take pictures of {side} x {side} pixels. It was trained on {height} x "
            f"{width}: choose another side, or an encoder that takes squares of any size."
        ) from error


def _preprocessed(pictures: keras.KerasTensor, preprocess: Preprocess) -> keras.KerasTensor:
    """Bring pictures in -1..1 into the range that an encoder was trained on."""
    scale, black, reverse = affine_preprocessing(preprocess)
    factor, offset = 127.5 * np.array(scale), np.array(black)  # -1..1 spans 2, 0..255 spans 255
    if np.allclose(factor, 1, atol=1e-3) and np.allclose(offset, -1, atol=1e-3):
        return pictures
    if reverse:
        pictures = ops.flip(pictures, axis=-1)
    return layers.Rescaling(factor.tolist(), (offset + factor).tolist())(pictures)
