"""The step function of a Keras model, in Keras or, where that gives the same numbers, in NumPy.

NumPy uses the weights in place, without a copy, and looks them up anew for every search, so that changes made by
training or loading in between count.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.models.numpy_decoder import ACTIVATIONS, LSTM, Dense, NumpyDecoder, Standardise
from say_what_you_see.models.step import State, StepModel

TOLERANCE = 1e-4
"""How far NumPy's numbers may differ from Keras', relative to the largest one."""

layers, ops = keras.layers, keras.ops


class KerasStepModel(StepModel):
    """The layers of a trained model, rearranged to predict a single next word; memory passes from call to call.

    Attributes:
        start_model: from features (images, ...) to [*memory, *context], each (images, ...).
        step_model: from [words (captions,), *memory, *context] to [logits (captions, vocabulary), *memory].
    """

    def __init__(self, start_model: keras.Model, step_model: keras.Model) -> None:
        self.start_model, self.step_model = start_model, step_model
        self._numpy_agrees: bool | None = None  # not tried yet
        self._memory_size = len(step_model.outputs) - 1
        self._compiled_step = self._with_context_of_images()

    def start(self, features: np.ndarray) -> State:
        """The state before the first word, from features (images, ...)."""
        started = self.start_model.predict_on_batch(np.asarray(features, dtype=np.float32))
        started = started if isinstance(started, list) else [started]
        memory, context = started[: self._memory_size], started[self._memory_size :]
        return State(memory, tuple(map(ops.convert_to_tensor, context)), np.arange(len(memory[0]), dtype=np.int32))

    def step(self, words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Logits of the next words (captions, vocabulary), and the new state, after words (captions,)."""
        count, rows = len(words), [np.asarray(words, dtype=np.int32), *state.memory]
        if state.context and state.image is not None:
            rows.append(state.image)
        if keras.config.backend() == "jax":  # it compiles anew for every batch size, so use few
            missing = (1 << (count - 1).bit_length()) - count
            rows = [np.concatenate([part, np.repeat(part[:1], missing, axis=0)]) for part in rows]
        inputs = [*map(ops.convert_to_tensor, rows), *state.context] if state.context else rows  # all or none
        logits, *memory = (part[:count] for part in self._compiled_step.predict_on_batch(inputs))
        return np.asarray(logits, dtype=np.float32), State(memory, state.context, state.image)

    def fastest(self) -> StepModel:
        """The model in NumPy if NumPy knows its layers and they are not on a GPU; else the model itself."""
        decoder = None if self._numpy_agrees is False else _read_numpy_decoder(self)
        if decoder and self._numpy_agrees is None:
            self._numpy_agrees = _agrees_with_keras(decoder, self)
        return decoder if decoder and self._numpy_agrees else self

    def _with_context_of_images(self) -> keras.Model:
        """The step model, looking up each caption's context by its image, so that captions need no copies of it."""
        inputs = self.step_model.inputs[: 1 + self._memory_size]
        context = self.step_model.inputs[1 + self._memory_size :]
        if not context:
            return self.step_model
        image = layers.Input((), dtype="int32")
        own = [layers.Input(part.shape[1:], dtype=part.dtype) for part in (*inputs, *context)]
        rows, context = own[: len(inputs)], own[len(inputs) :]
        outputs = self.step_model([*rows, *(ops.take(part, image, axis=0) for part in context)])
        return keras.Model([*rows, image, *context], outputs)


def _read_numpy_decoder(model: KerasStepModel) -> NumpyDecoder | None:
    """The model in NumPy; None if it has layers that NumPy cannot compute here, or weights on a GPU."""
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


def _agrees_with_keras(decoder: NumpyDecoder, model: KerasStepModel) -> bool:
    """Whether NumPy and Keras give the same numbers for random input: a model may do more than its layers show."""
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
        return Standardise(*(ops.convert_to_numpy(part)[0] for part in (layer.mean, layer.variance)))
    return Dense(read_weight(layer.kernel), read_weight(layer.bias), ACTIVATIONS[layer.activation.__name__])


def read_weight(weight: keras.Variable) -> np.ndarray:
    """A weight as an array, without copying it.

    Raises:
        AttributeError: if there is none, or it is on a GPU.
    """
    value = weight.value
    if "CPU" not in str(value.device).upper():
        raise AttributeError("The weight is on a GPU.")
    match keras.config.backend():
        case "tensorflow":  # changing a variable while its value is in use changes a copy
            return np.asarray(memoryview(value.read_value()))
        case "torch":
            return value.detach().numpy()
    return np.asarray(value)
