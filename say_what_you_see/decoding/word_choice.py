"""Ways of choosing the next word by its probability: the most probable one, or one drawn at random."""

from __future__ import annotations

from typing import Any

from say_what_you_see.core.backend import keras

ops = keras.ops
Tensor = Any


def apply_temperature(probabilities: Tensor, t: float | Tensor) -> Tensor:
    """Sharpen (t < 1) or flatten (t > 1) a probability distribution: p ** (1 / t), scaled to sum to 1.

    Args:
        probabilities: (..., words), each row sums to 1.
        t: temperature, greater than 0.

    Raises:
        ValueError: if t is not greater than 0.
    """
    if isinstance(t, (int, float)):
        if not t > 0:
            raise ValueError(
                f"The temperature must be greater than 0, not {t}. The most probable word needs no sampling."
            )
        t = min(max(t, 1e-30), 1e30)  # beyond, 32 bits end; nothing changes there any more
    logs = ops.log(probabilities)  # p ** (1 / t) itself may be too small for a float
    return ops.softmax((logs - ops.max(logs, axis=-1, keepdims=True)) / t, axis=-1)


def keep_top_k(probabilities: Tensor, k: int) -> Tensor:
    """Set all but the k largest probabilities of each row to 0; what is as large as the last of them stays, too."""
    smallest_kept = ops.top_k(probabilities, min(k, probabilities.shape[-1]))[0][..., -1:]
    return ops.where(ops.greater_equal(probabilities, smallest_kept), probabilities, 0)


def keep_top_p(probabilities: Tensor, p: float) -> Tensor:
    """Keep the fewest most probable words of each row whose probabilities sum to p or more; the others become 0."""
    falling = ops.flip(ops.sort(probabilities, axis=-1), axis=-1)
    before = ops.cumsum(falling, axis=-1) - falling
    kept = ops.where(before < p * ops.sum(probabilities, axis=-1, keepdims=True), falling, 2.0)
    return ops.where(ops.greater_equal(probabilities, ops.min(kept, axis=-1, keepdims=True)), probabilities, 0)


def sample_rows(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """One index a row (rows,), drawn by the row's probabilities (rows, words), which need not sum to 1.

    Args:
        uniform: a random number from 0 to 1 for each row, (rows,).
    """
    thresholds = ops.cumsum(probabilities, axis=-1)
    total = thresholds[:, -1:]
    drawn = ops.minimum(ops.cast(uniform, total.dtype)[:, None], 1 - 1e-6) * total
    return ops.sum(ops.cast(thresholds <= drawn, "int32"), axis=-1)


def take_most_probable(log_probs: Tensor, position: Tensor) -> Tensor:
    """The choice of greedy decoding."""
    return ops.argmax(log_probs, axis=-1)
