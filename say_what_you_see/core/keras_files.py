"""Checks model files before Keras reads them: no code, no links to other files, no more weights than the file has.

Keras' `safe_mode` refuses Python code, but what else a model file may name has changed from version to version. Here
it may name layers of Keras and of this course, and what layers consist of. HDF5 can also link to other files and claim
any size; that is refused too. Every function raises a `CourseError` with the reason, worded to follow the file's name.
"""

import io
import json
import math
import re
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.weight_files import CONFIG, MEMBERS, SMALL, WEIGHTS, count_numbers, read_part

_KINDS = (
    keras.Operation, keras.initializers.Initializer, keras.regularizers.Regularizer, keras.constraints.Constraint,
    keras.dtype_policies.DTypePolicy,
)  # fmt: skip
"""What a config may name: layers, models and functions of `keras.ops` are operations."""
_MODULES = re.compile(
    r"keras(\.src)?(\.(layers|models|initializers|regularizers|constraints|dtype_policies|ops)(\.\w+)*)?"
)
_PLACEHOLDERS = {"__keras_tensor__", "__tensor__", "__numpy__", "__ellipsis__", "__slice__", "__tuple__"}
_WITH_CODE = {"Lambda", "__lambda__", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer"}
_WITH_FILES = {"StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup"}


def load_keras_file(path: str | Path) -> keras.Model:
    """Read a `.keras` file with layers of Keras and of this course only.

    Raises:
        CourseError: with the reason, worded to follow the file's name.
    """
    with _damage_explained("Keras model"):
        check_keras_file(path)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def check_keras_file(path: str | Path) -> None:
    """Refuse a file that is not a `.keras` file, names anything but layers, or describes more weights than it has.

    Raises:
        CourseError: with the reason, worded to follow the file's name.
    """
    with _damage_explained("Keras model"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if strange := sorted(set(names) - set(MEMBERS)):
            raise CourseError(f"it holds {strange[0][:80]!r}, which is not part of a model")
        if len(names) != len(set(names)):
            raise CourseError("it has a part twice")
        config = json.loads(read_part(archive, CONFIG))
        weights = read_part(archive, WEIGHTS)
        with h5py.File(io.BytesIO(weights), "r") as root:
            count = count_numbers(root, len(weights))
        check_config(config)
        described = count_weights(config)
        if described > count + SMALL:
            raise CourseError(f"it describes {described:,} weights but holds only {count:,} numbers")


def check_weights_file(path: str | Path) -> None:
    """Refuse a file that is not a `.h5` file, or that holds anything but weights.

    Raises:
        CourseError: with the reason, worded to follow the file's name.
    """
    with _damage_explained("weights file"), h5py.File(path, "r") as root:
        count_numbers(root, Path(path).stat().st_size)


def check_config(config: Any) -> None:
    """Refuse a model's config that names anything but layers and what layers consist of.

    Args:
        config: as Keras writes it.

    Raises:
        CourseError: with the reason.
    """
    if not isinstance(config, dict):
        raise CourseError("it is not a complete Keras model")
    try:
        for part in _dictionaries({key: value for key, value in config.items() if key != "compile_config"}):
            if "class_name" in part:
                _check_class(part)
    except RecursionError:
        raise CourseError("it is nested too deeply") from None


def count_weights(config: dict[str, Any]) -> int:
    """Count the weights that a model has by its config, which has passed `check_config`, without allocating them.

    In a stateless scope Keras notes the shapes of weights and defers creating them. It keeps a list of those per
    thread, so this runs in a thread of its own, and the list ends with it.

    Raises:
        Exception: of almost any kind, if Keras cannot build the model.
    """

    def count() -> int:
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
            return sum(math.prod(variable.shape) for variable in model.variables)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(count).result()


@contextmanager
def _damage_explained(kind: str) -> Iterator[None]:
    try:
        yield
    except CourseError:
        raise
    except Exception as error:  # a damaged file can raise almost anything
        is_missing = isinstance(error, FileNotFoundError)
        raise CourseError("there is no such file" if is_missing else f"it is not a complete {kind}") from error


def _dictionaries(part: Any) -> Iterator[dict]:
    """Every dictionary in a config."""
    if isinstance(part, dict):
        yield part
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _dictionaries(value)


def _check_class(part: dict) -> None:
    """Check that an object in a config is of a class that Keras or this course provides."""
    name, module, registered = part["class_name"], part.get("module"), part.get("registered_name")
    if not isinstance(name, str) or not isinstance(module, str | None):
        raise CourseError("it is not a complete Keras model")
    bare = name.rpartition(">")[2]
    if bare in _WITH_CODE:
        raise CourseError(f"it carries Python code (a {bare} layer), which is not run")
    if bare in _WITH_FILES:
        raise CourseError(f"it has a {bare} layer, which reads files")
    own = f"say_what_you_see>{name}"  # the name that layers of this course are registered under
    if name in _PLACEHOLDERS or (registered == own and keras.saving.get_registered_object(own)):
        return
    if name == "function":
        if not isinstance(part.get("config"), str) or part["config"] not in dir(keras.activations):
            raise CourseError(f"it names a function that is not an activation ({str(part.get('config'))[:60]})")
        return
    kind = getattr(sys.modules.get(module), name, None) if module and _MODULES.fullmatch(module) else None
    if not (isinstance(kind, type) and issubclass(kind, _KINDS) and registered in (None, name)):
        raise CourseError(f"it has a layer that Keras does not know ({module}.{name}); other code is not loaded")
