"""The bottlenecked decoder without padding on TensorFlow and a CPU, its LSTM in few operations.

The gradient is written by hand, so that only what is needed is computed. Tests compare it with the one that TensorFlow
derives.
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
