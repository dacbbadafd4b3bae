"""im2txt's "show and tell": a CNN and an LSTM in one model, from pixels to words, so that both can be trained.

Architecture after Vinyals et al. (2016, arXiv:1609.06647): the picture is the first thing that the LSTM reads.
"""

from dataclasses import dataclass
from typing import Any

from say_what_you_see.core.backend import keras

layers: Any = keras.layers
ops = keras.ops


@dataclass(frozen=True)
class ScaleModelConfig:
    """The sizes of the model, and the vocabulary that its ids belong to."""

    vocabulary_size: int  # number of ids, including UNK's
    vocabulary_sha256: str  # checksum of `word_counts.txt`: reveals other words under the same ids
    cnn: str = "inception_v3"  # name of the network that looks at the picture
    side: int = 299  # height and width of the pictures, in pixels
    embedding_size: int = 512  # length of the vectors of words and of the picture, which the LSTM reads alike
    lstm_units: int = 512  # length of the LSTM's state
    dropout: float = 0.3  # share of the LSTM's inputs and outputs that are dropped in training


class PictureEncoder(layers.Layer):
    """A CNN that always runs in inference mode, even while it is trained.

    So its BatchNorm normalises with the mean and variance that it learned in its first training. Those of a batch of
    a few dozen pictures would be noise, different on each device, and at inference there is no batch. Scale and shift,
    which follow the normalisation, are ordinary parameters and are trained in phase 2. `cnn(pictures, training=False)`
    in a functional model would not be enough: Keras overrides it when the whole model is called with `training=True`.

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
    hidden = layers.Dropout(config.dropout, name="hidden_dropout")(hidden[:, 1:])  # the picture itself predicts no word
    logits = layers.Dense(config.vocabulary_size, name="logits")(hidden)
    return keras.Model([pictures, words], logits, name="im2txt")
