"""What is written to standard error can be kept quiet, also when C++ code writes it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from say_what_you_see.core.backend import block_imports, keras, suppress_stderr
from say_what_you_see.core.settings import REPOSITORY


def test_nothing_is_heard_inside_and_everything_outside(capfd):
    os.write(2, b"before ")
    with suppress_stderr():
        os.write(2, b"inside ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_standard_output_is_left_alone(capfd):
    with suppress_stderr():
        os.write(1, b"heard")
    assert capfd.readouterr().out == "heard"


def test_an_error_inside_is_raised_and_heard(capfd):
    with pytest.raises(ValueError, match="wrong"), suppress_stderr():
        raise ValueError("wrong")
    os.write(2, b"again")
    assert capfd.readouterr().err == "again"


def test_what_the_course_has_no_use_for_is_not_imported_and_can_be_imported_later():
    program = (
        "import sys\nfrom say_what_you_see.core.backend import keras\n"
        "print([name for name in ('sklearn', 'scipy.stats', 'matplotlib') if name in sys.modules])\n"
        "import matplotlib.pyplot, sklearn.linear_model\nprint(sklearn.linear_model.Ridge.__name__)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert result.stdout.split() == ["[]", "Ridge"]


def test_a_package_counts_as_missing_only_inside_and_only_if_it_is_new(monkeypatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with block_imports("this", "subprocess"):
        with pytest.raises(ImportError):
            importlib.import_module("this")
        import subprocess as known
    assert known is subprocess and "this" not in sys.modules


@pytest.mark.parametrize("backend", ["jax", "torch", "a_mistake"])
def test_a_backend_that_is_not_there_is_explained(backend):
    program = (
        f"import os, sys\nos.environ['KERAS_BACKEND'] = {backend!r}\nsys.modules[{backend!r}] = None\n"
        "from say_what_you_see.commands.main import main\nsys.exit(main(['environment']))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"Error: KERAS_BACKEND is {backend}")
    assert "requirements-backends.txt" in result.stderr


def test_keras_comes_without_a_word():
    assert hasattr(keras, "layers")
    command = [
        sys.executable,
        "-c",
        "from say_what_you_see.core.backend import keras; print(tuple(keras.ops.ones((2,)).shape))",
    ]
    environ = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environ, check=True)
    assert (result.stdout.strip(), result.stderr) == ("(2,)", "")
