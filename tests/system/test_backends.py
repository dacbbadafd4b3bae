"""On TensorFlow, JAX and PyTorch the same batches make the same decoder; each captions with the files of the others."""

import itertools
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from backend_worker import PLAN, TRAIN, captions_of_file, same_decoder
from caption_samples import VOCAB

from say_what_you_see.core.environment import BACKENDS
from say_what_you_see.core.settings import REPOSITORY
from say_what_you_see.language.captions import PAD
from say_what_you_see.training.loop import compile_decoder, start_or_resume

INSTALLED = [backend for backend in BACKENDS if find_spec(backend)]
several = pytest.mark.skipif(len(INSTALLED) < 2, reason="nothing to compare with: one backend is installed")


def run_on(backend: str, *arguments: Path) -> dict:
    """What the worker says, in a process of its own."""
    paths = os.pathsep.join([str(REPOSITORY / "tests" / "helpers"), str(REPOSITORY)])
    environ = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(REPOSITORY / "tests" / "helpers" / "backend_worker.py"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=900)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, dict[str, dict]]:
    """What each backend made, in folders of its name; each captions with the decoders of those before it, too."""
    folder, found, files = tmp_path_factory.mktemp("backends"), {}, []
    for backend in INSTALLED:
        (folder / backend).mkdir()
        found[backend] = run_on(backend, folder / backend, *files)
        assert found[backend]["backend"] == backend
        files.append(folder / backend / "decoder.keras")
    return folder, found


@pytest.mark.parametrize("backend", INSTALLED[1:])
def test_tensorflow_is_not_imported_where_something_else_computes(backend, trained):
    assert "tensorflow" not in trained[1][backend]["imported"]


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(INSTALLED, 2)))
def test_two_backends_agree(one, other, trained):
    """With word embeddings that stay as they are, all three do.

    With embeddings that are learned JAX and PyTorch do: on TensorFlow the gradient of a word that occurs several times
    in a batch comes in as many pieces, and Keras' Adam squares them one by one, so that embeddings take longer steps.
    """
    a, b = trained[1][one], trained[1][other]
    for what in ("", " with given words"):
        if what or "tensorflow" not in (one, other):
            for losses, same in zip(a[f"losses{what}"], b[f"losses{what}"], strict=True):
                assert losses == pytest.approx(same, rel=1e-3)
            assert a[f"captions{what}"] == b[f"captions{what}"]
        assert a[f"losses{what}"][1][0] < a[f"losses{what}"][0][0], "and something was learned"
    assert len(set(a["captions with given words"]["sample"])) > 1
    assert a["captions with attention"] == b["captions with attention"]


@several
def test_a_decoder_captions_the_same_wherever_it_was_trained(trained):
    folder, found = trained
    for name, result in found.items():
        assert captions_of_file(folder / name / "decoder.keras") == result["captions"]
        for other, captions in result["others"].items():
            assert captions == found[other]["captions"]


@several
def test_training_goes_on_from_the_checkpoints_of_another_backend(trained):
    folder, found = trained
    for name in found:
        decoder = same_decoder()
        compile_decoder(decoder, PLAN, VOCAB[PAD], 1)
        history = start_or_resume(decoder, TRAIN, PLAN, folder / name / "checkpoints")
        assert len(history) == PLAN.epochs and int(decoder.optimizer.iterations) > PLAN.epochs
