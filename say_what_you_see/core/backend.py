"""Keras, imported without the messages that TensorFlow's C++ code writes at its start.

Modules of the course say `from say_what_you_see.core.backend import keras`. Errors are Python's and still show.

Nor does Keras import what the course has no use for, which took more than a third of the time.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from say_what_you_see.core.errors import CourseError


@contextmanager
def suppress_stderr() -> Iterator[None]:
    """Send what is written to the process's standard error, also by C++ code, nowhere."""
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
    """Have packages count as not installed for a while, unless they are imported already."""
    unwanted = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unwanted))  # None there makes an import fail, as Python documents
    try:
        yield
    finally:
        for name in unwanted:
            sys.modules.pop(name, None)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    with suppress_stderr(), block_imports("sklearn", "matplotlib"):  # for keras.wrappers and keras.visualization
        import keras
except (ImportError, ValueError) as error:
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        raise
    raise CourseError(
        f"KERAS_BACKEND is {os.environ['KERAS_BACKEND']}, with which Keras cannot start here ({error}). Unset it to "
        "compute with TensorFlow; or set it to jax or torch, after "
        "`python -m pip install -r requirements-backends.txt`."
    ) from error

if keras.config.backend() != "tensorflow":  # or reading a model would import TensorFlow, to see whether it is meant
    with suppress(ImportError, AttributeError):  # no part of Keras' interface, and no more than seconds lost without
        from keras.src.utils.module_utils import tensorflow as _tensorflow

        _tensorflow._available = False

if (
    "tensorflow" in sys.modules
):  # its logger warns of every new model in a loop; in notebooks it sets its own level first
    sys.modules["tensorflow"].get_logger().setLevel(logging.ERROR)

__all__ = ["keras", "block_imports", "suppress_stderr"]
