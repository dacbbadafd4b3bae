"""Ways of writing captions, and what comes of them: without Keras, so that they are there at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from say_what_you_see.language.captions import END, PAD, START, UNK, indices_to_sentence, invert_vocabulary

NEVER = -1e9
"""The log-probability of what must not be said: so low that nothing makes up for it, and yet no infinity."""


class SpecialTokens(NamedTuple):
    """Where captions start and end, and which indices are no words to say."""

    start: int
    end: int
    suppressed: tuple[int, ...]


def special_tokens(vocab: dict[str, int]) -> SpecialTokens:
    """The special tokens of a vocabulary; one without PAD is fine."""
    suppressed = tuple(vocab[token] for token in (PAD, UNK, START) if token in vocab)
    return SpecialTokens(vocab[START], vocab[END], suppressed)


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


@dataclass(frozen=True)
class BeamSearch:
    """Follow the k best captions at once.

    Attributes:
        k: how many captions are followed, and found, for each picture.
        length_penalty: captions are ranked by log-probability / words ** length_penalty. 0 ranks by
            probability, which favours short captions; 1 by the mean over the words.
        max_len: stop after so many words.
    """

    k: int = 3
    length_penalty: float = 0.0
    max_len: int = 20

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"Beam search follows 1 caption or more, not {self.k}.")


Sampler = Greedy | Sampling | BeamSearch


@dataclass(frozen=True)
class GeneratedCaptions:
    """Captions of some pictures, the best of each picture first.

    Attributes:
        indices: (pictures, captions, max_len) int32, END after the last word.
        log_probabilities: (pictures, captions), of the whole caption with its END, in nats; -inf where there
            are fewer captions than asked for.
        finished: (pictures, captions), whether END was reached within max_len words.
    """

    indices: np.ndarray
    log_probabilities: np.ndarray
    finished: np.ndarray

    def sentences(self, vocab: dict[str, int]) -> list[str]:
        """The best caption of each picture, as words."""
        words = invert_vocabulary(vocab)
        return [indices_to_sentence(captions[0], words) for captions in self.indices]
