"""LSTM decoders in NumPy: for so small a network, the calls of a framework cost more than the arithmetic."""

from __future__ import annotations

import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from say_what_you_see.models.step import State, StepModel


def elu(values: np.ndarray) -> np.ndarray:
    """x where it is positive, exp(x) - 1 elsewhere."""
    return np.maximum(values, np.expm1(np.minimum(values, 0)))


def linear(values: np.ndarray) -> np.ndarray:
    """Leaves everything as it is."""
    return values


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"elu": elu, "linear": linear}
"""By Keras' names."""


class Standardise(NamedTuple):
    """(x - mean) / deviation, both (features,)."""

    mean: np.ndarray
    deviation: np.ndarray

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

    The four are, in Keras' order: input gate, forget gate, cell candidate, output gate.
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
        with np.errstate(over="ignore"):  # exp(100) is infinite in 32 bits, and 1 / infinity the 0 that is meant
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
        start: the layers from features to the first h, which is the first c as well; or another model's `start`.
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

    @property
    def can_be_saved(self) -> bool:
        """Whether all of it is layers, the start as well."""
        return not callable(self._start)

    def save(self, path: Path) -> None:
        """Write all weights of a decoder that can be saved."""
        arrays: dict[str, Any] = {"embedding": self._embedding}
        parts: dict[str, Any] = {"start": self._start, "lstm": [self._lstm], "output": self._output}
        for part, layers in parts.items():
            for number, layer in enumerate(layers):
                is_dense = isinstance(layer, Dense)
                kind = layer.activation.__name__ if is_dense else type(layer).__name__
                weights = layer[:2] if is_dense else layer
                arrays |= {f"{part}/{number}/{kind}/{index}": weight for index, weight in enumerate(weights)}
        with open(path, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> NumpyDecoder:
        """Read what `save` wrote.

        Raises:
            OSError: if it cannot be read.
            ValueError: if it is something else, or damaged.
        """
        damaged = AttributeError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls.from_arrays(dict(arrays))
        except damaged as error:
            raise ValueError(f"{path} is no decoder that was saved.") from error

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> NumpyDecoder:
        """A decoder of arrays by the names that `save` gives them: "start/0/elu/0", "lstm/0/LSTM/2", "embedding"."""
        weights: dict[tuple[str, int, str], list[np.ndarray]] = {}
        for name in sorted(set(arrays) - {"embedding"}):
            part, number, kind, _ = name.split("/")
            weights.setdefault((part, int(number), kind), []).append(arrays[name])
        layers: dict[str, list] = {"start": [], "lstm": [], "output": []}
        for (part, _, kind), arrays_of_layer in sorted(weights.items(), key=lambda item: item[0]):
            layers[part].append(_layer(kind, arrays_of_layer))
        return cls(layers["start"], arrays["embedding"], layers["lstm"][0], layers["output"])


def _layer(kind: str, weights: Sequence[np.ndarray]) -> Dense | LSTM | Standardise:
    if kind == "LSTM":
        return LSTM(*weights)
    if kind == "Standardise":
        return Standardise(*weights)
    kernel, bias = weights
    return Dense(kernel, bias, ACTIVATIONS[kind])
