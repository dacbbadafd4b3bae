"""Captions pictures without Keras, with an encoder that was exported from it: nothing here imports Keras."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, read_note
from say_what_you_see.models.saved_decoder import read_saved_decoder
from say_what_you_see.models.step import State, StepModel
from say_what_you_see.serving.familiarity import Familiarity
from say_what_you_see.serving.model_choice import read_parts
from say_what_you_see.vision.openvino import compiled_network, openvino_is_installed

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


def read_exported(folder: Path, model_folder: Path) -> FastCaptioner:
    """Read a captioner from a model folder and its export. OpenVINO keeps what it compiles beside the networks.

    Raises:
        Exception: of almost any kind, if something is missing or damaged.
    """
    metadata = read_json(folder / METADATA_FILE)
    if metadata["format"] != FORMAT:
        raise CourseError(f"{folder / METADATA_FILE} has a format that this version of the course does not know.")
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


def cannot_be_exported(model_folder: Path, data_folder: Path) -> bool:
    """Whether exporting this very model has been tried, and failed."""
    metadata = read_note(exported_folder(model_folder, data_folder) / METADATA_FILE)
    return "failed" in metadata and metadata.get("model") == model_digest(model_folder)


def load_exported(model_folder: Path, data_folder: Path) -> FastCaptioner | None:
    """The exported captioner of a model folder; None if there is none that can be used."""
    folder = exported_folder(model_folder, data_folder)
    try:
        if not openvino_is_installed() or read_json(folder / METADATA_FILE)["model"] != model_digest(model_folder):
            return None
        return read_exported(folder, model_folder)
    except Exception:  # missing, damaged in any way, or from another OpenVINO
        return None
