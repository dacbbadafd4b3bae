"""Cross-entropy and accuracy over real words: padding never counts."""

from collections.abc import Callable
from typing import Any

from say_what_you_see.core.backend import keras

ops = keras.ops
Tensor = Any


def masked_crossentropy(pad_idx: int) -> Callable:
    """The loss: cross-entropy in nats, averaged over real words only.

    PAD was added so that captions fit into a matrix; predicting it is no achievement.
    """

    def loss(next_words, logits):
        real = ops.cast(ops.not_equal(next_words, pad_idx), logits.dtype)
        crossentropy = keras.losses.sparse_categorical_crossentropy(next_words, logits, from_logits=True)
        return ops.sum(crossentropy * real) / ops.maximum(ops.sum(real), 1)

    return loss


def smoothed_crossentropy(pad_idx: int, label_smoothing: float) -> Callable:
    """The same with a share of each target spread over all words, so that no probability is driven to 1."""
    masked = masked_crossentropy(pad_idx)

    def loss(next_words, logits):
        real = ops.cast(ops.not_equal(next_words, pad_idx), logits.dtype)
        of_all_words = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)
        uniform = ops.sum(of_all_words * real) / ops.maximum(ops.sum(real), 1)
        return (1 - label_smoothing) * masked(next_words, logits) + label_smoothing * uniform

    return loss


def masked_accuracy(pad_idx: int) -> Callable:
    """The share of real words that were predicted right, given the true words before them."""

    def accuracy(words, logits):
        words = ops.cast(words, "int32")
        real = ops.cast(ops.not_equal(words, pad_idx), "float32")
        right = ops.cast(ops.equal(ops.argmax(logits, axis=-1), words), "float32")
        return ops.sum(right * real) / ops.maximum(ops.sum(real), 1)

    return accuracy


def masked_sums(targets: Tensor, logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the cross-entropies of the real words, in nats, and the number of real words.

    Unlike means, sums over parts of a batch can be added up.

    Args:
        targets: (batch, steps) indices of the words to predict.
        logits: (batch, steps, vocabulary).
        mask: (batch, steps), 1 for real words and 0 for padding.
    """
    crossentropy = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
    return ops.sum(crossentropy * mask), ops.sum(mask)
