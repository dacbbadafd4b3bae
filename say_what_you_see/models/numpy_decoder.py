"""The decoder in NumPy: for so small a network, the calls of a framework cost more than the numbers."""

from __future__ import annotations

import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

Activation = Callable[[np.ndarray], np.ndarray]
Layer = Callable[[np.ndarray], np.ndarray]


def elu(values: np.ndarray) -> np.ndarray:
    """x where it is positive, exp(x) - 1 elsewhere."""
    return np.maximum(values, np.expm1(np.minimum(values, 0)))


def linear(values: np.ndarray) -> np.ndarray:
    """Leaves everything as it is."""
    return values


ACTIVATIONS: dict[str, Activation] = {"elu": elu, "linear": linear}
"""By Keras' names."""


class Standardise(NamedTuple):
    """(x - mean) / deviation, both (features,)."""

    mean: np.ndarray
    deviation: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.deviation


class Dense(NamedTuple):
    """A layer of weights: kernel (inputs, outputs), bias (outputs,)."""

    kernel: np.ndarray
    bias: np.ndarray
    activation: Activation = linear

    def __call__(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        product = np.matmul(values, self.kernel, out=out)
        product += self.bias
        return self.activation(product)


class LSTM(NamedTuple):
    """One step of an LSTM: kernel (inputs, 4 units), recurrent (units, 4 units), bias (4 units,).

    The four are the gates in Keras' order: what is let in, what is kept, what is new, what is let out.
    """

    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray

    def __call__(self, inputs: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The new h and c, both (rows, units)."""
        units = h.shape[1]
        sums = inputs @ self.kernel
        sums += h @ self.recurrent
        sums += self.bias
        new_c = np.tanh(sums[:, 2 * units : 3 * units])
        np.negative(sums, out=sums)
        gates = np.exp(sums, out=sums)  # exp(100) is infinite in 32 bits, and 1 / infinity the 0 that is meant
        gates += 1
        np.reciprocal(gates, out=gates)
        new_c *= gates[:, :units]
        new_c += gates[:, units : 2 * units] * c
        new_h = np.tanh(new_c)
        new_h *= gates[:, 3 * units :]
        return new_h, new_c


class NumpyDecoder:
    """A decoder with an LSTM: a model that predicts one word at a time, as `say_what_you_see.decoding.search.StepModel` says.

    Args:
        start: the layers from features to the first h, which is the first c as well; or a function that returns
            both.
        embedding: of words, (vocabulary, word size).
        output: the layers from h to the logits.
    """

    n_states = 2
    is_thread_safe = True

    def __init__(
        self,
        start: Sequence[Layer] | Callable[[np.ndarray], list[np.ndarray]],
        embedding: np.ndarray,
        lstm: LSTM,
        output: Sequence[Dense],
    ) -> None:
        self._start, self._embedding, self._lstm, self._output = start, embedding, lstm, output
        self._kept = threading.local()

    def start(self, features: np.ndarray) -> list[np.ndarray]:
        """[h, c] before the first word, from features (rows, features)."""
        if callable(self._start):
            return list(self._start(features))
        state = features
        for layer in self._start:
            state = layer(state)
        return [state, state]

    def step(self, words: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
        """[logits, h, c] after words (rows,); the logits are overwritten by the same thread's next call."""
        h, c = self._lstm(self._embedding.take(words, axis=0), *state)
        values = h
        for layer in self._output[:-1]:
            values = layer(values)
        return [self._output[-1](values, out=self._room(len(words))), h, c]

    def _room(self, rows: int) -> np.ndarray:
        """Where logits go: the same memory each time, since new memory costs as much as the logits themselves."""
        room = getattr(self._kept, "room", None)
        if room is None or len(room) < rows:
            room = self._kept.room = np.empty((rows, len(self._output[-1].bias)), dtype=np.float32)
        return room[:rows]

    @property
    def can_be_saved(self) -> bool:
        """Whether all of it is layers, the start as well."""
        return not callable(self._start)

    def save(self, path: Path) -> None:
        """Write all weights of a decoder that can be saved."""
        arrays: dict[str, np.ndarray] = {"embedding": self._embedding}
        for name, layers in (("start", self._start), ("lstm", [self._lstm]), ("output", self._output)):
            for number, layer in enumerate(layers):
                kind = layer.activation.__name__ if isinstance(layer, Dense) else type(layer).__name__
                arrays |= {f"{name}/{number}/{kind}/{part}": array for part, array in enumerate(layer[:3])
                           if isinstance(array, np.ndarray)}  # fmt: skip
        with open(path, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> NumpyDecoder:
        """Read what `save` wrote.

        Raises:
            OSError: if it cannot be read.
            ValueError: if it is something else, or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls.from_arrays(dict(arrays))
        except (
            AttributeError,
            EOFError,
            KeyError,
            IndexError,
            TypeError,
            ValueError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ValueError(f"{path} is no decoder that was saved.") from error

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> NumpyDecoder:
        """A decoder of arrays by the names that `save` gives them: "start/0/elu/0", "lstm/0/LSTM/2", "embedding"."""
        parts: dict[str, dict[tuple[int, str], list[np.ndarray]]] = {"start": {}, "lstm": {}, "output": {}}
        for name in sorted(set(arrays) - {"embedding"}):
            part, number, kind, _ = name.split("/")
            parts[part].setdefault((int(number), kind), []).append(arrays[name])
        layers = {part: [_layer(kind, found[_, kind]) for _, kind in sorted(found)] for part, found in parts.items()}
        return cls(layers["start"], arrays["embedding"], layers["lstm"][0], layers["output"])


def _layer(kind: str, arrays: list[np.ndarray]) -> Layer:
    if kind in ("LSTM", "Standardise"):
        return {"LSTM": LSTM, "Standardise": Standardise}[kind](*arrays)
    return Dense(*arrays, ACTIVATIONS[kind])
