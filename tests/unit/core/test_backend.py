"""Keras starts without a word, and what C++ code writes to standard error can be suppressed."""

import os

import pytest

from say_what_you_see.core.backend import suppress_stderr


def test_standard_error_is_suppressed_inside_only(capfd):
    os.write(2, b"before ")
    with pytest.raises(ValueError, match="wrong"), suppress_stderr():
        os.write(2, b"inside ")
        os.write(1, b"heard")
        raise ValueError("wrong")
    os.write(2, b"after")
    assert capfd.readouterr() == ("heard", "before after")


def test_keras_comes_without_a_word_and_without_what_the_course_does_not_use(run_python, monkeypatch):
    program = (
        "import sys\nfrom say_what_you_see.core.backend import keras\nkeras.ops.ones(2)\n"
        "print([name for name in ('sklearn', 'scipy.stats', 'matplotlib') if name in sys.modules])\n"
        "import matplotlib.pyplot, sklearn.linear_model\nprint(sklearn.linear_model.Ridge.__name__)"
    )
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    result = run_python(program)
    assert (result.stdout.split(), result.stderr) == (["[]", "Ridge"], "")


@pytest.mark.parametrize("backend", ["jax", "a_mistake"])
def test_a_backend_that_is_not_there_is_explained(backend, run_python):
    program = (
        f"import os, sys\nos.environ['KERAS_BACKEND'] = {backend!r}\nsys.modules[{backend!r}] = None\n"
        "from say_what_you_see.commands.main import main\nsys.exit(main(['environment']))"
    )
    result = run_python(program, check=False)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"Error: Keras cannot start here with KERAS_BACKEND={backend}")
    assert "requirements-backends.txt" in result.stderr
