"""The searches of `utils.generation` and `utils.beam_search` in NumPy, for models that were exported.

They find the same captions, which tests hold them to. A compiled loop has to be compiled, which takes longer than all
that follows when there is one picture to caption.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from utils.decoding import (
    NEVER,
    BeamSearch,
    Decoding,
    GeneratedCaptions,
    Greedy,
    Sampling,
    SpecialTokens,
    special_tokens,
)

Choice = Callable[[np.ndarray, int], np.ndarray]


class StepModel(Protocol):
    """A model that predicts one next word at a time.

    Attributes:
        n_states: how many of its arrays change with every word; those behind them stay as they are.
    """

    n_states: int

    def start(self, features: np.ndarray) -> list[np.ndarray]:
        """[*state, *context] before the first word, each (rows, ...), from features (rows, ...)."""

    def step(self, words: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
        """[logits (rows, vocabulary), *state] after words (rows,)."""


def generate_at_once(
    model: StepModel,
    features: np.ndarray,
    vocab: dict[str, int],
    how: Decoding = Greedy(),  # noqa: B008  it cannot be changed
    rng: np.random.Generator | None = None,
) -> GeneratedCaptions:
    """Caption one batch of pictures, as `utils.generation.generate` does; arguments as there."""
    tokens, state = special_tokens(vocab), model.start(np.asarray(features, dtype=np.float32))
    if isinstance(how, BeamSearch):
        indices, totals, finished = search_beams(model, state, how, tokens)
        return GeneratedCaptions(indices, np.where(totals <= NEVER / 2, -np.inf, totals), finished)
    choose: Choice = lambda log_probs, position: log_probs.argmax(axis=1)  # noqa: E731
    if isinstance(how, Sampling):
        uniform = (rng or np.random.default_rng()).random((len(features), how.max_len), dtype="float32")
        choose = _draw(how, uniform)
    indices, totals, finished = write_captions(model, state, choose, tokens, how.max_len)
    return GeneratedCaptions(indices[:, None], totals[:, None], finished[:, None])


def write_captions(
    model: StepModel, state: list[np.ndarray], choose: Choice, tokens: SpecialTokens, max_len: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write one caption a picture; arguments and result as in `utils.generation.write_captions`."""
    rows = len(state[0])
    words = np.full(rows, tokens.start, dtype=np.int32)
    captions = np.full((rows, max_len), tokens.end, dtype=np.int32)
    running, total = np.ones(rows, dtype=bool), np.zeros(rows, dtype=np.float32)
    for position in range(max_len):
        log_probs, state = _next_word(model, words, state, tokens)
        words = np.where(running, choose(log_probs, position), tokens.end).astype(np.int32)
        total = total + np.where(running, np.take_along_axis(log_probs, words[:, None], axis=1)[:, 0], 0)
        captions[:, position] = words
        running &= words != tokens.end
        if not running.any():
            break
    return captions, total, ~running


