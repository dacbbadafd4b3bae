"""Samplers, which write captions word by word: greedy and drawing at random. `beam_search` has the third.

A sampler does not know the model. It gets a function from words to the log-probabilities of the next words, which
`next_word_of` makes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from say_what_you_see.decoding.probabilities import (
    apply_temperature,
    forbid_repetitions,
    keep_top_k,
    keep_top_p,
    log_softmax,
    sample_rows,
)
from say_what_you_see.language.captions import END, PAD, START, UNK
from say_what_you_see.models.step import State, StepModel

NO_REPEAT_NGRAM_SIZE = 3
"""In captions that people ask for, no run of this many words is said twice, and no word directly after itself; lessons
let the model say anything."""

NextWord = Callable[[np.ndarray, State], tuple[np.ndarray, State]]
"""From words (rows,) and the state before them to the log-probabilities of the next words (rows, vocabulary), and
the new state. The log-probabilities may be overwritten."""

Captions = tuple[np.ndarray, np.ndarray]
"""Captions (images, k, max_len) and their log-probabilities (images, k); see `Sampler.write`."""


class SpecialTokens(NamedTuple):
    """The indices of START and END, and of the tokens that are never said."""

    start: int
    end: int
    suppressed: tuple[int, ...]


def special_tokens(vocab: dict[str, int]) -> SpecialTokens:
    """The special tokens of a vocabulary; one without PAD is fine."""
    suppressed = tuple(vocab[token] for token in (PAD, UNK, START) if token in vocab)
    return SpecialTokens(vocab[START], vocab[END], suppressed)


def next_word_of(model: StepModel, tokens: SpecialTokens) -> NextWord:
    """A model's step as samplers want it: log-softmax of the logits, -inf for tokens that are never said."""

    def next_word(words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        logits, state = model.step(words, state)
        log_probs = log_softmax(logits)
        log_probs[:, list(tokens.suppressed)] = -np.inf
        return log_probs, state

    return next_word


class Sampler:
    """A way of writing captions."""

    max_len: int  # words in a caption, at most
    k: int = 1  # captions of each image
    n_best: int | None = None  # return the best of them only; None: all
    no_repeat_ngram_size: int = 0  # see `forbid_repetitions`; 0 forbids nothing

    def random_numbers(self, rng: np.random.Generator, images: int) -> np.ndarray:
        """The random numbers for the captions of images, (images, ...): those of an image are the same in any batch."""
        return np.empty((images, 0))

    def write(self, next_word: NextWord, state: State, tokens: SpecialTokens, random: np.ndarray) -> Captions:
        """Write captions word by word, until all have reached END.

        Returns:
            Captions (images, k, max_len), END after the last word; their log-probabilities by the model itself,
            however the words were chosen, (images, k).
        """
        shape = len(state), self.k
        state = state.take(np.repeat(np.arange(len(state)), self.k)) if self.k > 1 else state
        random = random.reshape(len(state), random.shape[-1])
        running = np.arange(len(state))  # the captions that have not reached END; the others leave the batch
        words = np.full(len(state), tokens.start, dtype=np.int32)
        captions = np.full((len(state), self.max_len), tokens.end, dtype=np.int32)
        total = np.zeros(len(state), dtype=np.float32)
        for position in range(self.max_len):
            log_probs, state = next_word(words, state)
            forbid_repetitions(log_probs, captions[running, :position], self.no_repeat_ngram_size)
            words = self.choose(log_probs, random[running, position : position + 1])
            captions[running, position] = words
            total[running] += log_probs[np.arange(len(words)), words]
            unfinished = words != tokens.end
            if not unfinished.all():
                running, words, state = running[unfinished], words[unfinished], state.take(unfinished)
            if len(running) == 0:
                break
        return captions.reshape(*shape, -1), total.reshape(shape)

    def choose(self, log_probs: np.ndarray, random: np.ndarray) -> np.ndarray:
        """A word for each row, from log-probabilities (rows, vocabulary) and the rows' random numbers."""
        raise NotImplementedError


@dataclass(frozen=True)
class Greedy(Sampler):
    """Always the most probable word."""

    max_len: int = 20
    no_repeat_ngram_size: int = 0

    def choose(self, log_probs: np.ndarray, random: np.ndarray) -> np.ndarray:
        """The most probable word of each row."""
        return log_probs.argmax(axis=1)


@dataclass(frozen=True)
class Sampling(Sampler):
    """Draw each word by its probability."""

    temperature: float = 1.0  # below 1 the choice is more cautious, above 1 more daring
    top_k: int | None = None  # draw among this many most probable words only (Fan et al. 2018, arXiv:1805.04833).
    # draw among the fewest words that have this probability together (Holtzman et al. 2020, arXiv:1904.09751).
    top_p: float | None = None
    max_len: int = 20  # words in a caption, at most
    k: int = 1  # captions drawn for each image, independently

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"The temperature must be greater than 0, not {self.temperature}.")
        if self.k < 1:
            raise ValueError(f"Sampling draws 1 caption or more, not {self.k}.")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be 1 or more, not {self.top_k}.")
        if self.top_p is not None and not 1e-6 <= self.top_p <= 1:
            raise ValueError(f"top_p must be from 0.000001 to 1, not {self.top_p}.")

    def random_numbers(self, rng: np.random.Generator, images: int) -> np.ndarray:
        """A number from 0 to 1 for each word, (images, k, max_len)."""
        return rng.random((images, self.k, self.max_len), dtype=np.float32)

    def choose(self, log_probs: np.ndarray, random: np.ndarray) -> np.ndarray:
        """A word for each row, drawn with its random number, (rows, 1)."""
        probabilities = np.exp(log_probs)
        if self.temperature != 1:
            probabilities = apply_temperature(probabilities, self.temperature)
        if self.top_k is not None:
            probabilities = keep_top_k(probabilities, self.top_k)
        if self.top_p is not None:
            probabilities = keep_top_p(probabilities, self.top_p)
        return sample_rows(probabilities, random[:, 0])
