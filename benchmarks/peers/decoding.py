"""Captions word by word with Keras' `predict`, with a compiled `tf.function`, and with PyTorch.

Each framework computes the next words and their log-probabilities; the loop around them is the same NumPy for all.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.decoder_work import BEAMS, MAX_LEN, repetition, step_model, vocabulary
from benchmarks.stage import Repetition
from say_what_you_see.decoding.samplers import SpecialTokens, special_tokens

Start = Callable[[np.ndarray, int], Any]
"""From features (images, features) to the state of k equal beams for each image."""
Step = Callable[[np.ndarray, Any, int], tuple[np.ndarray, np.ndarray, Any]]
"""From words (rows,) and a state to the k best next words, their log-probabilities, both (rows, k), and a new state."""
Take = Callable[[Any, np.ndarray], Any]
"""From a state and row numbers to these rows of the state."""


def keras_predict(work: dict, suppressed: list[int]) -> tuple[Start, Step, Take]:
    """`predict` once per word, as in most Keras tutorials."""
    from scipy.special import logsumexp

    model = step_model(work)

    def next_words(words: np.ndarray, state: list[np.ndarray], k: int) -> tuple:
        logits, *state = model.step_model.predict([words, *state], batch_size=len(words), verbose=0)
        normaliser = logsumexp(logits, axis=1, keepdims=True)
        logits[:, suppressed] = -np.inf
        best = np.argpartition(logits, -k, axis=1)[:, -k:]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(logits, best, axis=1), axis=1), axis=1)
        return best, np.take_along_axis(logits, best, axis=1) - normaliser, state

    def first(features: np.ndarray, k: int) -> list[np.ndarray]:
        parts = model.start_model.predict(features, batch_size=len(features), verbose=0)
        return [part.repeat(k, axis=0) for part in parts]

    return first, next_words, lambda state, rows: [part[rows] for part in state]


def tf_function(work: dict, suppressed: list[int]) -> tuple[Start, Step, Take]:
    """A compiled step function that does everything for one word."""
    import tensorflow as tf

    model, never = step_model(work), np.zeros(work["words"], "float32")
    never[suppressed] = -np.inf

    @tf.function(reduce_retracing=True)
    def next_words(words: tf.Tensor, state: list[tf.Tensor], k: int) -> tuple:
        logits, *state = model.step_model([words, *state], training=False)
        best, words = tf.math.top_k(logits + never, k)
        return words, best - tf.reduce_logsumexp(logits, axis=-1, keepdims=True), state

    @tf.function
    def first(features: tf.Tensor, k: int) -> list[tf.Tensor]:
        return [tf.repeat(part, k, axis=0) for part in model.start_model(features, training=False)]

    def numpy_words(words: np.ndarray, state: list[tf.Tensor], k: int) -> tuple:
        words, log_probs, state = next_words(tf.constant(words, tf.int32), state, k)
        return words.numpy(), log_probs.numpy(), state

    take = tf.function(lambda state, rows: [tf.gather(part, rows) for part in state], reduce_retracing=True)
    return lambda features, k: first(tf.constant(features), k), numpy_words, take


def pytorch(work: dict, suppressed: list[int]) -> tuple[Start, Step, Take]:
    """The PyTorch modules that are trained in another stage, under `inference_mode`."""
    import torch

    from benchmarks.peers.torch_decoders import Decoder, Weights

    model = Decoder(Weights(np.load(Path(work["folder"], "weights.npz"))))
    gates = list(model.lstm.parameters())  # the kernels for inputs and for h, and their biases

    @torch.inference_mode()
    def first(features: np.ndarray, k: int) -> tuple:
        return (model.start(torch.from_numpy(features)).repeat_interleave(k, 0),) * 2

    @torch.inference_mode()
    def next_words(words: np.ndarray, state: tuple, k: int) -> tuple:
        state = torch.lstm_cell(model.word_embedding(torch.from_numpy(words)), state, *gates)
        logits = model.predict(state[0])
        normaliser = logits.logsumexp(dim=-1, keepdim=True)
        logits[:, suppressed] = -torch.inf
        best, words = logits.topk(k, dim=-1)
        return words.numpy(), (best - normaliser).numpy(), state

    @torch.inference_mode()
    def take(state: tuple, rows: np.ndarray) -> tuple:
        return tuple(part[torch.from_numpy(rows)] for part in state)

    return first, next_words, take


def greedy_search(start: Start, step: Step, tokens: SpecialTokens, features: np.ndarray) -> np.ndarray:
    """The most probable word each time, until all captions have ended; returns their log-probabilities, (images,)."""
    state, words = start(features, 1), np.full(len(features), tokens.start)
    total, running = np.zeros(len(features), "float32"), np.ones(len(features), dtype=bool)
    for _ in range(MAX_LEN):
        best, log_probs, state = step(words, state, 1)
        words = np.where(running, best[:, 0], tokens.end)
        total += np.where(running, log_probs[:, 0], 0)
        running &= words != tokens.end
        if not running.any():
            break
    return total


def beam_search(start: Start, step: Step, take: Take, tokens: SpecialTokens, features: np.ndarray) -> np.ndarray:
    """The k best captions of each image, until nothing better can come; returns the best log-probabilities, (images,).

    Only the k best words of each beam can be among the k best of its image.
    """
    images, k, end = len(features), BEAMS, tokens.end
    state, words = start(features, k), np.full((images, k), tokens.start)
    captions, finished = np.full((images, k, MAX_LEN), end), np.zeros((images, k), dtype=bool)
    total = np.where(np.arange(k) == 0, 0, np.full((images, k), -np.inf, "float32"))
    ended = np.full((images, k), -np.inf, "float32")
    first_row, only_end = k * np.arange(images)[:, None], np.where(np.arange(k) == 0, 0, -np.inf)
    for position in range(MAX_LEN):
        best, log_probs, state = step(words.reshape(-1), state, k)
        log_probs = np.where(finished[..., None], only_end, log_probs.reshape(images, k, k))
        best = np.where(finished[..., None], end, best.reshape(images, k, k)).reshape(images, -1)
        scores = (total[..., None] + log_probs).reshape(images, -1)
        chosen = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        total, words, parents = np.take_along_axis(scores, chosen, 1), np.take_along_axis(best, chosen, 1), chosen // k
        captions = np.take_along_axis(captions, parents[..., None], axis=1)
        captions[:, :, position] = words
        before = np.take_along_axis(finished, parents, axis=1)
        finished = before | (words == end)
        ended = -np.sort(-np.concatenate([ended, np.where(finished & ~before, total, -np.inf)], axis=1), axis=1)[:, :k]
        state = take(state, (first_row + parents).reshape(-1))
        if (ended[:, -1] >= np.where(finished, -np.inf, total).max(axis=1)).all():
            break
    return np.maximum(ended[:, 0], np.where(finished, -np.inf, total).max(axis=1))


def captions(work: dict, framework: str, kind: str) -> Repetition:
    """Repetitions of a kind of decoding with a framework, one of the functions above."""
    tokens = special_tokens(vocabulary(work["words"]))
    start, step, take = globals()[framework](work, list(tokens.suppressed))
    if kind == "beam":
        return repetition(partial(beam_search, start, step, take, tokens), work, kind)
    return repetition(partial(greedy_search, start, step, tokens), work, kind)
