"""The decoder as one trains it with Keras: `compile`, `fit` on arrays; padding is left out of the loss by an option."""

from __future__ import annotations

import numpy as np

from benchmarks.stage import Repetition
from benchmarks.stages.decoder_training import (
    CLIP,
    EPSILON,
    LEARNING_RATE,
    PAD,
    batches_in_order,
    first_losses,
    keras_losses,
    loaded_decoder,
)


def train(work: dict) -> Repetition:
    """Train with `fit` on arrays."""
    from say_what_you_see.core.backend import keras

    model = loaded_decoder(work)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD)
    model.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=CLIP, epsilon=EPSILON), loss)
    embeds, words, targets = (np.concatenate(parts) for parts in zip(*batches_in_order(work), strict=True))
    remember, losses = keras_losses()

    def run() -> list[float]:
        model.fit([embeds, words], targets, work["batch"], shuffle=False, verbose=0, callbacks=[remember])
        return losses

    return first_losses(work["steps"], run)
