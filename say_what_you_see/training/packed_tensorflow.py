"""Quick training with TensorFlow on a CPU: the LSTM, the loss and the optimizer, with few operations each.

The gradients are written out by hand, so that nothing is computed that is not needed. They are those that TensorFlow
finds itself, which tests hold them against.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from say_what_you_see.core.backend import keras
from say_what_you_see.training.packed import PackedBatch, QuickTrainee

Tensor = Any

_LAYERS = {
    "image_embeds", "standardise", "image_bottleneck", "image_dropout", "initial_state", "words", "word_embedding",
    "lstm", "hidden_dropout", "logit_bottleneck", "logits",
}  # fmt: skip
_LSTM = {
    "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "dropout": 0.0,
    "recurrent_dropout": 0.0, "return_sequences": True, "go_backwards": False, "stateful": False,
}  # fmt: skip


def suits(decoder: keras.Model) -> bool:
    """Whether a decoder is one of `build_decoder`'s kind, in float32, and there is no GPU, which has better ways."""
    if {layer.name for layer in decoder.layers} != _LAYERS or tf.config.list_physical_devices("GPU"):
        return False
    lstm = decoder.get_layer("lstm")
    if not isinstance(lstm, keras.layers.LSTM) or any(layer.compute_dtype != "float32" for layer in decoder.layers[2:]):
        return False
    options = lstm.get_config()
    return all(options[name] == value for name, value in _LSTM.items())


class TensorFlowTrainee(QuickTrainee):
    """A decoder of `build_decoder` seen for training: padding is left out from the first step to the last."""

    def __init__(self, decoder: keras.Model, pad_idx: int) -> None:
        super().__init__(decoder, pad_idx)
        start = keras.Model(decoder.inputs[0], decoder.get_layer("initial_state").output)
        self._start = lambda *arguments, **options: start(*arguments, **options)  # no weights of its own

    def prepare(self, batch: PackedBatch) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """A batch as this model reads it: embeddings, (real,) words, how many go on at each step; (real,) targets."""
        return (batch.embeds, batch.words.ravel()[batch.positions], batch.counts), batch.targets

    def call(self, inputs: tuple[Tensor, ...], training: bool = False) -> Tensor:
        """What the layer "logits" is given at the real positions, (real, size)."""
        embeds, words, counts = inputs
        layer = self.decoder.get_layer
        state = self._start(embeds, training=training)
        weights = map(tf.convert_to_tensor, layer("lstm").cell.weights)
        hidden = packed_lstm(layer("word_embedding")(words), state, *weights, counts[0])
        return layer("logit_bottleneck")(layer("hidden_dropout")(hidden, training=training))

    def compute_loss(
        self, x=None, y: Tensor = None, y_pred: Tensor = None, sample_weight=None, training: bool = True
    ) -> Tensor:
        """The loss of `masked_crossentropy`, from what `call` returns."""
        logits = self.decoder.get_layer("logits")
        return crossentropy(y_pred, tf.convert_to_tensor(logits.kernel), tf.convert_to_tensor(logits.bias), y)


@tf.custom_gradient
def crossentropy(squeezed: Tensor, kernel: Tensor, bias: Tensor, targets: Tensor) -> tuple[Tensor, Any]:
    """Mean cross-entropy in nats of a layer's logits, without TensorFlow's slow kernel for it.

    The logits' gradient is the softmax, less 1 at the target. The bias takes part in the products, as the weights of an
    input that is always 1. The softmax's largest share, which cannot underflow, tells its denominator.

    Args:
        squeezed: what the layer is given, (real, size).
        kernel: (size, vocabulary).
        bias: (vocabulary,).
        targets: the true words, (real,).
    """
    real = tf.shape(targets)[0]
    inputs = tf.concat([squeezed, tf.ones((real, 1))], axis=1)
    logits = tf.matmul(inputs, tf.concat([kernel, bias[None]], axis=0))
    shares = tf.nn.softmax(logits)
    denominator = tf.reduce_max(logits, axis=1) - tf.math.log(tf.reduce_max(shares, axis=1))
    loss = tf.reduce_mean(denominator - tf.gather(logits, targets, batch_dims=1))

    def gradient(upstream: Tensor) -> tuple[Tensor | None, ...]:
        each = upstream / tf.cast(real, tf.float32)
        places = tf.stack([tf.range(real), tf.cast(targets, tf.int32)], axis=1)
        of_logits = tf.tensor_scatter_nd_sub(shares, places, tf.ones(real))
        of_weights = tf.matmul(inputs * each, of_logits, transpose_a=True)
        return tf.matmul(of_logits, kernel, transpose_b=True) * each, of_weights[:-1], of_weights[-1], None

    return loss, gradient


class _Step(NamedTuple):
    """What one step of the LSTM leaves for its gradient; each is (captions that go on, units)."""

    hidden_before: Tensor
    cell_before: Tensor
    let_in: Tensor
    keep: Tensor
    new: Tensor
    let_out: Tensor
    cell: Tensor
    squashed: Tensor
    hidden: Tensor


