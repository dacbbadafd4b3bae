"""The searches of `say_what_you_see.decoding.generation` and `say_what_you_see.decoding.beam_search` in NumPy, for models that predict one word at a time.

They find the same captions, which tests hold them to, and do less: what is finished leaves the batch, of each beam
only its k best words are ranked, and a picture is done when nothing better can come. Nothing has to be compiled.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from say_what_you_see.decoding.decoding import (
    NEVER,
    BeamSearch,
    GeneratedCaptions,
    Greedy,
    Sampler,
    Sampling,
    SpecialTokens,
    special_tokens,
)

ROWS_AT_ONCE = 128
"""So many captions are followed together: their scores of all words, a few MB, stay in the processor's cache."""

ROWS_FOR_THREADS = 32
"""Fewer captions are not divided among threads."""

_ROWS_OF_EXPONENTIALS = 16  # half a MB of them


Choice = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""From logits (rows, vocabulary), the numbers of their captions (rows,), and the position: words and their
log-probabilities, both (rows,). It may overwrite the logits."""
Searched = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Captions (rows, ..., max_len), END behind; log-probabilities, and whether END was reached: (rows, ...)."""


class StepModel(Protocol):
    """A model that predicts one next word at a time.

    Attributes:
        n_states: how many of its arrays change with every word; those behind them stay as they are.
    """

    n_states: int

    def start(self, features: np.ndarray) -> list[np.ndarray]:
        """[*state, *context] before the first word, each (rows, ...), from features (rows, ...)."""

    def step(self, words: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
        """[logits (rows, vocabulary), *state] after words (rows,); caller and next call may overwrite the logits."""


def generate_at_once(
    model: StepModel,
    features: np.ndarray,
    vocab: dict[str, int],
    sampler: Sampler = Greedy(),  # noqa: B008  it cannot be changed
    rng: np.random.Generator | None = None,
) -> GeneratedCaptions:
    """Caption pictures, as `say_what_you_see.decoding.generation.generate` does; arguments as there."""
    indices, totals, finished = search_at_once(model, features, special_tokens(vocab), sampler, rng)
    return GeneratedCaptions(indices, np.where(totals <= NEVER / 2, -np.inf, totals), finished)


def search_at_once(
    model: StepModel, features: np.ndarray, tokens: SpecialTokens, sampler: Sampler, rng: np.random.Generator | None
) -> Searched:
    """Caption pictures, as many together as serves the processor's cache; impossible captions have NEVER."""
    features = np.asarray(features, dtype=np.float32)
    uniform = np.empty((len(features), 0))
    if isinstance(sampler, Sampling):
        uniform = (rng or np.random.default_rng()).random((len(features), sampler.max_len), dtype="float32")
    k = sampler.k if isinstance(sampler, BeamSearch) else 1
    if not len(features):
        return np.zeros((0, k, sampler.max_len), "int32"), np.zeros((0, k), "float32"), np.zeros((0, k), bool)

    def search(rows: slice) -> Searched:
        part = [array[rows] for array in state]
        with np.errstate(over="ignore", divide="ignore"):  # beyond 32 bits of exp, infinity is what is meant
            if isinstance(sampler, BeamSearch):
                return search_beams(model, part, sampler, tokens)
            choose = (
                _draw(sampler, uniform[rows], tokens) if isinstance(sampler, Sampling) else _take_most_probable(tokens)
            )
            return tuple(array[:, None] for array in write_captions(model, part, choose, tokens, sampler.max_len))

    threads = (os.cpu_count() or 1) if getattr(model, "is_thread_safe", False) else 1
    with _products_in_one_thread():
        state = model.start(features)
        parts = _parts(
            len(features), max(1, ROWS_AT_ONCE // k), threads if len(features) * k >= ROWS_FOR_THREADS else 1
        )
        if threads == 1 or len(parts) == 1:
            found = [search(rows) for rows in parts]
        else:
            with ThreadPoolExecutor(threads) as pool:
                found = list(pool.map(search, parts))
    return tuple(np.concatenate(arrays) for arrays in zip(*found, strict=True))


def _parts(rows: int, at_once: int, threads: int) -> list[slice]:
    """Divide rows into equal parts of at most `at_once`, as many for each thread."""
    count = threads * -(-rows // (at_once * threads))
    ends = np.linspace(0, rows, min(count, rows) + 1).astype(int).tolist()
    return [slice(*both) for both in itertools.pairwise(ends)]


@contextmanager
def _products_in_one_thread() -> Iterator[None]:
    """Have NumPy compute each product in one thread, if it can be told so.

    Otherwise it divides every product, however small, among all cores and waits for the last of them: thousands of
    times a second, each for as long as another program keeps that core. Beside others, that took more than fifty
    times as long.
    """
    libraries = _linear_algebra()
    with nullcontext() if libraries is None else libraries.limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _linear_algebra() -> Any:
    """NumPy's linear algebra library, to set its threads; None without threadpoolctl, which scikit-learn brings."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def write_captions(
    model: StepModel, state: list[np.ndarray], choose: Choice, tokens: SpecialTokens, max_len: int
) -> Searched:
    """Write one caption a picture; arguments and result as in `say_what_you_see.decoding.generation.write_captions`."""
    rows = np.arange(len(state[0]))  # of those that are still in the batch
    words = np.full(len(rows), tokens.start, dtype=np.int32)
    captions = np.full((len(rows), max_len), tokens.end, dtype=np.int32)
    total, running = np.zeros(len(rows), dtype=np.float32), np.ones(len(rows), dtype=bool)
    left = len(rows)
    for position in range(max_len):
        logits, *new = model.step(words, state)
        words, log_probs = choose(logits, rows, position)
        if left < len(rows):
            words, log_probs = np.where(running, words, tokens.end), np.where(running, log_probs, 0)
        total[rows] += log_probs
        captions[rows, position] = words
        running, state = words != tokens.end, [*new, *state[model.n_states :]]
        left = np.count_nonzero(running)
        if left < len(rows) and _worth_leaving(len(rows) - left, len(rows)):
            rows, words, state = rows[running], words[running], [part[running] for part in state]
            running = running[running]
        if left == 0:
            break
    finished = np.ones(len(captions), dtype=bool)
    finished[rows] = ~running
    return captions, total, finished


def _worth_leaving(finished: int, rows: int) -> bool:
    """Whether so many have finished that it pays to copy the others."""
    return finished * 16 >= rows


def _take_most_probable(tokens: SpecialTokens) -> Choice:
    """Greedy decoding: the largest logit; its probability needs the sum of all, but not all probabilities."""
    suppressed = np.array(tokens.suppressed)

    def choose(logits: np.ndarray, rows: np.ndarray, position: int) -> tuple[np.ndarray, np.ndarray]:
        normaliser = log_sum_exp(logits)
        logits[:, suppressed] = NEVER
        words = logits.argmax(axis=1)
        return words, logits[np.arange(len(words)), words] - normaliser

    return choose


def log_sum_exp(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the sum of exp(logits) of each row: logits minus it are log-probabilities."""
    if len(logits) > _ROWS_OF_EXPONENTIALS:  # a few rows at a time: what is written does not leave the cache
        firsts = range(0, len(logits), _ROWS_OF_EXPONENTIALS)
        return np.concatenate([log_sum_exp(logits[first : first + _ROWS_OF_EXPONENTIALS]) for first in firsts])
    largest = logits.max(axis=1)
    if largest.min() > -60 and largest.max() < 60:  # no sum comes near the ends of what 32 bits can say
        return np.log(np.exp(logits) @ _ones(logits.shape[1]))
    return np.log(np.exp(logits - largest[:, None]) @ _ones(logits.shape[1])) + largest


@lru_cache(maxsize=2)
def _ones(size: int) -> np.ndarray:
    """A product with ones is quicker than a sum."""
    return np.ones(size, dtype=np.float32)


def _draw(sampler: Sampling, uniform: np.ndarray, tokens: SpecialTokens) -> Choice:
    """A choice at random, by numbers from 0 to 1 that were drawn before, (captions, max_len)."""
    temperature, suppressed = np.float32(min(max(sampler.temperature, 1e-30), 1e30)), list(tokens.suppressed)

    def choose(logits: np.ndarray, rows: np.ndarray, position: int) -> tuple[np.ndarray, np.ndarray]:
        log_probs = logits - log_sum_exp(logits)[:, None]
        log_probs[:, suppressed] = NEVER
        probabilities = np.exp((log_probs - log_probs.max(axis=1, keepdims=True)) / temperature)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        thresholds = np.cumsum(_keep_best(probabilities, sampler), axis=1)
        drawn = np.minimum(uniform[rows, position], 1 - 1e-6)[:, None] * thresholds[:, -1:]
        words = (thresholds <= drawn).sum(axis=1)
        return words, log_probs[np.arange(len(words)), words]

    return choose


def _keep_best(probabilities: np.ndarray, sampler: Sampling) -> np.ndarray:
    """Probabilities of 0 for words that are not among the best, as `keep_top_k` and `keep_top_p` do it."""
    if sampler.top_k is None and sampler.top_p is None:
        return probabilities
    falling = -np.sort(-probabilities, axis=1)
    if sampler.top_k is not None:
        smallest = falling[:, [min(sampler.top_k, falling.shape[1]) - 1]]
        probabilities = np.where(probabilities >= smallest, probabilities, 0)
        falling = np.where(falling >= smallest, falling, 0)
    if sampler.top_p is not None:
        before = np.cumsum(falling, axis=1) - falling
        kept = np.where(before < sampler.top_p * probabilities.sum(axis=1, keepdims=True), falling, 2)
        probabilities = np.where(probabilities >= kept.min(axis=1, keepdims=True), probabilities, 0)
    return probabilities


# Beam search


class _Beams:
    """The captions that a beam search follows: k for each picture that is not done yet.

    Attributes:
        pictures: the numbers of these pictures.
        words, total, lengths, finished: as in `say_what_you_see.decoding.beam_search.Beams`, (pictures, k).
        captions: (pictures, k, max_len).
        found: the best finished captions so far: captions, log-probabilities, scores.
        state: [*state, *context], one row a beam.
    """

    def __init__(self, state: list[np.ndarray], sampler: BeamSearch, tokens: SpecialTokens) -> None:
        rows, k = len(state[0]), sampler.k
        self.sampler, self.tokens, self.pictures = sampler, tokens, np.arange(rows)
        self.words = np.full((rows, k), tokens.start, dtype=np.int32)
        self.captions = np.full((rows, k, sampler.max_len), tokens.end, dtype=np.int32)
        self.finished, self.lengths = np.zeros((rows, k), dtype=bool), np.zeros((rows, k), dtype=np.float32)
        self.total = np.tile(np.array([0.0] + [NEVER] * (k - 1), dtype=np.float32), (rows, 1))
        self.found = self.captions, self.total, np.full((rows, k), NEVER, dtype=np.float32)
        self.state = [np.repeat(part, k, axis=0) for part in state]

    def candidates(self, model: StepModel) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
        """What may follow: of each beam the k best words, and the log-probabilities of the captions with them.

        The model is asked only about beams that run. One that is finished goes on with END, at no cost.

        Returns:
            Words and log-probabilities, (pictures, beams, k); for each beam its row in the new state; that state.
        """
        runs, context = (~self.finished & (self.total > NEVER / 2)).reshape(-1), self.state[model.n_states :]
        if context:  # which is large, and better left where it is
            runs[:] = True
        rows = np.flatnonzero(runs)
        state = self.state if len(rows) == len(runs) else [part[rows] for part in self.state]
        logits, *new = model.step(self.words.reshape(-1)[rows], state)
        normaliser = log_sum_exp(logits)
        logits[:, list(self.tokens.suppressed)] = NEVER
        words, best = _largest_in_place(logits, self.sampler.k)
        running = np.full((len(runs), words.shape[1]), NEVER, dtype=np.float32)
        running[rows] = best - normaliser[:, None]
        choices = np.tile(np.arange(words.shape[1], dtype=np.int32), (len(runs), 1))
        choices[rows] = words
        row_of = np.zeros(len(runs), dtype=np.intp)
        row_of[rows] = np.arange(len(rows))
        shape = (*self.finished.shape, -1)
        return *self._finished_go_on(choices.reshape(shape), running.reshape(shape)), row_of, new

    def _finished_go_on(self, words: np.ndarray, log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Words that may follow, and the log-probabilities of the whole captions."""
        others = [word for word in range(words.shape[2]) if word != self.tokens.end]
        ended = self.finished & (self.total > NEVER)
        words[ended] = [self.tokens.end, *others[: words.shape[2] - 1]]
        log_probs[self.finished] = NEVER
        log_probs[ended, 0] = 0
        return words, np.maximum(self.total[..., None] + log_probs, np.float32(NEVER))

    def extend(self, model: StepModel, position: int) -> None:
        """Follow the k best captions of each picture one word further."""
        k = self.sampler.k
        choices, totals, row_of, new_state = self.candidates(model)
        self.lengths = self.lengths + ~self.finished
        ranked = totals if not self.sampler.length_penalty else totals / self._by_length(self.lengths)[..., None]
        best = _largest(ranked.reshape(len(ranked), -1), k)
        parents = best // choices.shape[2]
        self.words = np.take_along_axis(choices.reshape(len(best), -1), best, axis=1)
        self.total = np.take_along_axis(totals.reshape(len(best), -1), best, axis=1)
        self.captions = np.take_along_axis(self.captions, parents[..., None], axis=1)
        self.captions[:, :, position] = self.words
        before, self.lengths = (np.take_along_axis(part, parents, axis=1) for part in (self.finished, self.lengths))
        self.finished = before | (self.words == self.tokens.end)
        self._remember(self.finished & ~before)
        from_rows = row_of[(k * np.arange(len(best))[:, None] + parents).reshape(-1)]
        self.state = [*(part[from_rows] for part in new_state), *self.state[model.n_states :]]

    def done(self) -> np.ndarray:
        """For which pictures nothing better can come: (pictures,).

        Log-probabilities only fall, so no caption that still runs will ever have a better score than its
        log-probability now would have at its best length.
        """
        best_length = np.maximum(self._by_length(self.lengths), self._by_length(np.float32(self.sampler.max_len)))
        hope = np.where(self.finished, NEVER, self.total / best_length).max(axis=1)
        worst = self.found[2][:, -1]
        return self.finished.all(axis=1) | ((worst > NEVER / 2) & (worst >= hope))

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """The k best captions, finished or cut, (pictures, k, max_len), and their log-probabilities, (pictures, k)."""
        cut = np.where(self.finished, np.float32(NEVER), self._score())
        return _best_of(self.found, (self.captions, self.total, cut))[:2]

    def keep(self, kept: np.ndarray) -> None:
        """Go on with some of the pictures only."""
        rows = np.repeat(kept, self.sampler.k)
        self.pictures, self.words, self.captions = self.pictures[kept], self.words[kept], self.captions[kept]
        self.total, self.lengths, self.finished = self.total[kept], self.lengths[kept], self.finished[kept]
        self.found, self.state = tuple(part[kept] for part in self.found), [part[rows] for part in self.state]

    def _remember(self, new: np.ndarray) -> None:
        """Keep captions that have just finished, (pictures, k), if they are among the best."""
        if new.any():
            score = np.where(new, self._score(), np.float32(NEVER))
            self.found = _best_of(self.found, (self.captions, self.total, score))

    def _by_length(self, lengths: np.ndarray) -> np.ndarray:
        return lengths**self.sampler.length_penalty

    def _score(self) -> np.ndarray:
        """What captions are ranked by."""
        score = self.total / self._by_length(self.lengths)
        return np.where(self.total > NEVER / 2, score, NEVER).astype(np.float32)


def search_beams(model: StepModel, state: list[np.ndarray], sampler: BeamSearch, tokens: SpecialTokens) -> Searched:
    """Follow the k best captions of each picture; result as in `say_what_you_see.decoding.beam_search.search_beams`."""
    beams = _Beams(state, sampler, tokens)
    captions = np.full((len(state[0]), sampler.k, sampler.max_len), tokens.end, dtype=np.int32)
    totals = np.zeros((len(state[0]), sampler.k), dtype=np.float32)
    for position in range(sampler.max_len):
        beams.extend(model, position)
        done = beams.done()
        if _worth_leaving(np.count_nonzero(done), len(done)) or position == sampler.max_len - 1:
            captions[beams.pictures], totals[beams.pictures] = beams.result()
            if done.all():
                break
            beams.keep(~done)
    return captions, totals, captions[:, :, -1] == tokens.end


def _largest_in_place(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of each row, the largest first and of equal ones that to the left: indices and values.

    Looking through a row k times is quicker than sorting or partitioning it, as long as k is small.
    """
    rows, k = np.arange(len(values)), min(k, values.shape[1])
    indices, found = np.empty((len(values), k), dtype=np.int32), np.empty((len(values), k), dtype=values.dtype)
    for rank in range(k):
        indices[:, rank] = values.argmax(axis=1)
        found[:, rank] = values[rows, indices[:, rank]]
        values[rows, indices[:, rank]] = -np.inf
    return indices, found


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """The indices of the k largest of each row, the largest first, and of equal ones that to the left."""
    return np.argsort(-values, axis=1, kind="stable")[:, :k]


def _best_of(found: tuple, new: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k best of those found so far and of new ones: captions, log-probabilities, scores."""
    captions, total, score = (np.concatenate(both, axis=1) for both in zip(found, new, strict=True))
    best = _largest(score, found[2].shape[1])
    return (
        np.take_along_axis(captions, best[..., None], axis=1),
        np.take_along_axis(total, best, axis=1),
        np.take_along_axis(score, best, axis=1),
    )
