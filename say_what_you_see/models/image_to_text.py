"""im2txt's "show and tell": a CNN and an LSTM in one model, from pixels to words, so that both can be trained.

Architecture after Vinyals, Toshev, Bengio and Erhan, "Show and Tell: Lessons learned from the 2015 MSCOCO Image
Captioning Challenge" (2016), https://arxiv.org/abs/1609.06647: the picture is the first thing that the LSTM reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.models.show_and_tell import show_and_tell_step_model
from say_what_you_see.vision.applications import find_application
from say_what_you_see.vision.efficientnet_lite import VARIANTS
from say_what_you_see.vision.encoders import (
    EncoderInfo,
    Preprocess,
    affine_preprocessing,
    encoder_for,
)

layers: Any = keras.layers
ops = keras.ops


@dataclass(frozen=True)
class ScaleModelConfig:
    """The sizes of the model, and the vocabulary that its ids belong to."""

    vocabulary_size: int  # number of ids, that of UNK included
    vocabulary_sha256: str  # checksum of `word_counts.txt`: other words under the same ids would be no error otherwise
    cnn: str = "inception_v3"  # name of the network that looks at the picture
    side: int = 299  # height and width of the pictures, in pixels
    embedding_size: int = 512  # length of the vectors for words and for the picture, which the LSTM reads alike
    lstm_units: int = 512  # length of the LSTM's state
    dropout: float = 0.3  # share of the LSTM's inputs and outputs that are left out in training


class PictureEncoder(layers.Layer):
    """A CNN that always runs in inference mode, also while it is trained.

    So its BatchNorm normalises with the mean and variance that it learned in its first training. Those of a batch of
    a few dozen pictures would be noise, on several devices different noise, and at inference there is no batch. Scale
    and shift, which follow the normalisation, are ordinary parameters and are trained in phase 2. `cnn(pictures,
    training=False)` in a functional model would not do: Keras overrides it when the whole model is called with
    `training=True`.

    Args:
        cnn: from pictures (batch, side, side, 3) to features (batch, features).
    """

    def __init__(self, cnn: keras.Model, **options) -> None:
        super().__init__(**options)
        self.cnn = cnn

    def call(self, pictures):
        return ops.cast(self.cnn(pictures, training=False), "float32")


def build_scale_model(config: ScaleModelConfig, cnn: keras.Model) -> keras.Model:
    """Build the model: [pictures (batch, side, side, 3) from -1 to 1, words (batch, steps)] to the logits of each
    next word (batch, steps, vocabulary_size).

    The features are normalised, picture by picture: how large they are depends on the CNN and on the side of the
    pictures, and the LSTM should not have to adapt to that.

    Args:
        cnn: from pictures from -1 to 1 to features (batch, features), as `cnn_for` makes it.
    """
    pictures = layers.Input((config.side, config.side, 3), name="pictures")
    words = layers.Input((None,), dtype="int32", name="words")

    features = PictureEncoder(cnn, name="picture_encoder")(pictures)
    features = layers.LayerNormalization(center=False, scale=False, name="features")(features)
    picture_embed = layers.Dense(config.embedding_size, name="picture_embedding")(features)
    word_embeds = layers.Embedding(config.vocabulary_size, config.embedding_size, name="word_embedding")(words)

    sequence = ops.concatenate([picture_embed[:, None], word_embeds], axis=1)
    sequence = layers.Dropout(config.dropout, name="input_dropout")(sequence)
    hidden = layers.LSTM(config.lstm_units, return_sequences=True, name="lstm")(sequence)
    hidden = layers.Dropout(config.dropout, name="hidden_dropout")(hidden[:, 1:])  # after the picture no word is due
    logits = layers.Dense(config.vocabulary_size, name="logits")(hidden)
    return keras.Model([pictures, words], logits, name="im2txt")


def image_to_text_step_model(model: keras.Model) -> KerasStepModel:
    """The model as one that predicts a single next word, from pictures (batch, side, side, 3) from -1 to 1."""
    return show_and_tell_step_model(model, "picture_embedding")


# The CNN


def encoder_side_length(settings: Settings) -> int:
    """Height and width of the pictures that the settings' encoder was trained on; reads no weights of InceptionV3."""
    if settings.encoder.endswith(".keras"):
        return encoder_for(settings).input_shape[0]
    if settings.encoder in VARIANTS:
        return VARIANTS[settings.encoder].input_size
    return find_application(settings.encoder).input_shape[0]


def cnn_for(settings: Settings, side: int | None = None) -> keras.Model:
    """The settings' encoder with its trained weights, for pictures from -1 to 1 of any side that it can take.

    Args:
        side: height and width of the pictures; None takes the size that the encoder was trained on.
    """
    encoder = encoder_for(settings)
    side = side or encoder.input_shape[0]
    try:
        return _on_pictures_of(encoder, side)
    except ValueError as error:  # from Keras, where the layers do not fit each other
        height, width = encoder.input_shape
        raise CourseError(
            f"The encoder {encoder.name} takes no pictures of {side} x {side} pixels. It was trained on {height} x "
            f"{width}: choose another side, or an encoder that takes squares of any size."
        ) from error


def _on_pictures_of(encoder: EncoderInfo, side: int) -> keras.Model:
    """The encoder for pictures from -1 to 1 of another side: convolutions do not mind how large a picture is."""
    network = encoder.model
    if encoder.input_shape != (side, side):
        functional = keras.Model(encoder.model.inputs, encoder.model.outputs)  # also of a Sequential one
        network = keras.models.clone_model(functional, input_tensors=[layers.Input((side, side, 3))])
        network.set_weights(encoder.model.get_weights())
    pictures = layers.Input((side, side, 3), name="pixels")
    features = network(_preprocessed(pictures, encoder.preprocess_for_model))
    return keras.Model(pictures, features, name=encoder.name)


def _preprocessed(pictures: keras.KerasTensor, preprocess: Preprocess) -> keras.KerasTensor:
    """Bring pictures from -1 to 1 into the range that an encoder was trained on."""
    scale, black, reverse = affine_preprocessing(preprocess)
    factor, offset = 127.5 * np.array(scale), np.array(black)  # from -1 to 1 are 2, from 0 to 255 are 255
    if np.allclose(factor, 1, atol=1e-3) and np.allclose(offset, -1, atol=1e-3):
        return pictures
    if reverse:
        pictures = ops.flip(pictures, axis=-1)
    return layers.Rescaling(factor.tolist(), (offset + factor).tolist())(pictures)


def train_cnn(model: keras.Model, train_inception: bool) -> None:
    """Decide whether the parameters of the CNN are trained (phase 2) or kept as they are (phase 1)."""
    model.get_layer("picture_encoder").trainable = train_inception


def set_precision(cnn: keras.Model, policy: str) -> None:
    """Have the CNN compute in a Keras dtype policy such as "mixed_bfloat16".

    The parameters stay float32, so that a checkpoint does not depend on the policy. The LSTM and what is around it
    are float32 in any case: they are a hundredth of the arithmetic.
    """
    for layer in cnn.layers:
        if isinstance(layer, keras.Model):
            set_precision(layer, policy)
        elif not isinstance(layer, layers.InputLayer):
            layer.dtype_policy = keras.dtype_policies.get(policy)
