"""What is written to standard error can be kept quiet, also when C++ code writes it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from utils.quiet import keras, silenced_stderr
from utils.settings import REPOSITORY


def test_nothing_is_heard_inside_and_everything_outside(capfd):
    os.write(2, b"before ")
    with silenced_stderr():
        os.write(2, b"inside ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_standard_output_is_left_alone(capfd):
    with silenced_stderr():
        os.write(1, b"heard")
    assert capfd.readouterr().out == "heard"


def test_an_error_inside_is_raised_and_heard(capfd):
    with pytest.raises(ValueError, match="wrong"), silenced_stderr():
        raise ValueError("wrong")
    os.write(2, b"again")
    assert capfd.readouterr().err == "again"


def test_keras_comes_without_a_word():
    assert hasattr(keras, "layers")
    command = [sys.executable, "-c", "from utils.quiet import keras; print(keras.ops.ones((2,)).shape)"]
    environ = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environ, check=True)
    assert (result.stdout.strip(), result.stderr) == ("(2,)", "")
