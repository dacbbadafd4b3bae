"""The step function of a Keras model."""

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.models.read_weights import agrees_with_keras, read_numpy_decoder
from say_what_you_see.models.step import State, StepModel

layers, ops = keras.layers, keras.ops


class KerasStepModel(StepModel):
    """The layers of a trained model, rearranged to predict a single next word; memory goes from call to call.

    Attributes:
        start_model: from features (images, ...) to [*memory, *context], each (images, ...).
        step_model: from [words (captions,), *memory, *context] to [logits (captions, vocabulary), *memory].
    """

    def __init__(self, start_model: keras.Model, step_model: keras.Model) -> None:
        self.start_model, self.step_model = start_model, step_model
        self._numpy_agrees: bool | None = None
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
        if keras.config.backend() == "jax":  # it compiles anew for every size of a batch, so let there be few
            missing = (1 << (count - 1).bit_length()) - count
            rows = [np.concatenate([part, np.repeat(part[:1], missing, axis=0)]) for part in rows]
        inputs = [*map(ops.convert_to_tensor, rows), *state.context] if state.context else rows  # all or none
        logits, *memory = (part[:count] for part in self._compiled_step.predict_on_batch(inputs))
        return np.asarray(logits, dtype=np.float32), State(memory, state.context, state.image)

    def fastest(self) -> StepModel:
        """The model in NumPy, where NumPy knows its layers and they are not on a GPU; else the model itself."""
        if self._numpy_agrees is False:
            return self
        decoder = read_numpy_decoder(self)
        if self._numpy_agrees is None:  # not tried yet
            self._numpy_agrees = decoder is not None and agrees_with_keras(decoder, self)
        return decoder if decoder is not None and self._numpy_agrees else self

    def _with_context_of_images(self) -> keras.Model:
        """The step model, which looks up each caption's context by its image: no context is kept for every caption."""
        inputs = self.step_model.inputs[: 1 + self._memory_size]
        context = self.step_model.inputs[1 + self._memory_size :]
        if not context:
            return self.step_model
        image = layers.Input((), dtype="int32")
        own = [layers.Input(part.shape[1:], dtype=part.dtype) for part in (*inputs, *context)]
        rows, context = own[: len(inputs)], own[len(inputs) :]
        outputs = self.step_model([*rows, *(ops.take(part, image, axis=0) for part in context)])
        return keras.Model([*rows, image, *context], outputs)
