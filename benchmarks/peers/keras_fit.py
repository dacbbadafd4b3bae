"""The decoder as one writes it with Keras: layers, `compile`, `fit`; padding is left out of the loss by an option."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.decoder_work import load_weights
from benchmarks.stage import Sample
from benchmarks.stages.decoder_training import (
    CHECKED_LOSSES,
    CLIP,
    EPSILON,
    LEARNING_RATE,
    PAD,
    batches_in_order,
    repetition,
)


def train(work: dict) -> Callable[[], Sample]:
    """Train with `fit` on arrays."""
    from say_what_you_see.core.backend import keras

    model = build(work)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD)
    model.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=CLIP, epsilon=EPSILON), loss)
    embeds, words, targets = (np.concatenate(parts) for parts in zip(*batches_in_order(work), strict=True))
    means: list[float] = []
    remember = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: means.append(logs["loss"]))

    def run() -> tuple[float, list[float]]:
        means.clear()
        begun = time.perf_counter()
        model.fit([embeds, words], targets, work["batch"], shuffle=False, verbose=0, callbacks=[remember])
        seconds = time.perf_counter() - begun
        first = np.array(means[:CHECKED_LOSSES], dtype=float)
        return seconds, np.diff(np.arange(1, len(first) + 1) * first, prepend=0.0).tolist()

    return repetition(work["steps"], run)


def build(work: dict):
    """The model, with the weights of the start."""
    from say_what_you_see.core.backend import keras

    layers, weights = keras.layers, np.load(work["weights"])
    embeds, words = layers.Input((work["features"],)), layers.Input((None,), dtype="int32")
    mean, variance = weights["standardise/0"], weights["standardise/1"]
    x = layers.Normalization(mean=mean, variance=variance, name="standardise")(embeds)
    x = layers.Dense(work["image"], activation="elu", name="image_bottleneck")(x)
    state = layers.Dense(work["units"], activation="elu", name="initial_state")(x)
    x = layers.Embedding(work["words"], work["word"], name="word_embedding")(words)
    x = layers.LSTM(work["units"], return_sequences=True, name="lstm")(x, initial_state=[state, state])
    x = layers.Dense(work["logit"], activation="elu", name="logit_bottleneck")(x)
    model = keras.Model([embeds, words], layers.Dense(work["words"], name="logits")(x))
    load_weights(model.layers, weights)
    return model
