"""The decoder: an LSTM that starts from a picture and predicts a caption word by word.

Architecture after Karpathy and Fei-Fei (2015, arXiv:1412.2306) and Vinyals et al. (2015,
arXiv:1411.4555), with bottlenecks before and after the LSTM that keep the number of parameters low.
"""

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.models.keras_step import KerasStepModel

layers, ops = keras.layers, keras.ops


def build_decoder(
    vocab_size: int,
    feature_size: int,
    image_bottleneck: int = 120,
    word_size: int = 100,
    lstm_units: int = 300,
    logit_bottleneck: int = 120,
    dropout: float = 0.0,
) -> keras.Model:
    """Build the bottlenecked decoder: a model from [image embeddings (batch, feature_size), words (batch, steps)]
    to the logits of each next word (batch, steps, vocab_size).
    """
    image_embeds = layers.Input((feature_size,), name="image_embeds")
    words = layers.Input((None,), dtype="int32", name="words")

    standardised = layers.Normalization(name="standardise")(image_embeds)
    bottleneck = layers.Dense(image_bottleneck, activation="elu", name="image_bottleneck")(standardised)
    bottleneck = layers.Dropout(dropout, name="image_dropout")(bottleneck)
    state = layers.Dense(lstm_units, activation="elu", name="initial_state")(bottleneck)

    word_embeds = layers.Embedding(vocab_size, word_size, name="word_embedding")(words)
    hidden = layers.LSTM(lstm_units, return_sequences=True, name="lstm")(word_embeds, initial_state=[state, state])
    hidden = layers.Dropout(dropout, name="hidden_dropout")(hidden)
    squeezed = layers.Dense(logit_bottleneck, activation="elu", name="logit_bottleneck")(hidden)
    logits = layers.Dense(vocab_size, name="logits")(squeezed)
    return keras.Model([image_embeds, words], logits, name="decoder")


def fit_standardisation(decoder: keras.Model, image_embeds: np.ndarray, rows: int = 5_000) -> None:
    """Let the decoder's first layer learn mean and variance of the features from some of the pictures.

    A feature that hardly varies in these pictures is not blown up if it varies in another one.

    Args:
        image_embeds: (pictures, features), possibly memory-mapped.
        rows: fewer than twice this many pictures are used, evenly spread.
    """
    step = max(1, len(image_embeds) // rows)
    layer = decoder.get_layer("standardise")
    layer.adapt(np.asarray(image_embeds[::step], dtype=np.float32))
    variance = ops.convert_to_numpy(layer.adapt_variance)
    layer.adapt_variance.assign(np.maximum(variance, 1e-4 * variance.mean()))
    layer.finalize_state()


def decoder_step_model(decoder: keras.Model) -> KerasStepModel:
    """Rearrange the layers of a trained decoder to predict a single next word; its state is the LSTM's h and c."""
    lstm, state = decoder.get_layer("lstm"), decoder.get_layer("initial_state").output
    start_model = keras.Model(decoder.inputs[0], [state, state])

    word = layers.Input((), dtype="int32")
    h, c = layers.Input((lstm.units,)), layers.Input((lstm.units,))
    word_embed = decoder.get_layer("word_embedding")(word)
    hidden, (new_h, new_c) = lstm.cell(word_embed, [h, c])
    logits = decoder.get_layer("logits")(decoder.get_layer("logit_bottleneck")(hidden))
    return KerasStepModel(start_model, keras.Model([word, h, c], [logits, new_h, new_c]))
