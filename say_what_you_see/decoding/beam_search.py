"""Beam search: follow the k best captions of each image at once, for many images together.

`by_hand.beam_search` is the lesson, one picture in plain Python; `beam_tree` shows what a search considers on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from say_what_you_see.decoding.probabilities import forbid_repetitions
from say_what_you_see.decoding.samplers import NO_REPEAT_NGRAM_SIZE, Captions, NextWord, Sampler, SpecialTokens
from say_what_you_see.models.step import State

BEAM_WIDTH = {"photographs": 3, "scenes": 1}
LENGTH_PENALTY = {"photographs": 0.7, "scenes": 0.0}
"""In captions that people ask for, by what a model knows: captions of photographs score better with both, and those of
drawn scenes are no truer. The lessons take no penalty."""


@dataclass(frozen=True)
class BeamSearch(Sampler):
    """Follow the k best captions at once."""

    k: int = 3  # captions that are followed, and found, for each image
    # captions are ranked by log-probability / words ** length_penalty. 0 ranks by probability, which favours short
    # captions; 1 by the mean over the words.
    length_penalty: float = 0.0
    max_len: int = 20  # words in a caption, at most
    no_repeat_ngram_size: int = 0
    n_best: int | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"Beam search follows 1 caption or more, not {self.k}.")
        if not -10 <= self.length_penalty <= 10:
            raise ValueError(f"The length penalty must be from -10 to 10, not {self.length_penalty}.")

    def write(self, next_word: NextWord, state: State, tokens: SpecialTokens, random: np.ndarray) -> Captions:
        """The k best captions of each image, the best first; the log-probability of those that are missing is -inf.

        Every caption that finishes among the k best is remembered, also when others push it out later. In the end it
        competes with those that were cut, so there is always a result, whether any has an END or not.
        """
        images = np.arange(len(state))  # those that are still searched
        beams = first_beams(len(state), self, tokens)
        ended, results = beams._replace(total=np.full_like(beams.total, -np.inf)), beams
        state = state.take(np.repeat(images, self.k))
        for position in range(self.max_len):
            running = ~beams.finished & np.isfinite(beams.total)
            log_probs, state = _next_words(next_word, beams, state, running)
            beams, parents = extend_beams(beams, log_probs, position, self, tokens)
            continued = np.take_along_axis(running, parents, axis=1)
            ended = _best_of(ended, beams, beams.finished & continued, self)
            state = state.take(_rows_of(running, parents))
            done = _is_done(beams, ended, self) | (position == self.max_len - 1)
            if done.any():
                best = _best_of(ended, beams, ~beams.finished, self).of_images(done)
                for result, part in zip(results, best, strict=True):
                    result[images[done]] = part
                images, beams, ended = images[~done], beams.of_images(~done), ended.of_images(~done)
                state = state.take(np.repeat(~done, self.k))
            if len(images) == 0:
                break
        return results.captions, results.total


PHOTO_SAMPLER = BeamSearch(
    BEAM_WIDTH["photographs"],
    LENGTH_PENALTY["photographs"],
    no_repeat_ngram_size=NO_REPEAT_NGRAM_SIZE,
    n_best=1,
)
"""How photographs are captioned if nothing else is asked for."""


class Beams(NamedTuple):
    """Captions of some images, k for each, the best first."""

    words: np.ndarray  # the last word of each, (images, k)
    captions: np.ndarray  # all words so far, (images, k, max_len), END behind them
    finished: np.ndarray  # whether END has been reached, (images, k)
    lengths: np.ndarray  # the number of words, END included, (images, k)
    total: np.ndarray  # the log-probability, (images, k); -inf where there is no caption

    def of_images(self, images: np.ndarray) -> Beams:
        """The beams of some of the images."""
        return Beams(*(part[images] for part in self))

    def scores(self, length_penalty: float) -> np.ndarray:
        """What captions are ranked by, (images, k)."""
        return self.total / np.maximum(self.lengths, 1) ** length_penalty


def first_beams(images: int, sampler: BeamSearch, tokens: SpecialTokens) -> Beams:
    """Beams before the first word: all alike, so only the first counts; otherwise the first step would find k twins."""
    shape = (images, sampler.k)
    total = np.full(shape, -np.inf, dtype=np.float32)
    total[:, 0] = 0
    return Beams(
        words=np.full(shape, tokens.start, dtype=np.int32),
        captions=np.full((*shape, sampler.max_len), tokens.end, dtype=np.int32),
        finished=np.zeros(shape, dtype=bool),
        lengths=np.zeros(shape, dtype=np.float32),
        total=total,
    )


def best_continuations(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Among all captions one word longer, find the k best of each image.

    Args:
        scores: (images, beams, words), the score of each caption followed by each word; those of the best are lost.

    Returns:
        For each of the k best, the best first: the beam that it continues, its new word, and whether it is possible at
        all, each (images, k).
    """
    flat, image = scores.reshape(len(scores), -1), np.arange(len(scores))
    best: np.ndarray = np.empty((len(flat), k), dtype=np.int32)
    is_possible = np.empty((len(flat), k), dtype=bool)
    for rank in range(k):  # to look through them k times is faster than to sort them
        best[:, rank] = flat.argmax(axis=1)
        is_possible[:, rank] = np.isfinite(flat[image, best[:, rank]])
        flat[image, best[:, rank]] = -np.inf
    return best // scores.shape[2], best % scores.shape[2], is_possible