def search_beams(
    model: StepModel, state: list[np.ndarray], how: BeamSearch, tokens: SpecialTokens
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow the k best captions of each picture; result as in `utils.beam_search.search_beams`."""
    pictures, k = len(state[0]), how.k
    words = np.full((pictures, k), tokens.start, dtype=np.int32)
    captions = np.full((pictures, k, how.max_len), tokens.end, dtype=np.int32)
    finished, lengths = np.zeros((pictures, k), dtype=bool), np.zeros((pictures, k), dtype=np.float32)
    total = np.tile(np.array([0.0] + [NEVER] * (k - 1), dtype=np.float32), (pictures, 1))
    found = captions, total, np.full((pictures, k), NEVER, dtype=np.float32)
    state, first_row = [np.repeat(part, k, axis=0) for part in state], k * np.arange(pictures)[:, None]
    for position in range(how.max_len):
        log_probs, state = _next_word(model, words.reshape(-1), state, tokens)
        log_probs = log_probs.reshape(pictures, k, -1)
        log_probs = np.where(finished[..., None], _only(tokens.end, log_probs.shape[2]), log_probs)
        totals, lengths = np.maximum(total[..., None] + log_probs, NEVER), lengths + ~finished
        ranked = (totals / (lengths**how.length_penalty)[..., None]).reshape(pictures, -1)
        best = _largest(ranked, k)
        parents, words = best // log_probs.shape[2], (best % log_probs.shape[2]).astype(np.int32)
        total = np.take_along_axis(totals.reshape(pictures, -1), best, axis=1)
        captions = np.take_along_axis(captions, parents[..., None], axis=1)
        captions[:, :, position] = words
        before, lengths = (np.take_along_axis(values, parents, axis=1) for values in (finished, lengths))
        finished = before | (words == tokens.end)
        score = _score(total, lengths, how)
        found = _best_of(found, (captions, total, np.where(finished & ~before, score, NEVER)))
        from_rows = (first_row + parents).reshape(-1)
        state = [part[from_rows] for part in state[: model.n_states]] + state[model.n_states :]
        if finished.all():
            break
    cut = np.where(finished, NEVER, _score(total, lengths, how)).astype(np.float32)
    captions, total, _ = _best_of(found, (captions, total, cut))
    return captions, total, captions[:, :, -1] == tokens.end


def _next_word(
    model: StepModel, words: np.ndarray, state: list[np.ndarray], tokens: SpecialTokens
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Log-probabilities of the next words (rows, vocabulary), and the new [*state, *context]."""
    logits, *new = model.step(words, state)
    logits = logits.astype(np.float32)
    logits -= logits.max(axis=1, keepdims=True)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    log_probs[:, list(tokens.silent)] += np.float32(NEVER)
    return np.maximum(log_probs, np.float32(NEVER)), [*new, *state[model.n_states :]]


def _draw(how: Sampling, uniform: np.ndarray) -> Choice:
    """A choice at random, by numbers from 0 to 1 that were drawn before, (rows, max_len)."""
    temperature = np.float32(min(max(how.temperature, 1e-30), 1e30))

    def choose(log_probs: np.ndarray, position: int) -> np.ndarray:
        sharpened = (log_probs - log_probs.max(axis=1, keepdims=True)) / temperature
        probabilities = np.exp(sharpened)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        falling = -np.sort(-probabilities, axis=1)
        if how.top_k is not None:
            smallest = falling[:, [min(how.top_k, falling.shape[1]) - 1]]
            probabilities = np.where(probabilities >= smallest, probabilities, 0)
            falling = np.where(falling >= smallest, falling, 0)
        if how.top_p is not None:
            before = np.cumsum(falling, axis=1) - falling
            kept = np.where(before < how.top_p * probabilities.sum(axis=1, keepdims=True), falling, 2)
            probabilities = np.where(probabilities >= kept.min(axis=1, keepdims=True), probabilities, 0)
        thresholds = np.cumsum(probabilities, axis=1)
        drawn = np.minimum(uniform[:, position], 1 - 1e-6)[:, None] * thresholds[:, -1:]
        return (thresholds <= drawn).sum(axis=1)

    return choose


def _only(index: int, size: int) -> np.ndarray:
    """Log-probabilities that leave one choice, at no cost."""
    return np.where(np.arange(size) == index, np.float32(0), np.float32(NEVER))


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """The indices of the k largest of each row, the largest first, and of equal ones that to the left."""
    return np.argsort(-values, axis=1, kind="stable")[:, :k]


def _score(total: np.ndarray, lengths: np.ndarray, how: BeamSearch) -> np.ndarray:
    """What captions are ranked by."""
    return np.where(total > NEVER / 2, total / lengths**how.length_penalty, NEVER).astype(np.float32)


def _best_of(found: tuple, new: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k best of those found so far and of new ones: captions, log-probabilities, scores."""
    captions, total, score = (np.concatenate(both, axis=1) for both in zip(found, new, strict=True))
    best = _largest(score, found[2].shape[1])
    return (
        np.take_along_axis(captions, best[..., None], axis=1),
        np.take_along_axis(total, best, axis=1),
        np.take_along_axis(score, best, axis=1),
    )
