"""Reads an LSTM decoder out of a Keras model, so that its steps can be taken in NumPy.

The weights are used where they lie, without a copy, and looked up anew for every search: what training or loading has
changed in between counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.models.numpy_decoder import ACTIVATIONS, LSTM, Dense, NumpyDecoder, Standardise
from say_what_you_see.models.step import State

if TYPE_CHECKING:
    from say_what_you_see.models.keras_step import KerasStepModel

TOLERANCE = 1e-4
"""How far NumPy's numbers may be from Keras', relative to the largest one."""

layers = keras.layers


def read_numpy_decoder(model: KerasStepModel) -> NumpyDecoder | None:
    """The model in NumPy; None where it has layers that NumPy does not know, or weights on a GPU."""
    match _layers_with_work(model.step_model):
        case [layers.Embedding() as embedding, layers.LSTMCell() as cell, *output] if output:
            pass
        case _:
            return None
    start = _layers_with_work(model.start_model)
    known = all(isinstance(layer, (layers.Dense, layers.Normalization)) for layer in start)
    try:
        return NumpyDecoder(
            [_read_layer(layer) for layer in start] if known else model.start,
            read_weight(embedding.embeddings),
            LSTM(read_weight(cell.kernel), read_weight(cell.recurrent_kernel), read_weight(cell.bias)),
            [_read_layer(layer) for layer in output],
        )
    except (AttributeError, KeyError):  # a layer without a bias, an activation that NumPy does not know, a GPU
        return None


def agrees_with_keras(decoder: NumpyDecoder, model: KerasStepModel) -> bool:
    """Whether NumPy and Keras make the same numbers of noise: a model may do more than its layers tell."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, *model.start_model.inputs[0].shape[1:])).astype(np.float32)
    words = rng.integers(model.step_model.layers[1].input_dim, size=3)
    state = State([rng.normal(size=(3, part.shape[1])).astype(np.float32) for part in model.step_model.outputs[1:]])
    (own, own_state), (expected, expected_state) = decoder.step(words, state), model.step(words, state)
    pairs = [(own, expected), *zip(own_state.memory, expected_state.memory, strict=True)]
    pairs += zip(decoder.start(features).memory, model.start(features).memory, strict=True)
    return all(a.shape == b.shape and np.abs(a - b).max() <= TOLERANCE * np.abs(b).max() for a, b in pairs)


def _layers_with_work(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if not isinstance(layer, (layers.InputLayer, layers.Dropout))]


def _read_layer(layer: keras.layers.Layer) -> Any:
    if isinstance(layer, layers.Normalization):
        mean, variance = (keras.ops.convert_to_numpy(part)[0] for part in (layer.mean, layer.variance))
        return Standardise(mean, np.maximum(np.sqrt(variance), np.float32(keras.config.epsilon())))
    return Dense(read_weight(layer.kernel), read_weight(layer.bias), ACTIVATIONS[layer.activation.__name__])


def read_weight(weight: keras.Variable) -> np.ndarray:
    """A weight as an array, without copying it.

    Raises:
        AttributeError: if there is none, or it lies on a GPU.
    """
    value = weight.value
    if "CPU" not in str(value.device).upper():
        raise AttributeError("The weight lies on a GPU.")
    match keras.config.backend():
        case "tensorflow":  # whoever changes a variable while its value is in use changes a copy
            return np.asarray(memoryview(value.read_value()))
        case "torch":
            return value.detach().numpy()
    return np.asarray(value)
