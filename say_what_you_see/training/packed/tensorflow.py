"""The loss and the optimizer on TensorFlow, in few operations each.

The gradient of the loss is written by hand; tests compare it with the one that TensorFlow derives.
"""

from typing import Any

import tensorflow as tf

from say_what_you_see.core.backend import keras

Tensor = Any


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
