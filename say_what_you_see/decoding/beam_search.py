"""Beam search: follow the k best captions at once, for many pictures together, with `keras.ops` alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.decoding import NEVER, BeamSearch, SpecialTokens
from say_what_you_see.decoding.word_choice import Tensor

ops = keras.ops
NextWord = Callable[[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]]
"""From words (rows,) and a state to the log-probabilities of the next words (rows, vocabulary) and the new state."""


def best_continuations(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Among all captions one word longer, find the k best of each picture.

    Args:
        scores: (pictures, beams, words), the score of each caption followed by each word.

    Returns:
        For each of the k best, the best first: the beam that it continues, and its new word, both (pictures, k).
    """
    beams, words = scores.shape[1:]
    best = ops.cast(ops.top_k(ops.reshape(scores, (-1, beams * words)), k)[1], "int32")
    return best // words, best % words


class Beams(NamedTuple):
    """The captions that a beam search follows, k for each picture, the best first.

    Attributes:
        words: the last word of each, (pictures, k).
        captions: all words so far, (pictures, k, max_len), END behind them.
        finished: whether END has been reached, (pictures, k).
        lengths: the number of words, END included, (pictures, k).
        total: the log-probability, (pictures, k).
    """

    words: Tensor
    captions: Tensor
    finished: Tensor
    lengths: Tensor
    total: Tensor


def first_beams(rows: Tensor, sampler: BeamSearch, tokens: SpecialTokens) -> Beams:
    """Beams before the first word: all alike, so only the first one counts, or the first step would find k twins.

    Args:
        rows: anything with one row a picture, (pictures,).
    """
    words = ops.repeat(ops.full_like(rows, tokens.start, dtype="int32")[:, None], sampler.k, axis=1)
    captions = ops.repeat(ops.full_like(words, tokens.end)[..., None], sampler.max_len, axis=2)
    nothing = ops.zeros_like(words, dtype="float32")
    only_first = np.array([0.0] + [NEVER] * (sampler.k - 1), dtype="float32")
    return Beams(words, captions, words == tokens.end, nothing, ops.add(nothing, only_first))


def extend_beams(
    beams: Beams, log_probs: Tensor, position: Tensor, sampler: BeamSearch, tokens: SpecialTokens
) -> tuple[Beams, Tensor]:
    """Follow the k best captions one word further.

    A finished caption competes with the others as it is, and keeps its place as long as it is among the best.

    Args:
        log_probs: of each next word, (pictures, k, vocabulary).

    Returns:
        The new beams, and for each the beam that it continues, (pictures, k).
    """
    only_end = np.where(np.arange(log_probs.shape[-1]) == tokens.end, 0.0, NEVER).astype("float32")
    log_probs = ops.where(beams.finished[..., None], only_end, log_probs)  # END once more, at no cost
    totals = ops.maximum(beams.total[..., None] + log_probs, NEVER)
    lengths = beams.lengths + ops.cast(ops.logical_not(beams.finished), "float32")
    parents, words = best_continuations(totals / lengths[..., None] ** sampler.length_penalty, sampler.k)

    def of_parents(values: Tensor) -> Tensor:
        return ops.take_along_axis(values, parents, axis=1)

    total = ops.take_along_axis(totals, parents[..., None], axis=1)
    total = ops.take_along_axis(total, words[..., None], axis=2)[..., 0]
    captions = ops.take_along_axis(beams.captions, parents[..., None], axis=1)
    captions = ops.where(ops.arange(sampler.max_len) == position, words[..., None], captions)
    finished = ops.logical_or(of_parents(beams.finished), words == tokens.end)
    return Beams(words, captions, finished, of_parents(lengths), total), parents


def score_of(beams: Beams, sampler: BeamSearch) -> Tensor:
    """What captions are ranked by, (pictures, k)."""
    return ops.where(beams.total > NEVER / 2, beams.total / beams.lengths**sampler.length_penalty, NEVER)


class Found(NamedTuple):
    """The best finished captions so far, k for each picture, the best first.

    Attributes:
        captions: (pictures, k, max_len).
        total: the log-probability, (pictures, k).
        score: what they are ranked by, (pictures, k); NEVER where there is none yet.
    """

    captions: Tensor
    total: Tensor
    score: Tensor

    def best_with(self, captions: Tensor, total: Tensor, score: Tensor) -> Found:
        """The k best of these and others."""
        captions, total, score = (
            ops.concatenate(both, axis=1) for both in zip(self, (captions, total, score), strict=True)
        )
        best = ops.cast(ops.top_k(score, self.score.shape[1])[1], "int32")
        captions = ops.take_along_axis(captions, best[..., None], axis=1)
        return Found(captions, ops.take_along_axis(total, best, axis=1), ops.take_along_axis(score, best, axis=1))


def search_beams(
    next_word: NextWord, state: list[Tensor], n_states: int, sampler: BeamSearch, tokens: SpecialTokens
) -> tuple[Tensor, Tensor, Tensor]:
    """Follow the k best captions of each picture until all of them have reached END.

    Every caption that finishes among the k best is remembered, also when others push it out later. In the
    end it competes with those that were cut, so there is always a result, whether any has an END or not.

    Args:
        state: [*state, *context] of each picture.
        n_states: how many of them change with every word.

    Returns:
        Captions (pictures, k, max_len), END after the last word; their log-probabilities, and whether END was
        reached, both (pictures, k).
    """
    rows = ops.reshape(state[0], (ops.shape(state[0])[0], -1))[:, 0]
    beams = first_beams(rows, sampler, tokens)
    found = Found(beams.captions, beams.total, ops.full_like(beams.total, NEVER))
    state = [ops.repeat(part, sampler.k, axis=0) for part in state]

    def unfinished(position, *carried):
        return ops.logical_and(position < sampler.max_len, ops.logical_not(ops.all(Beams(*carried[:5]).finished)))

    def extend(position, *carried):
        before, found, state = Beams(*carried[:5]), Found(*carried[5:8]), list(carried[8:])
        log_probs, state = next_word(ops.reshape(before.words, (-1,)), state)
        log_probs = ops.reshape(log_probs, (-1, sampler.k, log_probs.shape[-1]))
        beams, parents = extend_beams(before, log_probs, position, sampler, tokens)
        were_finished = ops.take_along_axis(before.finished, parents, axis=1)
        new = ops.logical_and(beams.finished, ops.logical_not(were_finished))
        score = ops.where(new, score_of(beams, sampler), NEVER)
        found = found.best_with(beams.captions, beams.total, score)
        first_row = sampler.k * ops.arange(ops.shape(parents)[0], dtype="int32")[:, None]
        from_rows = ops.reshape(first_row + parents, (-1,))
        moved = [ops.take(part, from_rows, axis=0) for part in state[:n_states]]
        return position + 1, *beams, *found, *moved, *state[n_states:]

    start = (ops.convert_to_tensor(0, dtype="int32"), *beams, *found, *state)
    carried = ops.while_loop(unfinished, extend, start)[1:9]
    beams, found = Beams(*carried[:5]), Found(*carried[5:])
    cut = ops.where(beams.finished, NEVER, score_of(beams, sampler))
    best = found.best_with(beams.captions, beams.total, cut)
    last = ops.take_along_axis(best.captions, ops.full_like(best.captions[..., :1], sampler.max_len - 1), axis=-1)
    return best.captions, best.total, last[..., 0] == tokens.end
