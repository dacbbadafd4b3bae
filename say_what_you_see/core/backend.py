"""Keras without the messages that TensorFlow's C++ code writes when it starts; Python's errors still show.

Modules of the course say `from say_what_you_see.core.backend import keras`. Keras also imports less than usual here,
which saves more than a third of the time.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from say_what_you_see.core.errors import CourseError


@contextmanager
def suppress_stderr() -> Iterator[None]:
    """Discard what this process writes to standard error, C++ code included."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


@contextmanager
def block_imports(*names: str) -> Iterator[None]:
    """Make packages look uninstalled for a while, unless they are already imported."""
    blocked = [name for name in names if name not in sys.modules]
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]  # this makes an import fail, as Python documents
    try:
        yield
    finally:
        for name in blocked:
            sys.modules.pop(name, None)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    with suppress_stderr(), block_imports("sklearn", "matplotlib"):  # for keras.wrappers and keras.visualization
        import keras
except (ImportError, ValueError) as error:
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend == "tensorflow":
        raise
    raise CourseError(
        f"Keras cannot start here with KERAS_BACKEND={backend} ({error}). Unset it to compute with TensorFlow, or set "
        "it to jax or torch after `python -m pip install -r requirements-backends.txt`."
    ) from error

if keras.config.backend() != "tensorflow":  # otherwise reading a model would import TensorFlow just to compare types
    with suppress(ImportError, AttributeError):  # not public; without it only a few seconds are lost
        from keras.src.utils.module_utils import tensorflow as _tensorflow

        _tensorflow._available = False

if "tensorflow" in sys.modules:  # its logger warns about every new model in a loop
    sys.modules["tensorflow"].get_logger().setLevel(logging.ERROR)


def count_accelerators() -> int:
    """How many GPUs or other accelerators Keras can compute on."""
    if keras.config.backend() == "tensorflow":  # listing them with Keras would occupy them
        import tensorflow as tf

        return len(tf.config.list_physical_devices("GPU"))
    if keras.config.backend() == "torch":  # Keras cannot list its devices
        import torch

        return torch.cuda.device_count()
    return sum(not name.startswith("cpu") for name in keras.distribution.list_devices())
