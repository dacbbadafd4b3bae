"""The decoder's next word as a model of Keras: what the peers share that call it word by word."""

from __future__ import annotations

import numpy as np

from benchmarks.decoder_work import load_weights
from say_what_you_see.core.backend import keras

layers = keras.layers


def step_models(weights: dict[str, np.ndarray]) -> tuple[keras.Model, keras.Model]:
    """From features to the first [h, c], and from [words, h, c] to [logits, h, c], with the weights of the work."""
    shapes = {name: array.shape for name, array in weights.items()}
    (n_features, image), (units, logit) = shapes["image_bottleneck/0"], shapes["logit_bottleneck/0"]
    vocabulary, word_size = shapes["word_embedding/0"]
    features, words = layers.Input((n_features,)), layers.Input((), dtype="int32")
    h, c = layers.Input((units,)), layers.Input((units,))
    bottleneck = layers.Dense(image, activation="elu", name="image_bottleneck")(features)
    state = layers.Dense(units, activation="elu", name="initial_state")(bottleneck)
    embedded = layers.Embedding(vocabulary, word_size, name="word_embedding")(words)
    hidden, (new_h, new_c) = layers.LSTMCell(units, name="lstm")(embedded, [h, c])
    squeezed = layers.Dense(logit, activation="elu", name="logit_bottleneck")(hidden)
    logits = layers.Dense(vocabulary, name="logits")(squeezed)
    start, step = keras.Model(features, [state, state]), keras.Model([words, h, c], [logits, new_h, new_c])
    load_weights([*start.layers, *step.layers], weights)
    return start, step
