"""The decoder in the style of TensorFlow 1: a graph with placeholders, `dynamic_rnn`, a session with a feed.

Its process needs TF_USE_LEGACY_KERAS=1 and the package tf_keras, in which the cells live on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.stage import Repetition
from benchmarks.stages.decoder_training import CLIP, EPSILON, LEARNING_RATE, PAD, batches_in_order, first_losses

tf1 = tf.compat.v1


def train(work: dict) -> Repetition:
    """Train with a loop over the batches."""
    graph, weights = tf.Graph(), dict(np.load(Path(work["folder"], "weights.npz")))
    with graph.as_default():
        feeds, cell, loss, step = build(weights)
        session = tf1.Session()
        session.run(tf1.global_variables_initializer())
        for variable, value in zip(cell.weights, lstm_weights(weights), strict=True):
            variable.load(value, session)
    batches = batches_in_order(work)

    def take_step(batch: tuple[np.ndarray, ...]) -> float:
        return session.run([loss, step], dict(zip(feeds, batch, strict=True)))[0]

    return first_losses(work["steps"], lambda: ([take_step(batch) for batch in batches], None))


def build(weights: Mapping[str, np.ndarray]) -> tuple[tuple[tf.Tensor, ...], Any, tf.Tensor, tf.Operation]:
    """The graph: its placeholders, its cell, whose weights are still to be set, its loss, and a step of training."""
    embeds = tf1.placeholder(tf.float32, (None, len(weights["standardise/mean"])))
    words, targets = (tf1.placeholder(tf.int32, (None, None)) for _ in range(2))
    real = tf.cast(tf.not_equal(targets, PAD), tf.float32)
    x = (embeds - weights["standardise/mean"]) / np.sqrt(weights["standardise/variance"])
    state = tf.nn.elu(_dense(weights, "initial_state", tf.nn.elu(_dense(weights, "image_bottleneck", x))))
    read = tf.nn.embedding_lookup(tf1.Variable(weights["word_embedding/embeddings"]), words)
    units = len(weights["lstm/lstm_cell/recurrent_kernel"])
    cell = tf1.nn.rnn_cell.BasicLSTMCell(units, forget_bias=1.0)
    lengths = tf.cast(tf.reduce_sum(real, axis=1), tf.int32)
    start = tf1.nn.rnn_cell.LSTMStateTuple(state, state)
    hidden, _ = tf1.nn.dynamic_rnn(cell, read, sequence_length=lengths, initial_state=start)
    hidden = tf.reshape(hidden, (-1, units))
    logits = _dense(weights, "logits", tf.nn.elu(_dense(weights, "logit_bottleneck", hidden)))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.reshape(targets, (-1,)), logits=logits)
    loss = tf.reduce_sum(losses * tf.reshape(real, (-1,))) / tf.reduce_sum(real)
    optimizer = tf1.train.AdamOptimizer(LEARNING_RATE, epsilon=EPSILON)
    gradients, variables = zip(*optimizer.compute_gradients(loss), strict=True)
    gradients, _ = tf.clip_by_global_norm(gradients, CLIP)
    step = optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return (embeds, words, targets), cell, loss, step


def lstm_weights(weights: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of the cell: gates in the order let in, new, keep, let out, and 1 less for keep's bias."""

    def in_order(matrix: np.ndarray) -> np.ndarray:
        let_in, keep, new, let_out = np.split(matrix, 4, axis=-1)
        return np.concatenate([let_in, new, keep, let_out], axis=-1)

    kernel, recurrent, bias = (weights[f"lstm/lstm_cell/{part}"] for part in ("kernel", "recurrent_kernel", "bias"))
    keep = np.repeat(np.array([0, 1, 0, 0], dtype="float32"), len(recurrent))
    return in_order(np.concatenate([kernel, recurrent])), in_order(bias - keep)


def _dense(weights: Mapping[str, np.ndarray], name: str, x: tf.Tensor) -> tf.Tensor:
    """A layer with the weights of the start."""
    kernel, bias = (tf1.Variable(weights[f"{name}/{part}"]) for part in ("kernel", "bias"))
    return tf.nn.bias_add(tf.matmul(x, kernel), bias)
