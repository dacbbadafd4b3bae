"""Encoders run by the fastest engine there is: exported to OpenVINO once, checked against Keras, and kept."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import count_accelerators, keras
from say_what_you_see.core.files import check_space, read_json, sha256_of, write_json
from say_what_you_see.data.archives import image_members
from say_what_you_see.vision.efficientnet_lite import VARIANTS, read_blocks
from say_what_you_see.vision.efficientnet_lite_networks import openvino_encoder
from say_what_you_see.vision.encoders import EncoderInfo
from say_what_you_see.vision.openvino import (
    OTHER_NUMBERS,
    ParallelNetwork,
    agree,
    export_network,
    export_once,
    has_bfloat16,
    import_openvino,
    openvino_is_installed,
)

KERAS, OPENVINO, OPENVINO_BFLOAT16 = "keras", "openvino", "openvino_bfloat16"
"""The engines that compute embeddings, by their names in records of extractions."""

MIN_PICTURES = 5000
"""Fewer images are left to Keras: an export takes about ten seconds, and saves 4 ms or more per image."""

BATCH_SIZE = 16
"""The batch size for OpenVINO, which needs the next images ready when it has finished the last ones."""

QUICKER_ON = ("x86_64", "amd64")
"""The processors on which OpenVINO was measured to be 1.15 to 1.6 times as fast as Keras."""

METADATA_FILE, NETWORK_FILE = "encoder.json", "encoder.xml"


class FastEncoder:
    """Stands in for an encoder's Keras model in `apply_model`, and gives the same results, faster.

    The engine is chosen when an extraction starts: the one that an interrupted extraction was started with, or else
    OpenVINO for large data sets and if bfloat16 is wanted; Keras if OpenVINO is missing or gives other numbers, or if
    Keras has a GPU. A rule decides, since a measurement goes wrong when the machine is busy.

    Args:
        data_folder: its folder `exported/` keeps the export.
        zips: the images of the data set. Few images are left to Keras in float32 even if there is an export, so that
            the same data set gets the same numbers.
    """

    def __init__(self, encoder: EncoderInfo, data_folder: Path, zips: Sequence[str | Path]) -> None:
        self.encoder, self.model, self.weights_checksum = encoder, encoder.model, encoder.weights_checksum
        self.folder = export_folder(encoder, data_folder)
        self._zips = zips
        self._network: ParallelNetwork | None = None
        self.engine = KERAS  # the current engine

    @property
    def batch_size(self) -> int:
        """The batch size for the engine that a new extraction would use."""
        return BATCH_SIZE if self._wanted != KERAS else 32

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray | FutureEmbeddings:
        """The embeddings of preprocessed images, (n, height, width, 3); those from OpenVINO may come later."""
        if self._network is None:
            return self.model.predict_on_batch(images)
        return FutureEmbeddings(self._network.submit(images))

    def choose_engine(self, started_with: str | None = None) -> str:
        """Choose the engine from now on, and return its name.

        Args:
            started_with: the engine that computed the rows of an interrupted extraction; None if there are none.
        """
        wanted = started_with or self._wanted
        usable = wanted != KERAS and openvino_is_quicker()
        self._network = load_or_export(self.encoder, self.folder, precision_of(wanted)) if usable else None
        self.engine = wanted if self._network else KERAS
        if self.encoder.precision != precision_of(self.engine):
            print(f"The embeddings are computed in {precision_of(self.engine)}.", file=sys.stderr)
        return self.engine

    @functools.cached_property
    def _wanted(self) -> str:
        return engine_for(self.encoder, sum(len(image_members(zip_fn)) for zip_fn in self._zips))


class FutureEmbeddings:
    """Embeddings (n, ...) that are being computed; `np.asarray` waits for them."""

    def __init__(self, futures: list[Future]) -> None:
        self._futures = futures

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.stack([future.result() for future in self._futures]).astype(dtype or "float32", copy=False)


def engine_for(encoder: EncoderInfo, pictures: int | None) -> str:
    """The engine to try for this many images; None stands for an unknown number, probably a large one."""
    if not openvino_is_quicker():
        return KERAS
    if encoder.precision == "bfloat16" and has_bfloat16():
        return OPENVINO_BFLOAT16
    return KERAS if pictures is not None and pictures < MIN_PICTURES else OPENVINO


def precision_of(engine: str) -> str:
    """What an engine computes in, one of `say_what_you_see.core.settings.PRECISIONS`."""
    return "bfloat16" if engine == OPENVINO_BFLOAT16 else "float32"


def export_folder(encoder: EncoderInfo, data_folder: Path) -> Path:
    """Where the export of an encoder is kept: a folder named after its layers, its weights, and its shapes."""
    layers = [{**layer.get_config(), "name": type(layer).__name__} for layer in encoder.model.layers]
    shapes = [list(encoder.input_shape), list(encoder.model.output_shape)]
    text = json.dumps([encoder.weights_checksum, shapes, layers], default=repr)
    return data_folder / "exported" / f"encoder_{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def load_or_export(encoder: EncoderInfo, folder: Path, precision: str = "float32") -> ParallelNetwork | None:
    """The encoder as OpenVINO runs it, exported if that has not been done yet.

    Returns:
        None if OpenVINO cannot run it or gives other numbers than Keras. The folder records that, so that nobody waits
        for it again.
    """
    if network := _load_export(encoder, folder, precision):
        return network
    versions = f"OpenVINO {import_openvino().__version__}, Keras {keras.__version__} on {keras.backend.backend()}"
    export_once(
        folder / METADATA_FILE,
        note := {"made_with": versions, "encoder": encoder.name, "weights": encoder.weights_checksum},
        lambda staging: _export(encoder, staging, note),
        f"Exporting {encoder.name} to OpenVINO, which is faster. This happens only once.",
        "The embeddings are computed by Keras instead ({}).",
    )
    return _load_export(encoder, folder, precision)


def _load_export(encoder: EncoderInfo, folder: Path, precision: str) -> ParallelNetwork | None:
    with suppress(Exception):  # there is none, or it is damaged, or another version's
        files = read_json(folder / METADATA_FILE)["files"]
        if all(sha256_of(folder / name) == checksum for name, checksum in files.items()):
            return ParallelNetwork.exported(folder / NETWORK_FILE, (*encoder.input_shape, 3), precision)
    return None


def _export(encoder: EncoderInfo, folder: Path, note: dict[str, Any]) -> str | None:
    """Write an encoder and its note, and compare it with Keras on images of noise; returns what is wrong with it."""
    path = folder / NETWORK_FILE
    check_space(path, 4 * encoder.model.count_params())  # OpenVINO does not say that it was a full disk
    if encoder.name in VARIANTS:
        network = openvino_encoder(encoder.name, read_blocks(encoder.name), encoder.features)
        import_openvino().save_model(network, path, False)
    else:
        export_network(encoder.model, path)
    files = {file.name: sha256_of(file) for file in (path, path.with_suffix(".bin"))}
    write_json(note | {"files": files}, folder / METADATA_FILE)
    exported = ParallelNetwork.exported(path, (*encoder.input_shape, 3))
    noise = np.random.default_rng(0).integers(256, size=(4, *encoder.input_shape, 3)).astype("float32")
    images = np.asarray(encoder.preprocess_for_model(noise), dtype="float32")
    return None if agree(exported(images), encoder.model.predict_on_batch(images)) else OTHER_NUMBERS


def openvino_is_quicker() -> bool:
    """Whether OpenVINO is installed, and preferable to Keras on this machine."""
    return openvino_is_installed() and platform.machine().lower() in QUICKER_ON and not count_accelerators()
