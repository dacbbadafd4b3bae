"""LSTM decoders in NumPy: in so small a network, a framework's calls cost more than the arithmetic."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from say_what_you_see.models.step import State, StepModel


def elu(values: np.ndarray) -> np.ndarray:
    """x where it is positive, exp(x) - 1 elsewhere."""
    return np.maximum(values, np.expm1(np.minimum(values, 0)))


def linear(values: np.ndarray) -> np.ndarray:
    """The values, unchanged."""
    return values


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"elu": elu, "linear": linear}
"""By Keras' names."""


class Standardise:
    """Keras' Normalization: (x - mean) / deviation, from mean and variance, both (features,)."""

    def __init__(self, mean: np.ndarray, variance: np.ndarray) -> None:
        self.mean, self.deviation = mean, np.maximum(np.sqrt(variance), np.float32(1e-7))  # Keras' epsilon

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.deviation


class Dense(NamedTuple):
    """A fully connected layer: kernel (inputs, outputs), bias (outputs,)."""

    kernel: np.ndarray
    bias: np.ndarray
    activation: Callable[[np.ndarray], np.ndarray] = linear

    def __call__(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        product = np.matmul(values, self.kernel, out=out)
        product += self.bias
        return self.activation(product)


class LSTM(NamedTuple):
    """One step of an LSTM: kernel (inputs, 4 units), recurrent kernel (units, 4 units), bias (4 units,).

    The four parts, in Keras' order, are input gate, forget gate, cell candidate and output gate.
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, inputs: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The new h and c, both (rows, units)."""
        units = h.shape[1]
        sums = inputs @ self.kernel
        sums += h @ self.recurrent_kernel
        sums += self.bias
        new_c = np.tanh(sums[:, 2 * units : 3 * units])
        np.negative(sums, out=sums)
        with np.errstate(over="ignore"):  # exp(100) is infinite in 32 bits, and 1 / infinity is 0, as it should be
            gates = np.exp(sums, out=sums)
        gates += 1
        np.reciprocal(gates, out=gates)
        new_c *= gates[:, :units]
        new_c += gates[:, units : 2 * units] * c
        new_h = np.tanh(new_c)
        new_h *= gates[:, 3 * units :]
        return new_h, new_c


class NumpyDecoder(StepModel):
    """A decoder with an LSTM.

    Args:
        start: the layers from features to the first h, which is also the first c; or another model's `start`.
        embedding: of words, (vocabulary, word size).
        output: the layers from h to the logits.
    """

    is_thread_safe = True

    def __init__(
        self,
        start: Sequence[Callable] | Callable[[np.ndarray], State],
        embedding: np.ndarray,
        lstm: LSTM,
        output: Sequence[Dense],
    ) -> None:
        self._start, self._embedding, self._lstm, self._output = start, embedding, lstm, output
        self._logits = threading.local()

    def start(self, features: np.ndarray) -> State:
        """The first h and c, from features (images, features)."""
        if callable(self._start):
            return self._start(features)
        for layer in self._start:
            features = layer(features)
        return State([features, features])

    def step(self, words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Logits and state after words (captions,); the same thread's next call overwrites the logits."""
        h, c = self._lstm(self._embedding.take(words, axis=0), *state.memory)
        values = h
        for layer in self._output[:-1]:
            values = layer(values)
        return self._output[-1](values, out=self._room_for_logits(len(words))), State([h, c])

    def _room_for_logits(self, captions: int) -> np.ndarray:
        """The same memory each time, since new memory costs as much as the logits themselves."""
        room = getattr(self._logits, "room", None)
        if room is None or len(room) < captions:
            room = self._logits.room = np.empty((captions, len(self._output[-1].bias)), dtype=np.float32)
        return room[:captions]
