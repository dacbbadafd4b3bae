"""The bottlenecked decoder on TensorFlow and a CPU: LSTM, loss and optimizer in few operations each.

The gradients are written by hand, so that only what is needed is computed. Tests compare them with those that
TensorFlow derives.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from say_what_you_see.core.backend import keras
from say_what_you_see.models.saved_decoder import LSTM_LAYERS
from say_what_you_see.training.packed.decoder import PackedBatch, PackedDecoder

Tensor = Any


class TensorFlowPackedDecoder(PackedDecoder):
    """A decoder of `build_decoder` without padding from the first step to the last."""

    @classmethod
    def supports(cls, decoder: keras.Model) -> bool:
        """Whether a decoder looks like one of `build_decoder`, in float32, without a GPU, where cuDNN is faster."""
        if {layer.name for layer in decoder.layers} != LSTM_LAYERS or tf.config.list_physical_devices("GPU"):
            return False
        lstm, float32 = decoder.get_layer("lstm"), {layer.compute_dtype for layer in decoder.layers[2:]} == {"float32"}
        if not (super().supports(decoder) and isinstance(lstm, keras.layers.LSTM) and float32):
            return False
        return lstm.use_bias and lstm.return_sequences and not (lstm.dropout or lstm.recurrent_dropout or lstm.stateful)

    @staticmethod
    def first_layers(decoder: keras.Model) -> keras.Model:
        """Those that make the LSTM's initial state."""
        return keras.Model(decoder.inputs[0], decoder.get_layer("initial_state").output)

    def prepare(self, batch: PackedBatch) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """A batch as this model reads it: embeddings, words (real,), counts (1, steps); and targets (real,)."""
        return (batch.embeds, batch.words.ravel()[batch.positions], batch.counts), batch.targets

    def call(self, inputs: tuple[Tensor, ...], training: bool = False) -> Tensor:
        """The inputs of the layer "logits" at the real positions, (real, size)."""
        embeds, words, counts = inputs
        layer = self.decoder.get_layer
        state = self._first_layers(embeds, training=training)
        weights = map(tf.convert_to_tensor, layer("lstm").cell.weights)
        hidden = packed_lstm(layer("word_embedding")(words), state, *weights, counts[0])
        return layer("logit_bottleneck")(layer("hidden_dropout")(hidden, training=training))


