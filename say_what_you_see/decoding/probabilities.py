"""Probabilities of next words: from logits, sharpened or flattened, cut to the best, drawn from."""

from functools import lru_cache

import numpy as np

_ROWS_IN_CACHE = 16  # half a MB of exponentials of a large vocabulary


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (rows, vocabulary) into log-probabilities, in place."""
    for first in range(0, len(logits), _ROWS_IN_CACHE):
        rows = logits[first : first + _ROWS_IN_CACHE]
        largest = rows.max(axis=1)
        if largest.min() < -60 or largest.max() > 60:  # else no sum comes near the ends of 32 bits
            rows -= largest[:, None]
        rows -= np.log(np.exp(rows) @ _ones(rows.shape[1]))[:, None]
    return logits


@lru_cache(maxsize=2)
def _ones(size: int) -> np.ndarray:
    """A product with ones is faster than a sum."""
    return np.ones(size, dtype=np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    """The probabilities that logits (rows, vocabulary) stand for."""
    return np.exp(log_softmax(logits.astype(np.float32)))


def apply_temperature(probabilities: np.ndarray, t: float) -> np.ndarray:
    """Sharpen (t < 1) or flatten (t > 1) a probability distribution: p ** (1 / t), scaled to sum to 1.

    Args:
        probabilities: (..., words), each row sums to 1.
        t: temperature, greater than 0.

    Raises:
        ValueError: if t is not greater than 0.
    """
    if not t > 0:
        raise ValueError(f"The temperature must be greater than 0, not {t}. The most probable word needs no sampling.")
    t = min(max(t, 1e-30), 1e30)  # beyond that, 32-bit floats end and nothing changes any more
    with np.errstate(divide="ignore", over="ignore"):  # the logarithm of 0 is -inf, and exp makes it 0 again
        logs = np.log(probabilities)  # p ** (1 / t) itself may be too small for a float
        powers = np.exp((logs - logs.max(axis=-1, keepdims=True)) / t)
    return powers / powers.sum(axis=-1, keepdims=True)


def keep_top_k(probabilities: np.ndarray, k: int) -> np.ndarray:
    """Set all but the k largest probabilities of each row to 0; ties with the last of them stay as well."""
    smallest_kept = np.sort(probabilities, axis=-1)[..., [-min(k, probabilities.shape[-1])]]
    return np.where(probabilities >= smallest_kept, probabilities, 0)


def keep_top_p(probabilities: np.ndarray, p: float) -> np.ndarray:
    """Keep the fewest most probable words of each row whose probabilities sum to p or more; the others become 0.

    Ties with the last of those stay as well.
    """
    falling = np.flip(np.sort(probabilities, axis=-1), axis=-1)
    before = np.cumsum(falling, axis=-1) - falling
    kept = np.where(before < p * probabilities.sum(axis=-1, keepdims=True), falling, np.inf)
    return np.where(probabilities >= kept.min(axis=-1, keepdims=True), probabilities, 0)


def forbid_repetitions(log_probs: np.ndarray, captions: np.ndarray, n: int) -> None:
    """Make each word impossible with which the last n words of a caption would stand there for the second time, and the
    last word, which would directly follow itself.

    Args:
        log_probs: (..., vocabulary), of the next words; changed in place.
        captions: (..., words so far).
        n: 0 forbids nothing.
    """
    if 0 < n <= captions.shape[-1]:
        runs = np.lib.stride_tricks.sliding_window_view(captions, n, axis=-1)
        last = captions[..., captions.shape[-1] - n + 1 :]
        *caption, run = np.nonzero((runs[..., :-1] == last[..., None, :]).all(axis=-1))
        log_probs[(*caption, runs[(*caption, run, -1)])] = -np.inf
    if n > 0 and captions.shape[-1]:
        np.put_along_axis(log_probs, captions[..., -1:], -np.inf, axis=-1)


def sample_rows(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One index per row (rows,), drawn by the row's probabilities (rows, words), which need not sum to 1.

    Args:
        uniform: a random number from 0 to 1 for each row, (rows,).
    """
    thresholds = np.cumsum(probabilities, axis=-1)
    drawn = np.minimum(uniform, 1 - 1e-6)[:, None] * thresholds[:, -1:]
    return (thresholds <= drawn).sum(axis=-1)
