"""Encoders that are run by the quickest engine there is, for extractions of thousands of pictures.

The encoder is exported once, held against Keras, and kept in the data folder.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, read_json, sha256_of, write_errors_explained, write_json
from say_what_you_see.data.archives import image_members
from say_what_you_see.vision.encoders import EncoderInfo
from say_what_you_see.vision.extraction import KERAS
from say_what_you_see.vision.openvino import ParallelNetwork, export_network, import_openvino, openvino_is_installed

OPENVINO = "openvino"
"""The name of the quick engine, as records of extractions have it."""

MIN_PICTURES = 5000
"""Fewer pictures are left to Keras: an export takes about ten seconds, and saves from 4 ms a picture on."""

BATCH_SIZE = 16
"""So many pictures at a time suit OpenVINO, of which the next ones have to be ready when it has done the last."""

TOLERANCE = 1e-3
"""How far an export may be from Keras, relative to the largest number."""

QUICKER_ON = ("x86_64", "amd64")
"""Processors on which OpenVINO was found to be quicker than Keras, by 1.15 to 1.6 times."""

FACTS_FILE, NETWORK_FILE = "encoder.json", "encoder.xml"


class FastEncoder:
    """Stands in for an encoder's Keras model in `say_what_you_see.vision.extraction.apply_model`, and gives the same, sooner.

    Which engine computes is decided when an extraction starts: the one that it was started with, else the quickest
    one that is there. Where OpenVINO is missing or makes other numbers, or Keras has a GPU, it is Keras. A rule decides
    and no measurement: one of a few seconds goes wrong when the machine is busy with something else.

    Args:
        encoder: the encoder, whose Keras model stays as it was.
        data_folder: the export is kept in `exported/` in there.
        zips: the pictures of the data set. If they are few, it is Keras, whether there is an export or not: the same
            data set gets the same numbers.

    Attributes:
        model: the Keras model.
        engine: who computes, `KERAS` or `OPENVINO`.
    """

    def __init__(self, encoder: EncoderInfo, data_folder: Path, zips: Sequence[str | Path]) -> None:
        self.model, self.engine = encoder.model, KERAS
        self.inputs = [keras.KerasTensor((None, *encoder.input_shape, 3))]
        self.weights_checksum = encoder.weights_checksum
        self._encoder, self._zips = encoder, zips
        self._folder = export_folder(encoder, data_folder)
        self._network: ParallelNetwork | None = None

    @property
    def batch_size(self) -> int:
        """How many pictures at a time suit the engine that a new extraction would have."""
        return BATCH_SIZE if openvino_is_quicker() and self._is_worth_it() else 32

    @property
    def folder(self) -> Path:
        """Where the export is, for those who run it somewhere else."""
        return self._folder

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """As of the Keras model."""
        return self.model.compute_output_shape(input_shape)

    def predict_on_batch(self, pictures: np.ndarray) -> np.ndarray | FutureEmbeddings:
        """The embeddings of preprocessed pictures, (n, height, width, 3); those of OpenVINO may come later."""
        if self.engine == KERAS:
            return self.model.predict_on_batch(pictures)
        return FutureEmbeddings(self._network.submit(pictures))

    def choose_engine(self, started_with: str | None = None) -> str:
        """Decide who computes from now on, and return its name.

        Args:
            started_with: what computed the rows that an interrupted extraction already has; None without any.
        """
        wanted = started_with == OPENVINO or (started_with is None and self._is_worth_it())
        may_be_fast = wanted and openvino_is_quicker()
        if may_be_fast and self._network is None:
            self._network = load_encoder_export(self._encoder, self._folder)
            if self._network is None and not self._was_refused():
                self._network = self._export()
        self.engine = OPENVINO if may_be_fast and self._network is not None else KERAS
        return self.engine

    def _is_worth_it(self) -> bool:
        return sum(len(image_members(zip_fn)) for zip_fn in self._zips) >= MIN_PICTURES

    def _was_refused(self) -> bool:
        facts = _read_facts(self._folder)
        return "failed" in facts and facts.get("made_with") == _made_with()

    def _export(self) -> ParallelNetwork | None:
        print(f"Exporting {self._encoder.name} to OpenVINO, which is quicker (once).", file=sys.stderr)
        try:
            reason = export_encoder(self._encoder, self._folder)
        except CourseError as error:  # a full disk, say, which need not stop the extraction
            reason = str(error)
        if reason:
            print(f"The embeddings are computed by Keras instead ({reason}).", file=sys.stderr)
            return None
        return load_encoder_export(self._encoder, self._folder)


class FutureEmbeddings:
    """Embeddings (n, ...) that are being computed. As an array, or cut like one, they are waited for."""

    def __init__(self, futures: list[Future]) -> None:
        self._futures = futures

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.stack([future.result() for future in self._futures])[rows]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or "float32", copy=False)


def export_folder(encoder: EncoderInfo, data_folder: Path) -> Path:
    """Where the export of an encoder is kept: a name for its layers, its weights, and the shapes that it works on."""
    layers = [{**layer.get_config(), "name": type(layer).__name__} for layer in encoder.model.layers]
    shapes = [list(encoder.input_shape), list(encoder.model.output_shape)]
    text = json.dumps([encoder.weights_checksum, shapes, layers], default=repr)
    return data_folder / "exported" / f"encoder_{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def load_encoder_export(encoder: EncoderInfo, folder: Path) -> ParallelNetwork | None:
    """The network of an export; None where there is none, or none that is whole."""
    facts = _read_facts(folder)
    try:
        if "failed" in facts or any(sha256_of(folder / name) != digest for name, digest in facts["files"].items()):
            return None
        return ParallelNetwork(folder / NETWORK_FILE, (*encoder.input_shape, 3))
    except (AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError):  # damaged, or another OpenVINO's
        return None


def export_encoder(encoder: EncoderInfo, folder: Path) -> str | None:
    """Export an encoder; what says that it is there is written last, when it was tried.

    Returns:
        None if it was made. Else why not, which is written down as well, so that nobody waits for it again.

    Raises:
        CourseError: if it cannot be written.
    """
    path = folder / NETWORK_FILE
    with write_errors_explained(folder / FACTS_FILE):
        (folder / FACTS_FILE).unlink(missing_ok=True)
    facts: dict[str, Any] = {"made_with": _made_with(), "encoder": encoder.name, "weights": encoder.weights_checksum}
    try:
        with atomic_path(path) as partial:
            export_network(encoder.model, partial)
            partial.with_suffix(".bin").replace(path.with_suffix(".bin"))
        agrees = _agrees(ParallelNetwork(path, (*encoder.input_shape, 3)), encoder)
        reason = None if agrees else "OpenVINO gives other numbers than Keras"
    except CourseError:
        raise
    except Exception as error:  # OpenVINO's have no class in common
        reason = f"OpenVINO cannot take it over: {type(error).__name__}"
    files = (path, path.with_suffix(".bin"))
    if reason:
        for file in files:
            file.unlink(missing_ok=True)
        write_json({**facts, "failed": reason}, folder / FACTS_FILE)
    else:
        write_json({**facts, "files": {file.name: sha256_of(file) for file in files}}, folder / FACTS_FILE)
    return reason


def _agrees(network: ParallelNetwork, encoder: EncoderInfo) -> bool:
    """Whether a network gives the same as Keras of pictures of noise."""
    noise = np.random.default_rng(0).integers(256, size=(4, *encoder.input_shape, 3)).astype("float32")
    pictures = np.asarray(encoder.preprocess_for_model(noise), dtype="float32")
    expected, found = encoder.model.predict_on_batch(pictures), network(pictures)
    return bool(np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max())  # which nan is not


def openvino_is_quicker() -> bool:
    """Whether OpenVINO is there, and to be preferred to Keras on this machine."""
    return openvino_is_installed() and platform.machine().lower() in QUICKER_ON and not keras_has_gpu()


def keras_has_gpu() -> bool:
    """Whether Keras would compute on a GPU or another accelerator."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    from keras.src.backend.torch.core import get_device

    return get_device() != "cpu"


def _made_with() -> str:
    """What an export depends on besides the encoder: one that failed may succeed with others."""
    return f"OpenVINO {import_openvino().__version__}, Keras {keras.__version__} on {keras.backend.backend()}"


def _read_facts(folder: Path) -> dict[str, Any]:
    try:
        facts = read_json(folder / FACTS_FILE)
    except CourseError:
        return {}
    return facts if isinstance(facts, dict) else {}