def dense_crossentropy(
    hidden: Tensor, kernel: Tensor, bias: Tensor, targets: Tensor, pad_idx: int, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy of the logits of a dense layer, without TensorFlow's slow kernel for it.

    Args:
        hidden: the layer's input, (words, size); its kernel is (size, vocabulary), its bias (vocabulary,).
        targets: the true words, (words,).

    Returns:
        The loss, as in `smoothed_crossentropy`, and as in `masked_crossentropy`, in nats; only the first has a
        gradient.
    """
    loss = tf.custom_gradient(lambda *tensors: _dense_crossentropy(pad_idx, label_smoothing, *tensors))
    return loss(tf.cast(hidden, kernel.dtype), kernel, bias, targets)


def _dense_crossentropy(
    pad_idx: int, label_smoothing: float, hidden: Tensor, kernel: Tensor, bias: Tensor, targets: Tensor
) -> tuple[tuple[Tensor, Tensor], Any]:
    """The losses, and the function of the gradient.

    The gradient of the logits is the softmax minus the target, which is 1 at the true word, unless it is smoothed. The
    bias is a row of the kernel here, for an input that is always 1. The log of the softmax's denominator comes from its
    largest probability, which cannot underflow.
    """
    words, share = tf.shape(targets)[0], tf.cast(targets != pad_idx, tf.float32)
    share /= tf.maximum(tf.reduce_sum(share), 1)
    inputs = tf.concat([hidden, tf.ones((words, 1))], axis=1)
    logits = tf.matmul(inputs, tf.concat([kernel, bias[None]], axis=0))
    probabilities = tf.nn.softmax(logits)
    log_denominator = tf.reduce_max(logits, axis=1) - tf.math.log(tf.reduce_max(probabilities, axis=1))
    of_targets = tf.gather(logits, targets, batch_dims=1)
    loss = crossentropy = tf.tensordot(log_denominator - of_targets, share, 1)
    if label_smoothing:
        loss += label_smoothing * tf.tensordot(of_targets - tf.reduce_mean(logits, axis=1), share, 1)

    def gradient(upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        scale = upstream * share[:, None]
        indices = tf.stack([tf.range(words), tf.cast(targets, tf.int32)], axis=1)
        d_logits = probabilities - label_smoothing / kernel.shape[1] if label_smoothing else probabilities
        d_logits = tf.tensor_scatter_nd_sub(d_logits, indices, tf.fill([words], 1 - label_smoothing))
        d_weights = tf.matmul(inputs * scale, d_logits, transpose_a=True)
        d_hidden = tf.matmul(d_logits, kernel, transpose_b=True) * scale
        return d_hidden, d_weights[:-1], d_weights[-1], None

    return (loss, crossentropy), gradient


class _Step(NamedTuple):
    """What the gradient of an LSTM's step needs; each is (captions that go on, units)."""

    previous_hidden: Tensor
    previous_cell: Tensor
    input_gate: Tensor
    forget_gate: Tensor
    candidate: Tensor
    output_gate: Tensor
    cell: Tensor
    tanh_cell: Tensor
    hidden: Tensor


@tf.custom_gradient
def packed_lstm(
    words: Tensor, state: Tensor, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor, counts: Tensor
) -> tuple[Tensor, Any]:
    """An LSTM over captions of different lengths, sorted: only those that go on take part in a step.

    Args:
        words: embeddings step by step, (real, word size).
        state: h and c before the first step, (captions, units).
        kernel: of the words, (word size, 4 units), in Keras' order: input gate, forget gate, candidate, output gate.
        recurrent_kernel: of the state, (units, 4 units).
        bias: (4 units,).
        counts: how many captions take part in each step, (steps,), never more than in the previous step.

    Returns:
        The state h after each word, (real, units).
    """
    from_words = tf.split(tf.nn.bias_add(tf.matmul(words, kernel), bias), counts, num=counts.shape[0])
    hidden = cell = state
    steps: list[_Step] = []
    for from_word, count in zip(from_words, tf.unstack(counts), strict=True):
        steps.append(_lstm_step(from_word, hidden[:count], cell[:count], recurrent_kernel))
        hidden, cell = steps[-1].hidden, steps[-1].cell

    def gradient(upstream: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden = tf.split(upstream, counts, num=len(steps))
        d_gates, d_state = _backpropagate(steps, d_hidden, recurrent_kernel, tf.shape(state)[0])
        previous = tf.concat([step.previous_hidden for step in steps], axis=0)
        d_kernel = tf.matmul(words, d_gates, transpose_a=True)
        d_recurrent = tf.matmul(previous, d_gates, transpose_a=True)
        d_words = tf.matmul(d_gates, kernel, transpose_b=True)
        return d_words, d_state, d_kernel, d_recurrent, tf.reduce_sum(d_gates, axis=0), None

    return tf.concat([step.hidden for step in steps], axis=0), gradient


def _lstm_step(from_word: Tensor, hidden: Tensor, cell: Tensor, recurrent_kernel: Tensor) -> _Step:
    """One step; `from_word` is what the words add to the gates, (captions, 4 units)."""
    gates = tf.split(from_word + tf.matmul(hidden, recurrent_kernel), 4, axis=1)
    input_gate, forget_gate, output_gate = (tf.sigmoid(gates[number]) for number in (0, 1, 3))
    candidate = tf.tanh(gates[2])
    new_cell = forget_gate * cell + input_gate * candidate
    tanh_cell = tf.tanh(new_cell)
    return _Step(
        hidden, cell, input_gate, forget_gate, candidate, output_gate, new_cell, tanh_cell, output_gate * tanh_cell
    )


def _backpropagate(
    steps: list[_Step], upstream: list[Tensor], recurrent_kernel: Tensor, captions: Tensor
) -> tuple[Tensor, Tensor]:
    """From the last step to the first: gradients of the gates, (real, 4 units), and of the initial state."""
    d_hidden = d_cell = upstream[-1][:0]
    d_gates = []
    for step, d_output in zip(reversed(steps), reversed(upstream), strict=True):
        count = tf.shape(d_output)[0]
        d_hidden = d_output + _pad(d_hidden, count)
        d_cell = _pad(d_cell, count) + tf.raw_ops.TanhGrad(y=step.tanh_cell, dy=d_hidden * step.output_gate)
        gates = [
            tf.raw_ops.SigmoidGrad(y=step.input_gate, dy=d_cell * step.candidate),
            tf.raw_ops.SigmoidGrad(y=step.forget_gate, dy=d_cell * step.previous_cell),
            tf.raw_ops.TanhGrad(y=step.candidate, dy=d_cell * step.input_gate),
            tf.raw_ops.SigmoidGrad(y=step.output_gate, dy=d_hidden * step.tanh_cell),
        ]
        d_gates.append(tf.concat(gates, axis=1))
        d_hidden, d_cell = tf.matmul(d_gates[-1], recurrent_kernel, transpose_b=True), d_cell * step.forget_gate
    return tf.concat(d_gates[::-1], axis=0), _pad(d_hidden + d_cell, captions)


def _pad(gradient: Tensor, count: Tensor) -> Tensor:
    """Add zeros below until there are `count` rows: captions that have ended pass nothing back."""
    return tf.pad(gradient, [[0, count - tf.shape(gradient)[0]], [0, 0]])


class FusedAdamW(keras.optimizers.AdamW):
    """Keras' AdamW with clipping by each variable's norm (`clipnorm`), in one operation for each variable instead of a
    dozen. Its variables are those of Keras' optimizer, so that checkpoints of either fit both.
    """

    def __init__(self, learning_rate: Any, weight_decay: float, clip: float) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay)
        self.clip = clip

    def update_step(self, gradient: Tensor, variable: tf.Variable, learning_rate: Tensor) -> None:
        """Update one variable and its two moments.

        Word embeddings are left to Keras: of a word that occurs several times in a batch, it puts the sum of the
        squared gradients into the second moment, not the square of their sum.
        """
        if isinstance(gradient, tf.IndexedSlices) or variable.dtype != tf.float32:
            super().update_step(self._clip(gradient), variable, learning_rate)
            return
        index, step = self._get_variable_index(variable), tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[index].value.handle, v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step), beta2_power=tf.pow(self.beta_2, step), lr=learning_rate,
            beta1=self.beta_1, beta2=self.beta_2, epsilon=self.epsilon, grad=self._clip(gradient),
        )  # fmt: skip

    def _clip(self, gradient: Tensor) -> Tensor:
        if isinstance(gradient, tf.IndexedSlices):
            return tf.IndexedSlices(self._clip(gradient.values), gradient.indices, gradient.dense_shape)
        norm = tf.sqrt(2 * tf.nn.l2_loss(gradient))
        return tf.cond(norm > self.clip, lambda: gradient * (self.clip / norm), lambda: gradient)
