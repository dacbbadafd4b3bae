"""The decoder in the style of TensorFlow 1: a graph with placeholders, `dynamic_rnn`, and a session that is fed.

Its process needs TF_USE_LEGACY_KERAS=1 and the package tf_keras, which still has the cells.
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
    """Build the graph; returns its placeholders, its cell (whose weights are not set yet), its loss and a step."""
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
    """The cell's kernel and bias, from Keras' gates (input, forget, candidate, output) in the cell's own order: input,
    candidate, forget, output. The cell adds 1 to the forget gate's bias itself.
    """
    kernel, recurrent, bias = (weights[f"lstm/lstm_cell/{part}"] for part in ("kernel", "recurrent_kernel", "bias"))
    forget_bias = np.repeat(np.array([0, 1, 0, 0], dtype="float32"), len(recurrent))
    gates = (np.split(matrix, 4, axis=-1) for matrix in (np.concatenate([kernel, recurrent]), bias - forget_bias))
    kernel, bias = (np.concatenate([i, candidate, f, o], axis=-1) for i, f, candidate, o in gates)
    return kernel, bias


def _dense(weights: Mapping[str, np.ndarray], name: str, x: tf.Tensor) -> tf.Tensor:
    """A dense layer with the initial weights."""
    kernel, bias = (tf1.Variable(weights[f"{name}/{part}"]) for part in ("kernel", "bias"))
    return tf.nn.bias_add(tf.matmul(x, kernel), bias)
