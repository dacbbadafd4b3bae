"""Ways of choosing the next word by its probability: the most probable one, or one drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from utils.captions import END, PAD, START, UNK
from utils.quiet import keras

ops = keras.ops
Tensor = Any
NEVER = -1e9
"""The log-probability of what must not be said: so low that nothing makes up for it, and yet no infinity."""


class SpecialTokens(NamedTuple):
    """Where captions start and end, and which indices are no words to say."""

    start: int
    end: int
    silent: tuple[int, ...]


def special_tokens(vocab: dict[str, int]) -> SpecialTokens:
    """The special tokens of a vocabulary; one without PAD is fine."""
    silent = tuple(vocab[token] for token in (PAD, UNK, START) if token in vocab)
    return SpecialTokens(vocab[START], vocab[END], silent)


@dataclass(frozen=True)
class Greedy:
    """Always the most probable word."""

    max_len: int = 20


@dataclass(frozen=True)
class Sampling:
    """Draw each word by its probability.

    Attributes:
        temperature: below 1 the choice is more cautious, above 1 more daring.
        top_k: draw among so many most probable words only (Fan et al. 2018, arXiv:1805.04833).
        top_p: draw among the fewest words that have this probability together (Holtzman et al. 2020, arXiv:1904.09751).
        max_len: stop after so many words.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    max_len: int = 20

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"The temperature must be greater than 0, not {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be 1 or more, not {self.top_k}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be greater than 0 and at most 1, not {self.top_p}.")


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
    return ops.where(probabilities >= smallest_kept, probabilities, 0)


def keep_top_p(probabilities: Tensor, p: float) -> Tensor:
    """Keep the fewest most probable words of each row whose probabilities sum to p or more; the others become 0."""
    falling = ops.flip(ops.sort(probabilities, axis=-1), axis=-1)
    before = ops.cumsum(falling, axis=-1) - falling
    kept = ops.where(before < p * ops.sum(probabilities, axis=-1, keepdims=True), falling, 2.0)
    return ops.where(probabilities >= ops.min(kept, axis=-1, keepdims=True), probabilities, 0)


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
