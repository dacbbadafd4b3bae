"""Training by two processes, and on two devices of one process: the same as training by one."""

import os
import subprocess
import sys
from pathlib import Path

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from scale_samples import distributed_training, tiny_cnn, tiny_config

from say_what_you_see.core.errors import CourseError
from say_what_you_see.training.scale.events import read_scalars
from say_what_you_see.training.scale.training import train_on_records
from say_what_you_see.training.scale.workers import run_workers

TESTS = Path(__file__).resolve().parents[2] / "helpers"
ENVIRON = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parents[1]), str(TESTS)]), "COURSE_PROGRESS": "off"}
PATIENCE = 240  # seconds; a quiet machine needs 15


@pytest.fixture(scope="module")
def runs(records, tmp_path_factory) -> dict[str, Path]:
    """The same training by one process, by two, and by one with two devices."""
    folder = tmp_path_factory.mktemp("distributed")
    worker = [sys.executable, str(TESTS / "scale_worker.py")]

    def arguments(name: str) -> list[str]:
        return [*worker, name, str(records), str(folder / name), str(folder / f"weights_{name}")]

    mirrored = subprocess.Popen(arguments("mirrored"), env=ENVIRON, stdout=subprocess.PIPE, text=True)
    try:
        outputs = run_workers(arguments("workers"), 2, PATIENCE, ENVIRON)
        outputs.append(mirrored.communicate(timeout=PATIENCE)[0])
    finally:
        mirrored.kill()
        mirrored.wait()
    assert outputs == [
        "2 replicas, chief True, step 5\n", "2 replicas, chief False, step 5\n", "2 replicas, chief True, step 5\n",
    ]  # fmt: skip
    training, config = distributed_training(records, folder / "one"), tiny_config(records, dropout=0.0)
    state = train_on_records(training, config, tiny_cnn)
    np.savez(folder / "weights_one-0.npz", *state.model.get_weights())
    return {name: folder / name for name in ("one", "workers", "mirrored")} | {"folder": folder}


def weights(runs: dict[str, Path], name: str) -> list[np.ndarray]:
    with np.load(runs["folder"] / f"weights_{name}.npz") as arrays:
        return [arrays[key] for key in arrays.files]


@pytest.mark.parametrize("several", ["workers", "mirrored"])
def test_several_devices_learn_what_one_learns(runs, several):
    losses = [value for _, value in read_scalars(runs["one"])["loss"]]
    assert len(losses) == 5
    assert losses[-1] < losses[0] - 0.1, "otherwise the comparison would prove little"
    assert [value for _, value in read_scalars(runs[several])["loss"]] == pytest.approx(losses, abs=1e-4)
    for one, other in zip(weights(runs, "one-0"), weights(runs, f"{several}-0"), strict=True):
        np.testing.assert_allclose(other, one, atol=2e-3)


def test_two_processes_keep_equal_weights_and_only_the_chief_leaves_files(runs):
    np.testing.assert_equal(weights(runs, "workers-0"), weights(runs, "workers-1"))
    left = [{path.name for path in runs[name].iterdir() if "tfevents" not in path.name} for name in ("one", "workers")]
    assert left[0] == left[1] and len(list(runs["workers"].glob("*tfevents*"))) == 1


def test_a_worker_that_fails_stops_the_others():
    program = "import os, sys, time; '\"index\": 1' in os.environ['TF_CONFIG'] and sys.exit('bad luck'); time.sleep(60)"
    with pytest.raises(CourseError, match="failed(.|\n)*worker 1: bad luck"):
        run_workers([sys.executable, "-c", program], timeout=50)
