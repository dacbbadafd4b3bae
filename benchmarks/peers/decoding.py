"""What the peers of the stages `greedy` and `beam` share: reading the work, and doing it once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.decoder_work import vocabulary
from benchmarks.stage import Sample
from say_what_you_see.decoding.samplers import SpecialTokens, special_tokens

Search = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From features (pictures, features) to the best captions (pictures, max_len) and log-probabilities (pictures,)."""

ONE_BY_ONE = 8
"""So many pictures are captioned one after another where the stage is about one picture."""


class DecoderWork(NamedTuple):
    """Weights by name, features (pictures, features), and the special tokens."""

    weights: dict[str, np.ndarray]
    features: np.ndarray
    tokens: SpecialTokens


def read_work(work: dict) -> DecoderWork:
    """Read what `make_work` wrote."""
    weights = dict(np.load(work["weights_file"]))
    return DecoderWork(weights, np.load(work["features_file"]), special_tokens(vocabulary(work["words"])))


def search_all(search: Search, features: np.ndarray, rounds: int = 1) -> Callable[[], Sample]:
    """A repetition: all pictures at once, so many times."""
    return _repetition(lambda: search(features)[1], len(features), rounds)


def search_one_by_one(search: Search, features: np.ndarray, rounds: int = 1) -> Callable[[], Sample]:
    """A repetition: some pictures, one after another, so many times."""
    rows = [features[row : row + 1] for row in range(min(ONE_BY_ONE, len(features)))]
    return _repetition(lambda: np.concatenate([search(row)[1] for row in rows]), len(rows), rounds)


def _repetition(once: Callable[[], np.ndarray], amount: int, rounds: int) -> Callable[[], Sample]:
    def repetition() -> Sample:
        start = time.perf_counter()
        for _ in range(rounds):
            log_probabilities = once()
        seconds = time.perf_counter() - start
        return Sample(amount * rounds, seconds, [float(value) for value in log_probabilities])

    return repetition
