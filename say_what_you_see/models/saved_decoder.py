"""Reads the bottlenecked LSTM out of a `.keras` file without Keras, which takes several seconds to start."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from say_what_you_see.core.weight_files import CONFIG, WEIGHTS, count_numbers, read_part
from say_what_you_see.models.numpy_decoder import ACTIVATIONS, LSTM, Dense, NumpyDecoder, Standardise

_LAYERS = {
    "image_embeds": "InputLayer",
    "words": "InputLayer",
    "standardise": "Normalization",
    "image_bottleneck": "Dense",
    "image_dropout": "Dropout",
    "initial_state": "Dense",
    "word_embedding": "Embedding",
    "lstm": "LSTM",
    "hidden_dropout": "Dropout",
    "logit_bottleneck": "Dense",
    "logits": "Dense",
}
"""Those of `say_what_you_see.models.bottleneck_lstm.build_decoder`, with their classes."""
_EPSILON = np.float32(1e-7)  # Keras' own, which a deviation is at least


def read_saved_decoder(path: Path) -> NumpyDecoder | None:
    """A decoder in NumPy; None where the file holds another model than `build_decoder` makes.

    Raises:
        Exception: of nearly any kind, if the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        layers = json.loads(read_part(archive, CONFIG))["config"]["layers"]
        weights = _weights_by_layer(read_part(archive, WEIGHTS))
    if {layer["name"]: layer["class_name"] for layer in layers} != _LAYERS:
        return None
    config = {layer["name"]: layer["config"] for layer in layers}

    def dense(name: str) -> Dense:
        kernel, bias = weights[name]
        return Dense(kernel, bias, ACTIVATIONS[config[name]["activation"]])

    mean, variance, _ = weights["standardise"]
    standardise = Standardise(mean, np.maximum(np.sqrt(variance), _EPSILON))
    start: list[Any] = [standardise, dense("image_bottleneck"), dense("initial_state")]
    output, [embedding] = [dense("logit_bottleneck"), dense("logits")], weights["word_embedding"]
    return NumpyDecoder(start, embedding, LSTM(*weights["lstm_cell"]), output)


def _weights_by_layer(content: bytes) -> dict[str, list[np.ndarray]]:
    """The weights of each layer by its name, which Keras notes beside them."""
    found: dict[str, list[np.ndarray]] = {}

    def note(path: str, part: h5py.Group | h5py.Dataset) -> None:
        if isinstance(part, h5py.Group) and "name" in part.attrs:
            found[part.attrs["name"]] = [part[key][()] for key in sorted(part)]

    with h5py.File(io.BytesIO(content), "r") as file:
        count_numbers(file, len(content))
        file.visititems(note)
    return found