def extend_beams(
    beams: Beams, log_probs: np.ndarray, position: int, sampler: BeamSearch, tokens: SpecialTokens
) -> tuple[Beams, np.ndarray]:
    """Follow the k best captions one word further.

    A finished caption competes with the others as it is, and keeps its place as long as it is among the best.

    Args:
        log_probs: of each next word, (images, k, vocabulary).

    Returns:
        The new beams, and for each the beam that it continues, (images, k).
    """
    forbid_repetitions(log_probs, beams.captions[..., :position], sampler.no_repeat_ngram_size)
    totals = beams.total[..., None] + log_probs
    totals[beams.finished] = -np.inf
    totals[beams.finished, tokens.end] = beams.total[beams.finished]  # END once more, at no cost
    lengths = beams.lengths + ~beams.finished
    scores = totals / lengths[..., None] ** sampler.length_penalty
    parents, words, is_possible = best_continuations(scores, sampler.k)

    image = np.arange(len(parents))[:, None]
    captions = beams.captions[image, parents]
    captions[..., position] = words
    finished = beams.finished[image, parents] | (words == tokens.end)
    total = np.where(is_possible, totals[image, parents, words], np.float32(-np.inf))
    return Beams(words, captions, finished, lengths[image, parents], total), parents


def _next_words(next_word: NextWord, beams: Beams, state: State, running: np.ndarray) -> tuple[np.ndarray, State]:
    """Log-probabilities of next words, (images, k, vocabulary), and the new state, both of the running beams only."""
    if running.all():
        log_probs, state = next_word(beams.words.reshape(-1), state)
        return log_probs.reshape(*running.shape, -1), state
    of_running, state = next_word(beams.words[running], state.take(running.reshape(-1)))
    log_probs = np.full((*running.shape, of_running.shape[1]), -np.inf, dtype=np.float32)
    log_probs[running] = of_running
    return log_probs, state


def _rows_of(running: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """For each beam the row of the beam that it continues, in the state of the running ones; any row for others."""
    rows = np.cumsum(running.reshape(-1)).reshape(running.shape) - 1
    return np.maximum(np.take_along_axis(rows, parents, axis=1), 0).reshape(-1)


def _best_of(ended: Beams, beams: Beams, eligible: np.ndarray, sampler: BeamSearch) -> Beams:
    """The k best of captions that ended before, and of beams where they are eligible, (images, k)."""
    beams = beams._replace(total=np.where(eligible, beams.total, np.float32(-np.inf)))
    both = Beams(*(np.concatenate(parts, axis=1) for parts in zip(ended, beams, strict=True)))
    best = np.argsort(-both.scores(sampler.length_penalty), axis=1, kind="stable")[:, : sampler.k]
    return Beams(*(part[np.arange(len(best))[:, None], best] for part in both))


def _is_done(beams: Beams, ended: Beams, sampler: BeamSearch) -> np.ndarray:
    """The images for which nothing better can come: bool, (images,).

    Log-probabilities only fall, so no caption that still runs will ever have a better score than its
    current log-probability would give it at its best length.
    """
    penalty = sampler.length_penalty
    best_length = np.maximum(beams.lengths**penalty, np.float32(sampler.max_len) ** penalty)
    hope = np.where(beams.finished, -np.inf, beams.total / best_length).max(axis=1)
    return ended.scores(penalty)[:, -1] >= hope
