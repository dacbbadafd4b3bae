"""Looks through files of models before Keras reads them.

Keras' `safe_mode` refuses Python code. What a model file may name beside that has changed from version to version, so
the course has a list of its own: layers of Keras and of this course, and what layers consist of. Weights are numbers
in HDF5, a format that can also point to other files and claim any size; neither is let through.
"""

from __future__ import annotations

import io
import json
import math
import re
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from unittest.mock import patch

import h5py
import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import NUMBERS

OWN_PACKAGE = "say_what_you_see"
"""Under this name the layers of the course are registered with Keras."""

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {_CONFIG, _WEIGHTS, "metadata.json"}
_MOST_CONFIG_BYTES = 32_000_000
_MOST_WEIGHT_BYTES = 4_000_000_000
_MOST_RATIO = 100  # weights hardly pack
_DEEPEST = 60
_MODULES = re.compile(
    r"keras(\.src)?(\.(layers|models|engine|initializers|regularizers|constraints|activations|dtype_policies|ops|"
    r"random|losses|metrics|optimizers)(\.[a-z0-9_]+)*)?"
)
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_PLACEHOLDERS = {"__keras_tensor__", "__tensor__", "__numpy__", "__ellipsis__", "__slice__", "__tuple__"}
_WITH_CODE = {"Lambda", "__lambda__", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer"}
_WITH_FILES = {"StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup", "HashedCrossing"}
_SIZES = ("units", "filters", "output_dim", "input_dim")
_HIDDEN_BYTES = 1 << 16  # a small set of nothing but zeros need not be in the file
_PATCHING = threading.RLock()


def load_keras_file(path: str | Path) -> keras.Model:
    """Read a `.keras` file, which may ask for layers of Keras and of this course, and for no more weights than it has.

    Raises:
        CourseError: with the reason, in a few words that follow the name of the file.
        Exception: of nearly any kind, if Keras cannot read it.
    """
    with weights_bounded(check_keras_file(path)):
        return keras.saving.load_model(path, compile=False, safe_mode=True)


@contextmanager
def weights_bounded(most: int) -> Iterator[None]:
    """Let layers that this thread builds make so many weights in all, and not more.

    A layer has as many weights as the sizes in its description multiplied, which only Keras knows to do for every
    layer; so they are counted where it makes them, before there is memory for them.

    Raises:
        CourseError: if there are more.
    """
    made, thread, add_weight = [0], threading.get_ident(), keras.layers.Layer.add_weight

    def counted(layer: keras.layers.Layer, shape: Sequence[int] | None = None, *arguments: Any, **options: Any) -> Any:
        if threading.get_ident() == thread:
            made[0] += math.prod(shape or ())
            if made[0] > most + _HIDDEN_BYTES:
                raise CourseError(f"it describes {made[0]:,} weights and more, and has {most:,} numbers in all")
        return add_weight(layer, shape, *arguments, **options)

    with _PATCHING, patch.object(keras.layers.Layer, "add_weight", counted):
        yield


def check_keras_file(path: str | Path) -> int:
    """Refuse a `.keras` file that is none, or that asks for more than layers of Keras and of this course.

    Returns:
        How many numbers it has for weights.

    Raises:
        CourseError: with the reason, in a few words that follow the name of the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
            weights = _read(archive, _WEIGHTS)
            sizes = list(_check_weights(io.BytesIO(weights), len(weights)))
            check_config(json.loads(_read(archive, _CONFIG)), sum(sizes))
            return sum(sizes)
    except CourseError:
        raise
    except Exception as error:  # a damaged file can raise nearly anything
        raise CourseError("it is no whole Keras model") from error


def check_weights_file(path: str | Path) -> None:
    """Refuse a `.h5` file that is none, or that is not weights and nothing else.

    Raises:
        CourseError: with the reason, in a few words that follow the name of the file.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, io.SEEK_END)
            for _ in _check_weights(file, size):
                pass
    except CourseError:
        raise
    except Exception as error:
        raise CourseError("it is no whole file of weights") from error


def check_config(config: Any, weights: int | None = None) -> None:
    """Refuse the description of a model that names anything but layers and what layers consist of.

    Args:
        config: as Keras writes it.
        weights: how many numbers the file has for them; no layer is larger. None: that is not known.

    Raises:
        CourseError: with the reason.
    """
    if not isinstance(config, dict):
        raise CourseError("it is no whole Keras model")
    for part in _dictionaries({key: value for key, value in config.items() if key != "compile_config"}):
        if "class_name" in part:
            _check_part(part)
        for name in _SIZES:
            size = part.get(name)
            if weights is not None and isinstance(size, int | float) and size > max(weights, 1):
                raise CourseError(f"it describes a layer of {size:g} {name} and has {weights:,} numbers in all")


