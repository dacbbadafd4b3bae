"""Reads a decoder out of a model of Keras, so that its captions can be searched for in NumPy.

The weights are looked at where they lie, on TensorFlow, JAX and PyTorch, and anew for every search: what training or
loading has changed in between counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.models.numpy_decoder import ACTIVATIONS, LSTM, Dense, NumpyDecoder, Standardise

if TYPE_CHECKING:
    from say_what_you_see.decoding.generation import NextWordModel

TOLERANCE = 1e-4
"""How far NumPy's numbers may be from Keras', relative to the largest one."""

layers = keras.layers


class KnownLayers(NamedTuple):
    """The layers of a model that can be had in NumPy, in their order.

    Attributes:
        start: from features to the first state; None where Keras is to do it.
    """

    start: list[Any] | None
    embedding: Any
    cell: Any
    output: list[Any]


def numpy_decoder(model: NextWordModel) -> NumpyDecoder | None:
    """The model in NumPy; None where it has layers that NumPy does not know, or lies on a GPU.

    Whether it predicts the same is tried once for each model.
    """
    if model.known_layers is None:
        known = _recognise(model)
        model.known_layers = known if known and _agrees(model, known) else ()
    return _read(model, model.known_layers) if model.known_layers else None


def _recognise(model: NextWordModel) -> KnownLayers | None:
    """The layers of a model that embeds a word, lets an LSTM read it, and makes logits with layers of weights."""
    embedding, cell, *output = [*_working_layers(model.step_model), None, None][: len(model.step_model.layers) + 2]
    output = [layer for layer in output if layer is not None]
    if type(embedding) is not layers.Embedding or type(cell) is not layers.LSTMCell or not output:
        return None
    gates = (cell.activation.__name__, cell.recurrent_activation.__name__, cell.use_bias)
    if gates != ("tanh", "sigmoid", True) or not all(_is_dense(layer) for layer in output):
        return None
    start = _working_layers(model.start_model)
    plain = all(_is_dense(layer) or type(layer) is layers.Normalization for layer in start)
    return KnownLayers(start if plain else None, embedding, cell, output)


def _working_layers(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if type(layer) not in (layers.InputLayer, layers.Dropout)]


def _is_dense(layer: Any) -> bool:
    return type(layer) is layers.Dense and layer.use_bias and layer.activation.__name__ in ACTIVATIONS


def _agrees(model: NextWordModel, known: KnownLayers) -> bool:
    """Whether NumPy and Keras make the same numbers of features, words and states that mean nothing."""
    decoder = _read(model, known)
    if decoder is None:
        return False
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, *model.start_model.inputs[0].shape[1:])).astype("float32")
    words = rng.integers(known.embedding.input_dim, size=3).astype("int32")
    state = [rng.normal(size=(3, known.cell.units)).astype("float32") for _ in range(2)]
    pairs = [(decoder.step(words, state), model.step_model([words, *state], training=False))]
    if known.start is not None:
        pairs.append((decoder.start(features), model.start_model(features, training=False)))
    return all(_close(own, keras.ops.convert_to_numpy(of_keras))
               for pair in pairs for own, of_keras in zip(*pair, strict=True))  # fmt: skip


def _close(own: np.ndarray, expected: np.ndarray) -> bool:
    return own.shape == expected.shape and np.abs(own - expected).max() <= TOLERANCE * np.abs(expected).max()


def _read(model: NextWordModel, known: KnownLayers) -> NumpyDecoder | None:
    """The decoder with the weights that the layers have now; None where they lie on a GPU."""
    cell, weights = known.cell, []

    def look(*of_layer: keras.Variable) -> list[np.ndarray | None]:
        arrays = [_look_at(weight) for weight in of_layer]
        weights.extend(arrays)
        return arrays

    def read(layer: Any) -> Dense | Standardise:
        if isinstance(layer, layers.Normalization):
            mean, variance = (keras.ops.convert_to_numpy(part)[0] for part in (layer.mean, layer.variance))
            return Standardise(mean, np.maximum(np.sqrt(variance), np.float32(keras.config.epsilon())))
        return Dense(*look(layer.kernel, layer.bias), ACTIVATIONS[layer.activation.__name__])

    decoder = NumpyDecoder(
        model.initial_state if known.start is None else [read(layer) for layer in known.start],
        *look(known.embedding.embeddings),
        LSTM(*look(cell.kernel, cell.recurrent_kernel, cell.bias)),
        [read(layer) for layer in known.output],
    )
    return None if any(array is None for array in weights) else decoder


def _look_at(weight: keras.Variable) -> np.ndarray | None:
    """A weight as an array, without copying it where that can be had; None where it lies on a GPU."""
    value, backend = weight.value, keras.backend.backend()
    if backend == "torch":
        return value.detach().numpy() if value.device.type == "cpu" else None
    if backend == "jax":
        return np.asarray(value) if {device.platform for device in value.devices()} == {"cpu"} else None
    if backend == "tensorflow" and type(value).__name__ == "ResourceVariable":
        import tensorflow as tf

        if "CPU" not in value.device:
            return None
        # Whoever changes a variable while somebody looks at it changes a copy: so TensorFlow keeps what was read.
        return np.asarray(memoryview(tf.raw_ops.ReadVariableOp(resource=value.handle, dtype=value.dtype)))
    return None
