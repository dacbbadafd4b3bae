"""Captions word by word with Keras' `predict`, with a compiled `tf.function`, and with PyTorch.

Each framework computes the next words and their log-probabilities; the loop around them is the same NumPy for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.decoder_work import BEAMS, MAX_LEN, DecoderWork, course_decoder, read_work, repetition
from benchmarks.stage import Repetition

Start = Callable[[np.ndarray, int], Any]
"""From features (images, features) to the state of so many equal beams of each."""
Step = Callable[[np.ndarray, Any, int], tuple[np.ndarray, np.ndarray, Any]]
"""From words (rows,) and a state to the k best next words and their log-probabilities, (rows, k), and the new state."""
Take = Callable[[Any, np.ndarray], Any]
"""Rows of a state."""


def keras_predict(sizes: dict, work: DecoderWork) -> tuple[Start, Step, Take]:
    """`predict` once a word, as most tutorials for Keras do it."""
    start, step = step_models(sizes, work)

    def next_words(words: np.ndarray, state: list[np.ndarray], k: int) -> tuple:
        logits, *state = step.predict([words, *state], batch_size=len(words), verbose=0)
        normaliser = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)) + logits.max(axis=1)
        logits[:, list(work.tokens.suppressed)] = -np.inf
        best = np.argpartition(logits, -k, axis=1)[:, -k:]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(logits, best, axis=1), axis=1), axis=1)
        return best, np.take_along_axis(logits, best, axis=1) - normaliser[:, None], state

    def first(features: np.ndarray, k: int) -> list[np.ndarray]:
        return [part.repeat(k, axis=0) for part in start.predict(features, batch_size=len(features), verbose=0)]

    return first, next_words, lambda state, rows: [part[rows] for part in state]


def tf_function(sizes: dict, work: DecoderWork) -> tuple[Start, Step, Take]:
    """A compiled step, with all that belongs to a word in it."""
    import tensorflow as tf

    start, step = step_models(sizes, work)
    suppressed = np.zeros(sizes["words"], "float32")
    suppressed[list(work.tokens.suppressed)] = -np.inf

    @tf.function(reduce_retracing=True)
    def next_words(words: tf.Tensor, state: list[tf.Tensor], k: int) -> tuple:
        logits, *state = step([words, *state], training=False)
        best, words = tf.math.top_k(logits + suppressed, k)
        return words, best - tf.reduce_logsumexp(logits, axis=-1, keepdims=True), state

    first = tf.function(lambda features, k: [tf.repeat(part, k, axis=0) for part in start(features, training=False)])
    take = tf.function(lambda state, rows: [tf.gather(part, rows) for part in state], reduce_retracing=True)

    def numpy_words(words: np.ndarray, state: list[tf.Tensor], k: int) -> tuple:
        words, log_probs, state = next_words(tf.constant(words, tf.int32), state, k)
        return words.numpy(), log_probs.numpy(), state

    return lambda features, k: first(tf.constant(features), k), numpy_words, take


def step_models(sizes: dict, work: DecoderWork) -> tuple:
    """From features to the first [h, c], and from [words, h, c] to [logits, h, c], as models of Keras."""
    from say_what_you_see.models.bottleneck_lstm import decoder_step_model

    model = decoder_step_model(course_decoder(sizes, work.weights))
    return model.start_model, model.step_model


def pytorch(sizes: dict, work: DecoderWork) -> tuple[Start, Step, Take]:
    """Modules of PyTorch under `inference_mode`."""
    import torch
    from torch import nn

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(work.weights[name])

    def dense(name: str, values: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(values, kernels[name], tensor(f"{name}/1"))

    names = ("image_bottleneck", "initial_state", "logit_bottleneck", "logits")
    kernels = {name: tensor(f"{name}/0").T.contiguous() for name in names}
    cell = nn.LSTMCell(len(tensor("lstm/0")), len(tensor("lstm/1")))
    with torch.no_grad():  # the gates stand as in Keras
        for parameter, value in zip(
            cell.parameters(), (tensor("lstm/0").T, tensor("lstm/1").T, tensor("lstm/2")), strict=False
        ):
            parameter.copy_(value)
        cell.bias_hh.zero_()
    embedding, elu, suppressed = tensor("word_embedding/0"), nn.functional.elu, list(work.tokens.suppressed)

    @torch.inference_mode()
    def first(features: np.ndarray, k: int) -> tuple:
        state = elu(dense("initial_state", elu(dense("image_bottleneck", torch.from_numpy(features)))))
        return (state.repeat_interleave(k, 0),) * 2

    @torch.inference_mode()
    def next_words(words: np.ndarray, state: tuple, k: int) -> tuple:
        state = cell(nn.functional.embedding(torch.from_numpy(words), embedding), state)
        logits = dense("logits", elu(dense("logit_bottleneck", state[0])))
        normaliser = logits.logsumexp(dim=-1, keepdim=True)
        logits[:, suppressed] = -torch.inf
        best, words = logits.topk(k, dim=-1)
        return words.numpy(), (best - normaliser).numpy(), state

    @torch.inference_mode()
    def take(state: tuple, rows: np.ndarray) -> tuple:
        return tuple(part[torch.from_numpy(rows)] for part in state)

    return first, next_words, take


def greedy_search(start: Start, step: Step, features: np.ndarray, work: DecoderWork) -> np.ndarray:
    """The most probable word each time, until all captions have ended; returns their log-probabilities, (images,)."""
    state, words = start(features, 1), np.full(len(features), work.tokens.start)
    total, running = np.zeros(len(features), "float32"), np.ones(len(features), dtype=bool)
    for _ in range(MAX_LEN):
        best, log_probs, state = step(words, state, 1)
        words = np.where(running, best[:, 0], work.tokens.end)
        total += np.where(running, log_probs[:, 0], 0)
        running &= words != work.tokens.end
        if not running.any():
            break
    return total


def beam_search(start: Start, step: Step, take: Take, features: np.ndarray, work: DecoderWork) -> np.ndarray:
    """The k best captions of each image, until nothing better can come; returns the best log-probabilities, (images,).

    Of each beam only its k best words can be among the k best of its image.
    """
    images, k, end = len(features), BEAMS, work.tokens.end
    state, words = start(features, k), np.full((images, k), work.tokens.start)
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
    """Repetitions of a framework, one of the functions above, on a kind of decoding."""
    read = read_work(work)
    start, step, take = globals()[framework](work, read)
    if kind == "beam":
        return repetition(lambda features: beam_search(start, step, take, features, read), read.features, kind)
    return repetition(lambda features: greedy_search(start, step, features, read), read.features, kind)
