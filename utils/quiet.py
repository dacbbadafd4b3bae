"""Keras, imported without the messages that TensorFlow's C++ code writes at its start.

Modules of the course say `from utils.quiet import keras`. Errors are Python's and still show.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced_stderr() -> Iterator[None]:
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


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with silenced_stderr():
    import keras

if (
    "tensorflow" in sys.modules
):  # its logger warns of every new model in a loop; in notebooks it sets its own level first
    sys.modules["tensorflow"].get_logger().setLevel(logging.ERROR)

__all__ = ["keras", "silenced_stderr"]
