"""One step of training, written out: what `loop` has Keras do, faster, for every batch."""

from collections.abc import Callable

import tensorflow as tf

from say_what_you_see.core.backend import keras
from say_what_you_see.training.examples import Batch


def training_step(decoder: keras.Model, batch: Batch, loss: Callable, optimizer: keras.optimizers.Optimizer) -> float:
    """Change a decoder's weights so that a batch's next words surprise it less; return the loss before the change.

    Args:
        batch: ((image embeddings, words), next words).
        loss: a function from next words and logits to one number, such as `masked_crossentropy` makes.
    """
    (image_embeds, words), next_words = batch
    with tf.GradientTape() as tape:
        logits = decoder([image_embeds, words], training=True)
        L = loss(next_words, logits)
    gradients = tape.gradient(L, decoder.trainable_variables)
    optimizer.apply(gradients, decoder.trainable_variables)
    return float(L)
