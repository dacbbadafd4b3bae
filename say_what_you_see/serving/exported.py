"""Captions pictures without Keras, from an export that was made with it: nothing here imports it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json
from say_what_you_see.decoding.generate import GeneratedCaptions, generate
from say_what_you_see.decoding.samplers import Greedy, Sampler
from say_what_you_see.models.numpy_decoder import NumpyDecoder
from say_what_you_see.models.step import State, StepModel
from say_what_you_see.serving.familiarity import Familiarity, read_familiarity
from say_what_you_see.vision.openvino import Network, openvino_is_installed

FORMAT = 2
METADATA_FILE = "exported.json"
DECODER_FILE = "decoder.npz"
"""The decoder in NumPy, where its layers allow it; else there are the networks "start" and "step"."""


@dataclass
class FastCaptioner:
    """A captioner that needs no Keras.

    Attributes:
        embed: from RGB from 0 to 255, (n, height, width, 3), to the features of images, (n, ...).
        model: predicts the next word.
        input_shape: height and width of the pictures.
        vocab: word to index.
        pictures_kind: what it was trained on: "scenes" that the course drew, or "photographs".
        familiarity: what tells pictures that it does not know, where its model folder has that.
        features_name: the same for two captioners whose features are the same.
    """

    embed: Callable[[np.ndarray], np.ndarray]
    model: StepModel
    input_shape: tuple[int, int]
    vocab: dict[str, int]
    pictures_kind: str = "photographs"
    familiarity: Familiarity | None = None
    features_name: str = ""

    def compile_encoder(self) -> None:
        """Nothing: the encoder was compiled when it was read."""

    def generate(
        self,
        features: np.ndarray,
        sampler: Sampler = Greedy(),  # noqa: B008  it cannot be changed
        rng: np.random.Generator | None = None,
    ) -> GeneratedCaptions:
        """Captions of embedded images."""
        return generate(self.model, features, self.vocab, sampler, rng)


def read_exported(folder: Path) -> FastCaptioner:
    """Read an exported captioner; OpenVINO keeps what it compiles beside the networks, for a quicker start.

    Raises:
        CourseError: if it is of another format.
    """
    metadata = read_json(folder / METADATA_FILE)
    if metadata["format"] != FORMAT:
        raise CourseError(f"{folder / METADATA_FILE} is of a format that this version of the course does not know.")
    scale, shift = (np.array(metadata[name], dtype="float32") for name in ("scale", "shift"))
    encoder_folder = folder.parent / metadata["encoder"]
    encoder = Network.exported(encoder_folder / "encoder.xml", encoder_folder / "compiled")

    def embed(images: np.ndarray) -> np.ndarray:
        pixels = images[..., ::-1] if metadata["reverse_channels"] else images
        return encoder(pixels.astype("float32") * scale + shift)[0]

    in_numpy = (folder / DECODER_FILE).is_file()
    decoder = NumpyDecoder.load(folder / DECODER_FILE) if in_numpy else NetworkStepModel(folder, metadata["n_states"])
    vocab = {word: index for index, word in enumerate(metadata["words"])}
    shape, kind, name = tuple(metadata["input_shape"]), metadata["pictures_kind"], metadata["encoder"]
    return FastCaptioner(embed, decoder, shape, vocab, kind, features_name=name)


class NetworkStepModel(StepModel):
    """A step model of two networks: one makes the first state, the other takes a step."""

    def __init__(self, folder: Path, memory_size: int) -> None:
        self._start, self._step = (
            Network.exported(folder / f"{part}.xml", folder / "compiled") for part in ("start", "step")
        )
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
    """Where the export of a model folder is kept; another training in the same folder takes the same place."""
    return data_folder / "exported" / hashlib.sha256(os.fsencode(os.path.realpath(model_folder))).hexdigest()[:12]


def model_digest(model_folder: Path) -> str:
    """What an export remembers of its model: a checksum of its encoder and of the checksums of its parts."""
    metadata = read_json(model_folder / "model.json")
    return hashlib.sha256(json.dumps([metadata["encoder"], metadata["checksums"]]).encode()).hexdigest()


def cannot_be_exported(model_folder: Path, data_folder: Path) -> bool:
    """Whether it was tried with this very model, and failed."""
    try:
        metadata = read_json(exported_folder(model_folder, data_folder) / METADATA_FILE)
        return "failed" in metadata and metadata["model"] == model_digest(model_folder)
    except (CourseError, KeyError, OSError, TypeError):
        return False


def load_exported(model_folder: Path, data_folder: Path) -> FastCaptioner | None:
    """The exported captioner of a model folder; None where there is none, or none that can be used."""
    folder = exported_folder(model_folder, data_folder)
    try:
        if not openvino_is_installed() or read_json(folder / METADATA_FILE)["model"] != model_digest(model_folder):
            return None
        return replace(read_exported(folder), familiarity=read_familiarity(model_folder))
    except (CourseError, KeyError, OSError, RuntimeError, TypeError, ValueError):  # damaged, or of another OpenVINO
        return None
