"""Captions by a compiled step: `tf.function` once a word, all that belongs to a word in it, and a loop in Python."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from benchmarks.decoder_work import BEAMS, MAX_LEN
from benchmarks.peers.decoding import read_work, search_all, search_one_by_one
from benchmarks.peers.keras_decoder import step_models
from benchmarks.stage import Sample
from say_what_you_see.decoding.samplers import SpecialTokens

NEVER = -1e9


def greedy_searcher(models: tuple[keras.Model, keras.Model], tokens: SpecialTokens) -> Callable:
    """Greedy search with a compiled step."""
    start_model, step_model = models
    start = tf.function(lambda features: start_model(features, training=False), reduce_retracing=True)

    @tf.function(reduce_retracing=True)
    def step(words, running, total, h, c):
        logits, h, c = step_model([words, h, c], training=False)
        log_probs = tf.nn.log_softmax(logits) + _silence(tokens, logits.shape[-1])
        words = tf.where(running, tf.argmax(log_probs, axis=-1, output_type=tf.int32), tokens.end)
        total += tf.where(running, tf.gather(log_probs, words, batch_dims=1), 0.0)
        running &= words != tokens.end
        return words, running, total, h, c, tf.reduce_any(running)

    def search(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = len(features)
        state = start(tf.constant(features))
        words, running, total = tf.fill([rows], tokens.start), tf.ones([rows], tf.bool), tf.zeros([rows])
        captions = np.full((rows, MAX_LEN), tokens.end)
        for position in range(MAX_LEN):
            words, running, total, *state, any_running = step(words, running, total, *state)
            captions[:, position] = words
            if not any_running:
                break
        return captions, total.numpy()

    return search


def beam_searcher(models: tuple[keras.Model, keras.Model], tokens: SpecialTokens, pictures: int) -> Callable:
    """Beam search with a compiled step: the k best captions of each picture, until nothing better can come.

    Of each beam only its k best words can be among the k best of its picture.
    """
    start_model, step_model = models
    k = BEAMS
    start = tf.function(lambda features: [tf.repeat(part, k, axis=0) for part in start_model(features, training=False)])
    only_end = tf.constant([0.0] + [NEVER] * (k - 1))

    @tf.function(reduce_retracing=True)
    def step(position, words, captions, finished, total, found, found_captions, h, c):
        logits, h, c = step_model([tf.reshape(words, [-1]), h, c], training=False)
        normaliser = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        best, choices = tf.math.top_k(logits + _silence(tokens, logits.shape[-1]), k)
        best = tf.where(finished[..., None], only_end, tf.reshape(best - normaliser, [pictures, k, k]))
        choices = tf.where(finished[..., None], tokens.end, tf.reshape(choices, [pictures, k, k]))
        total, chosen = tf.math.top_k(tf.reshape(total[..., None] + best, [pictures, -1]), k)
        parents, words = chosen // k, tf.gather(tf.reshape(choices, [pictures, -1]), chosen, batch_dims=1)
        captions = tf.gather(captions, parents, batch_dims=1)
        captions = tf.where(tf.range(MAX_LEN) == position, words[..., None], captions)
        before = tf.gather(finished, parents, batch_dims=1)
        finished = before | (words == tokens.end)
        new = tf.where(finished & ~before, total, NEVER)
        found, found_captions = _best_of(found, found_captions, new, captions)
        rows = tf.reshape(k * tf.range(pictures)[:, None] + parents, [-1])
        h, c = tf.gather(h, rows), tf.gather(c, rows)
        goes_on = tf.reduce_any(found[:, -1] < tf.reduce_max(tf.where(finished, NEVER, total), axis=1))
        return words, captions, finished, total, found, found_captions, h, c, goes_on

    def search(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        words = tf.fill([pictures, k], tokens.start)
        captions, finished = tf.fill([pictures, k, MAX_LEN], tokens.end), tf.zeros([pictures, k], tf.bool)
        total = tf.tile(tf.constant([[0.0] + [NEVER] * (k - 1)]), [pictures, 1])
        carried = [words, captions, finished, total, tf.fill([pictures, k], NEVER), captions]
        carried += start(tf.constant(features))
        for position in range(MAX_LEN):
            *carried, goes_on = step(tf.constant(position), *carried)
            if not goes_on:
                break
        _, captions, finished, total, found, found_captions, *_ = carried
        found, found_captions = _best_of(found, found_captions, tf.where(finished, NEVER, total), captions)
        return found_captions[:, 0].numpy(), found[:, 0].numpy()

    return search


def _silence(tokens: SpecialTokens, size: int) -> np.ndarray:
    """What to add to the scores of words, so that those that are no words are not said."""
    silence = np.zeros(size, "float32")
    silence[list(tokens.suppressed)] = NEVER
    return silence


def _best_of(score: tf.Tensor, captions: tf.Tensor, new_score: tf.Tensor, new_captions: tf.Tensor) -> tuple:
    """The k best of captions found so far and of others."""
    score, best = tf.math.top_k(tf.concat([score, new_score], axis=1), score.shape[1])
    return score, tf.gather(tf.concat([captions, new_captions], axis=1), best, batch_dims=1)


def greedy_one(work: dict) -> Callable[[], Sample]:
    """Greedy, one picture at a time."""
    weights, features, tokens = read_work(work)
    return search_one_by_one(greedy_searcher(step_models(weights), tokens), features, rounds=2)


def greedy_many(work: dict) -> Callable[[], Sample]:
    """Greedy, all pictures together."""
    weights, features, tokens = read_work(work)
    return search_all(greedy_searcher(step_models(weights), tokens), features)


def beam_many(work: dict) -> Callable[[], Sample]:
    """Beam search, all pictures together."""
    weights, features, tokens = read_work(work)
    return search_all(beam_searcher(step_models(weights), tokens, len(features)), features)