def _dictionaries(root: Any) -> Iterator[dict]:
    """Every dictionary in a description; JSON knows no others than these containers."""
    waiting = [(root, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > _DEEPEST:
            raise CourseError("it is nested too deeply")
        if isinstance(part, dict):
            yield part
            waiting.extend((value, depth + 1) for value in part.values())
        elif isinstance(part, list):
            waiting.extend((value, depth + 1) for value in part)


def _check_part(part: dict) -> None:
    """Check one object of a description: its class, and where that is to come from."""
    name, module, registered = part["class_name"], part.get("module"), part.get("registered_name")
    if not isinstance(name, str) or not isinstance(module, str | None) or not isinstance(registered, str | None):
        raise CourseError("it is no whole Keras model")
    bare = name.rpartition(">")[2]
    if bare in _WITH_CODE:
        raise CourseError(f"it carries Python code (a {bare} layer), which is not run")
    if bare in _WITH_FILES:
        raise CourseError(f"it has a {bare} layer, which reads files; an encoder of pictures needs none")
    if name in _PLACEHOLDERS or _is_own(name, module, registered):
        return
    if name == "function":
        if not _is_known_function(part.get("config")):
            raise CourseError(f"it names a function that is no activation ({str(part.get('config'))[:60]})")
    elif not (_PLAIN_NAME.fullmatch(name) and _MODULES.fullmatch(module or "keras") and registered in (None, name)):
        raise CourseError(f"it has a layer that Keras does not know ({module}.{name}); code of others is not loaded")


def _is_own(name: str, module: str | None, registered: str | None) -> bool:
    """Whether something is a layer of the course: registered by it, so that Keras imports nothing for it."""
    own = f"{OWN_PACKAGE}>{name}"
    return registered == own and keras.saving.get_registered_object(own) is not None


def _is_known_function(name: Any) -> bool:
    homes = (keras.activations, keras.initializers, keras.losses, keras.metrics)
    return isinstance(name, str) and not name.startswith("_") and any(hasattr(home, name) for home in homes)


def _check_members(archive: zipfile.ZipFile) -> None:
    names = [info.filename for info in archive.infolist()]
    if strange := sorted(set(names) - _MEMBERS):
        raise CourseError(f"it holds {strange[0][:80]!r}, which is no part of a model")
    if len(names) != len(set(names)) or not {_CONFIG, _WEIGHTS} <= set(names):
        raise CourseError("it is no whole Keras model")


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member, which is neither packed too well nor too large."""
    info, most = archive.getinfo(name), _MOST_WEIGHT_BYTES if name == _WEIGHTS else _MOST_CONFIG_BYTES
    packed = max(info.compress_size, 1 << 16)
    if info.file_size > min(most, _MOST_RATIO * packed) or info.compress_type not in (0, zipfile.ZIP_DEFLATED):
        raise CourseError(f"its {name} is unreasonably large")
    with archive.open(info) as file:
        return file.read(info.file_size)


def _check_weights(file: BinaryIO, file_size: int) -> Iterator[int]:
    """The number of values of each table of weights; complains about all that is not weights."""
    with h5py.File(file, "r") as root:
        if "model_config" in root.attrs:  # a whole model in the format of earlier years: its weights are taken only
            check_config(json.loads(root.attrs["model_config"]))
        waiting, seen = [root], set()
        while waiting:
            group = waiting.pop()
            if hash(group.id) in seen:
                raise CourseError("its parts hold each other")
            seen.add(hash(group.id))
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise CourseError(f"its {name[:60]!r} points to another file or place")
                item = group[name]
                if isinstance(item, h5py.Group):
                    waiting.append(item)
                else:
                    yield _check_table(item, name, file_size)


def _check_table(table: Any, name: str, file_size: int) -> int:
    """The number of values of a table, which has them in the file, and as numbers."""
    if not isinstance(table, h5py.Dataset) or table.dtype.kind not in NUMBERS + "V":
        raise CourseError(f"its {name[:60]!r} is no table of numbers")
    if table.external or table.is_virtual:
        raise CourseError(f"its {name[:60]!r} points to another file or place")
    count = int(np.prod([int(side) for side in table.shape], dtype=object)) if table.shape else 1
    if count * table.dtype.itemsize > max(_MOST_RATIO * table.id.get_storage_size(), _HIDDEN_BYTES):
        raise CourseError(f"its {name[:60]!r} claims {table.shape}, which is not in the file")
    if count * table.dtype.itemsize > _MOST_RATIO * file_size:
        raise CourseError(f"its {name[:60]!r} is unreasonably large")
    return count