@tf.custom_gradient
def packed_lstm(
    words: Tensor, state: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor, counts: Tensor
) -> tuple[Tensor, Any]:
    """An LSTM over captions of different lengths, sorted, of which only those that go on take part in a step.

    Args:
        words: embeddings step by step, (real, word size).
        state: h and c before the first step, (captions, units).
        kernel: of the words, (word size, 4 units), in Keras' order: let in, keep, new, let out.
        recurrent: of the state, (units, 4 units).
        bias: (4 units,).
        counts: how many captions take part in each step, (steps,), never more than in the step before.

    Returns:
        The state h after each word, (real, units).
    """
    read = tf.split(tf.nn.bias_add(tf.matmul(words, kernel), bias), counts, num=counts.shape[0])
    hidden = cell = state
    steps: list[_Step] = []
    for gates, count in zip(read, tf.unstack(counts), strict=True):
        steps.append(_take_step(gates, hidden[:count], cell[:count], recurrent))
        hidden, cell = steps[-1].hidden, steps[-1].cell

    def gradient(upstream: Tensor) -> tuple[Tensor | None, ...]:
        of_gates, of_state = _go_back(steps, tf.split(upstream, counts, num=len(steps)), recurrent, tf.shape(state)[0])
        before = tf.concat([step.hidden_before for step in steps], axis=0)
        of_kernel, of_recurrent = (tf.matmul(inputs, of_gates, transpose_a=True) for inputs in (words, before))
        of_words = tf.matmul(of_gates, kernel, transpose_b=True)
        return of_words, of_state, of_kernel, of_recurrent, tf.reduce_sum(of_gates, axis=0), None

    return tf.concat([step.hidden for step in steps], axis=0), gradient


def _take_step(read: Tensor, hidden: Tensor, cell: Tensor, recurrent: Tensor) -> _Step:
    """One step: `read` is what the words say to the gates, (captions, 4 units)."""
    let_in, keep, new, let_out = tf.split(read + tf.matmul(hidden, recurrent), 4, axis=1)
    let_in, keep, new, let_out = tf.sigmoid(let_in), tf.sigmoid(keep), tf.tanh(new), tf.sigmoid(let_out)
    after = keep * cell + let_in * new
    squashed = tf.tanh(after)
    return _Step(hidden, cell, let_in, keep, new, let_out, after, squashed, let_out * squashed)


def _go_back(steps: list[_Step], upstream: list[Tensor], recurrent: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
    """From the last step to the first: the gradients of the gates, (real, 4 units), and of the state at the start."""
    of_hidden = of_cell = upstream[-1][:0]
    of_gates = []
    for step, of_output in zip(reversed(steps), reversed(upstream), strict=True):
        of_hidden = of_output + _pad(of_hidden, tf.shape(of_output)[0])
        of_cell = _pad(of_cell, tf.shape(of_output)[0]) + tf.raw_ops.TanhGrad(
            y=step.squashed, dy=of_hidden * step.let_out
        )
        gates = [
            tf.raw_ops.SigmoidGrad(y=step.let_in, dy=of_cell * step.new),
            tf.raw_ops.SigmoidGrad(y=step.keep, dy=of_cell * step.cell_before),
            tf.raw_ops.TanhGrad(y=step.new, dy=of_cell * step.let_in),
            tf.raw_ops.SigmoidGrad(y=step.let_out, dy=of_hidden * step.squashed),
        ]
        of_gates.append(tf.concat(gates, axis=1))
        of_hidden, of_cell = tf.matmul(of_gates[-1], recurrent, transpose_b=True), of_cell * step.keep
    return tf.concat(of_gates[::-1], axis=0), _pad(of_hidden + of_cell, captions)


def _pad(rows: Tensor, count: Tensor) -> Tensor:
    """Rows of zeros added below until there are `count`: captions that ended pass nothing back."""
    return tf.pad(rows, [[0, count - tf.shape(rows)[0]], [0, 0]])


class QuickAdamW(keras.optimizers.AdamW):
    """Keras' AdamW with clipping by each variable's norm, in one operation a variable instead of a dozen.

    Its variables are those of Keras', so that checkpoints of either go with both.

    Args:
        clip: gradients of a larger norm are scaled down to it, as with Keras' `clipnorm`.
    """

    def __init__(self, learning_rate: Any, weight_decay: float, clip: float) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay)
        self.clip = clip

    def update_step(self, gradient: Tensor, variable: tf.Variable, learning_rate: Tensor) -> None:
        """Bring one variable and its two moments up to date.

        Word vectors are left to Keras: of a word that occurs several times in a batch, it puts the sum of the squared
        gradients into the second moment where others put the square of their sum.
        """
        if isinstance(gradient, tf.IndexedSlices):
            values = self._clip(gradient.values)
            super().update_step(
                tf.IndexedSlices(values, gradient.indices, gradient.dense_shape), variable, learning_rate
            )
            return
        if variable.dtype != tf.float32:
            super().update_step(self._clip(gradient), variable, learning_rate)
            return
        index, step = self._get_variable_index(variable), tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[index].value.handle, v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step), beta2_power=tf.pow(self.beta_2, step), lr=learning_rate,
            beta1=self.beta_1, beta2=self.beta_2, epsilon=self.epsilon, grad=self._clip(gradient),
        )  # fmt: skip

    def _clip(self, gradient: Tensor) -> Tensor:
        """Scale a gradient down if its norm is too large, and else leave it where it is."""
        norm = tf.sqrt(2 * tf.nn.l2_loss(gradient))
        return tf.cond(norm > self.clip, lambda: gradient * (self.clip / norm), lambda: gradient)
