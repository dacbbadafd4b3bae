"""Captions by `predict`, once a word, as most tutorials for Keras do it; words are chosen with NumPy."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from benchmarks.decoder_work import BEAMS, MAX_LEN
from benchmarks.peers.decoding import read_work, search_all, search_one_by_one
from benchmarks.peers.keras_decoder import step_models
from benchmarks.stage import Sample
from say_what_you_see.decoding.samplers import SpecialTokens

NEVER = -1e9
Models = tuple[keras.Model, keras.Model]


def greedy_search(models: Models, features: np.ndarray, tokens: SpecialTokens) -> tuple[np.ndarray, np.ndarray]:
    """The most probable word each time, until all captions have ended."""
    start, step = models
    rows = len(features)
    state, words = start.predict(features, batch_size=rows, verbose=0), np.full(rows, tokens.start)
    captions, total = np.full((rows, MAX_LEN), tokens.end), np.zeros(rows, "float32")
    running = np.ones(rows, dtype=bool)
    for position in range(MAX_LEN):
        logits, *state = step.predict([words, *state], batch_size=rows, verbose=0)
        log_probs = _log_softmax(logits, tokens)
        words = np.where(running, log_probs.argmax(axis=1), tokens.end)
        total += np.where(running, log_probs[np.arange(rows), words], 0)
        captions[:, position] = words
        running &= words != tokens.end
        if not running.any():
            break
    return captions, total


def beam_search(models: Models, features: np.ndarray, tokens: SpecialTokens) -> tuple[np.ndarray, np.ndarray]:
    """The k best captions of each picture, all pictures together, until nothing better can come for any of them."""
    start, step = models
    pictures, k = len(features), BEAMS
    state = [part.repeat(k, axis=0) for part in start.predict(features, batch_size=pictures, verbose=0)]
    words, captions = np.full((pictures, k), tokens.start), np.full((pictures, k, MAX_LEN), tokens.end)
    finished = np.zeros((pictures, k), dtype=bool)
    total = np.tile(np.array([0] + [NEVER] * (k - 1), "float32"), (pictures, 1))
    found, found_captions = np.full((pictures, k), NEVER, "float32"), captions
    first_row = k * np.arange(pictures)[:, None]
    for position in range(MAX_LEN):
        logits, *state = step.predict([words.reshape(-1), *state], batch_size=pictures * k, verbose=0)
        log_probs = _log_softmax(logits, tokens).reshape(pictures, k, -1)
        size = log_probs.shape[2]
        log_probs[finished] = np.where(np.arange(size) == tokens.end, 0, NEVER)
        scores = (total[..., None] + log_probs).reshape(pictures, -1)
        best = _largest(scores, k)
        total, parents, words = np.take_along_axis(scores, best, axis=1), best // size, best % size
        captions = np.take_along_axis(captions, parents[..., None], axis=1)
        captions[:, :, position] = words
        before = np.take_along_axis(finished, parents, axis=1)
        finished = before | (words == tokens.end)
        found, found_captions = _best_of(found, found_captions, np.where(finished & ~before, total, NEVER), captions)
        state = [part[(first_row + parents).reshape(-1)] for part in state]
        if (found[:, -1] >= np.where(finished, NEVER, total).max(axis=1)).all():
            break
    found, found_captions = _best_of(found, found_captions, np.where(finished, NEVER, total), captions)
    return found_captions[:, 0], found[:, 0]


def _log_softmax(logits: np.ndarray, tokens: SpecialTokens) -> np.ndarray:
    logits = logits - logits.max(axis=1, keepdims=True)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    log_probs[:, list(tokens.suppressed)] = NEVER
    return log_probs


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """The indices of the k largest of each row, the largest first."""
    best = np.argpartition(values, -k, axis=1)[:, -k:]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(values, best, axis=1), axis=1), axis=1)


def _best_of(
    score: np.ndarray, captions: np.ndarray, new_score: np.ndarray, new_captions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of captions found so far and of others."""
    scores, both = np.concatenate([score, new_score], axis=1), np.concatenate([captions, new_captions], axis=1)
    best = _largest(scores, score.shape[1])
    return np.take_along_axis(scores, best, axis=1), np.take_along_axis(both, best[..., None], axis=1)


def greedy_one(work: dict) -> Callable[[], Sample]:
    """Greedy, one picture at a time."""
    weights, features, tokens = read_work(work)
    models = step_models(weights)
    return search_one_by_one(lambda rows: greedy_search(models, rows, tokens), features)


def greedy_many(work: dict) -> Callable[[], Sample]:
    """Greedy, all pictures together."""
    weights, features, tokens = read_work(work)
    models = step_models(weights)
    return search_all(lambda rows: greedy_search(models, rows, tokens), features)


def beam_many(work: dict) -> Callable[[], Sample]:
    """Beam search, all pictures together."""
    weights, features, tokens = read_work(work)
    models = step_models(weights)
    return search_all(lambda rows: beam_search(models, rows, tokens), features)
