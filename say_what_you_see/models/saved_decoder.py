"""Reads the bottlenecked LSTM and the transformer from a `.keras` file without Keras, which starts slowly."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from say_what_you_see.core.weight_files import CONFIG, WEIGHTS, count_numbers, read_part
from say_what_you_see.models.numpy_decoder import ACTIVATIONS, LSTM, Dense, NumpyDecoder, Standardise
from say_what_you_see.models.numpy_transformer import NumpyTransformer
from say_what_you_see.models.step import StepModel

LSTM_LAYERS = {
    "image_embeds", "words", "standardise", "image_bottleneck", "image_dropout", "initial_state", "word_embedding",
    "lstm", "hidden_dropout", "logit_bottleneck", "logits",
}  # fmt: skip
"""The layers that `say_what_you_see.models.bottleneck_lstm.build_decoder` makes."""
TRANSFORMER_LAYERS = {"features", "features_dropout", "encoder", "encoder_norm", "words", "decoder"}
"""The layers that `say_what_you_see.models.transformer.build_transformer` makes."""
_DENSE = ("image_bottleneck", "initial_state", "logit_bottleneck", "logits")
_LISTS = {"blocks": "decoder_block", "norms": "layer_normalization"}
"""What Keras calls the members of a list of layers: their class, with a number from the second one on."""


def read_saved_decoder(path: Path) -> StepModel | None:
    """A decoder in NumPy, from weights in any precision; None if the file does not hold a model made by `build_decoder`
    or `build_transformer`.

    Raises:
        Exception: of nearly any kind, if the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        layers = json.loads(read_part(archive, CONFIG))["config"]["layers"]
        config = {layer["name"]: layer["config"] for layer in layers}
        if config.keys() not in (LSTM_LAYERS, TRANSFORMER_LAYERS):
            return None
        weights = _weights_by_layer(read_part(archive, WEIGHTS))
    if config.keys() == TRANSFORMER_LAYERS:
        blocks, heads = config["decoder"]["blocks"], config["decoder"]["heads"]
        return NumpyTransformer(lambda place: weights[_place_in_file(place)], blocks, heads)
    if any(config[name].get("activation") not in ACTIVATIONS for name in _DENSE):
        return None
    dense = []
    for name in _DENSE:
        kernel, bias = weights[name]
        dense.append(Dense(kernel, bias, ACTIVATIONS[config[name]["activation"]]))
    mean, variance, _ = weights["standardise"]
    start: list[Any] = [Standardise(mean, variance), *dense[:2]]
    [embedding] = weights["word_embedding"]
    return NumpyDecoder(start, embedding, LSTM(*weights["lstm_cell"]), dense[2:])


def _place_in_file(place: str) -> str:
    """A layer's place in a file, given one in the model such as "decoder/blocks/1/expand"; outermost, its name."""

    def member(match: re.Match[str]) -> str:
        kind, number = match.groups()
        return f"{kind}/{_LISTS[kind]}" + (f"_{number}" if number != "0" else "")

    return re.sub(r"(blocks|norms)/(\d+)", member, place).replace("decoder/", "layers/transformer_decoder/", 1)


def _weights_by_layer(content: bytes) -> dict[str, list[np.ndarray]]:
    """The weights of each layer by its name, which Keras stores beside them, and by its place in the file."""
    found: dict[str, list[np.ndarray]] = {}

    def note(path: str, part: h5py.Group | h5py.Dataset) -> None:
        if isinstance(part, h5py.Group) and "name" in part.attrs:
            weights = [part[key][()].astype(np.float32) for key in sorted(part)]
            found[part.attrs["name"]] = found[path.removesuffix("/vars")] = weights

    with h5py.File(io.BytesIO(content), "r") as file:
        count_numbers(file, len(content))
        file.visititems(note)
    return found
