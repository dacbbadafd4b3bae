"""The stream on Ray: the same as one machine alone, in order, whoever is killed meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

if any(find_spec(name) is None for name in ("ray", "pandas", "pyarrow")):
    pytest.skip("Ray is not installed (pip install -r requirements-ray.txt)", allow_module_level=True)
if sys.platform != "linux":
    pytest.skip("these tests look into /proc", allow_module_level=True)

from caption_samples import write_tiny_encoder
from cluster_samples import (
    PATIENCE,
    SIDE,
    jpegs,
    listening_addresses,
    processes_titled,
    read_back,
    run_command,
    two_nodes,
    write_folder,
    write_parquet,
    write_tar,
)
from hostile_files import write_zip
from waiting import wait_until

from say_what_you_see.core.settings import REPOSITORY
from say_what_you_see.distributed.shards import MANIFEST_FILE
from say_what_you_see.vision.encoders import load_encoder_file
from say_what_you_see.vision.extraction import apply_model

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def by_one_machine(zip_fn: Path, encoder: Path) -> tuple[np.ndarray, list[str]]:
    model, input_shape = load_encoder_file(encoder)
    return apply_model(zip_fn, model, lambda images: np.array(images, dtype="float32"), input_shape)


def test_ray_on_this_machine_listens_for_nobody_else_and_leaves_nothing_behind(tmp_path):
    program = (
        "import sys; from say_what_you_see.distributed.engine import RayOptions, running_ray\n"
        "with running_ray(RayOptions()):\n"
        "    import ray\n"
        "    ray.get(ray.remote(lambda: 1).remote())\n"
        "    print(ray._private.worker._global_node.get_session_dir_path(), flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        session = Path(process.stdout.readline().strip()).name
        assert session.startswith("session_")
        pids = [process.pid, *processes_titled(session), *processes_titled("ray::")]
        assert len(pids) > 4
        addresses = listening_addresses(pids)
        assert addresses, "then this would prove nothing"
        assert addresses <= LOOPBACK
        process.kill()
        process.wait()
        end = time.monotonic() + PATIENCE
        while processes_titled(session):
            assert time.monotonic() < end, "processes of the session are left behind"
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def cluster() -> str:
    with two_nodes() as address:
        yield address


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    slow = write_tiny_encoder(folder / "slow.keras", side=3 * SIDE, filters=400)
    return {"quick": write_tiny_encoder(folder / "quick.keras", side=SIDE), "slow": slow}


@pytest.fixture(scope="module")
def many(tmp_path_factory, encoders) -> tuple[Path, np.ndarray, list[str]]:
    """So many pictures that a run can be killed in its middle, and what one machine makes of them."""
    zip_fn = write_zip(tmp_path_factory.mktemp("many") / "many.zip", jpegs(1200))
    return (zip_fn, *by_one_machine(zip_fn, encoders["slow"]))


def embed(folder: Path, address: str, encoder: Path, *more: object, wait: bool = True) -> subprocess.Popen:
    """`embed` on a cluster; the results go to the folder's `out`."""
    options = ["--engine", "ray", "--address", address, "--encoder", encoder, "--output", folder / "out", *more]
    return run_command(folder / "data", "embed", *options, wait=wait)


def test_a_cluster_makes_of_every_kind_of_source_what_one_machine_makes(cluster, encoders, tmp_path):
    pictures = jpegs(60)
    paths = [
        write_zip(tmp_path / "a.zip", pictures), write_tar(tmp_path / "a.tar", pictures),
        write_parquet(tmp_path / "a.parquet", pictures), write_folder(tmp_path / "folder", pictures),
    ]  # fmt: skip
    alone, names = by_one_machine(paths[0], encoders["quick"])
    run = embed(tmp_path, cluster, encoders["quick"], "--format", "parquet", "--shard-size", 25, "--input", *paths)
    assert run.returncode == 0, run.err
    assert "Skipped 8 of 240 pictures." in run.out and "p00013.jpg: the file is truncated" in run.out
    found_names, rows = read_back(tmp_path / "out")
    assert found_names == names * 4
    np.testing.assert_allclose(rows, np.concatenate([alone] * 4), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("killed", ["worker", "driver"])
def test_who_is_killed_loses_nothing_and_whole_shards_are_not_made_again(killed, cluster, encoders, many, tmp_path):
    output = tmp_path / "out"
    options = ["--input", many[0], "--shard-size", 50, "--batch-size", 10, "--workers", 2]
    process = embed(tmp_path, cluster, encoders["slow"], *options, wait=False)
    wait_until(lambda: len(list(output.glob("*.json"))) >= 3, process, PATIENCE)
    pids = processes_titled("ray::MapWorker")[:1] if killed == "worker" else [process.pid]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    whole = {path: path.with_suffix(".npy").stat().st_mtime_ns for path in sorted(output.glob("*.json"))}
    assert pids and not (output / MANIFEST_FILE).exists(), "killed too late to prove anything"
    _, errors = process.communicate(timeout=PATIENCE)
    if killed == "driver":
        process = embed(tmp_path, cluster, encoders["slow"], *options)
        errors = process.err
    assert process.returncode == 0, errors
    names, rows = read_back(output)
    assert names == many[2]
    np.testing.assert_allclose(rows, many[1], rtol=1e-5, atol=1e-5)
    assert {path: path.with_suffix(".npy").stat().st_mtime_ns for path in whole} == whole
    assert not list(output.glob(".part-*")), "what a killed run left behind is still there"


def test_a_cluster_captions_as_one_machine_does(cluster, course_environ, tmp_path):
    data, output = course_environ.environ["COURSE_DATA"], tmp_path / "out"
    pictures = write_folder(tmp_path / "pictures", jpegs(20))
    options = ["--engine", "ray", "--address", cluster, "--output", output, "--beam", 2]
    run = run_command(data, "caption", pictures, *options)
    alone = run_command(data, "caption", "--json", "--beam", 2, pictures)
    assert run.returncode == 0, run.err
    assert "Skipped 2 of 20 pictures." in run.out
    _, found = read_back(output)
    expected = [each["captions"] for each in json.loads(alone.out)["pictures"] if "captions" in each]
    assert len(found) == 18
    for ours, theirs in zip(found, expected, strict=True):
        assert [each["caption"] for each in ours] == [each["caption"] for each in theirs]
        probabilities = [each["probability"] for each in theirs]
        assert [each["probability"] for each in ours] == pytest.approx(probabilities, rel=1e-3)


def test_an_address_where_nobody_answers_is_explained(tmp_path, encoders):
    pictures = write_folder(tmp_path / "pictures", jpegs(20))
    run = embed(tmp_path, "127.0.0.1:9", encoders["quick"], "--input", pictures)
    assert run.returncode == 1
    assert "No Ray cluster answers at '127.0.0.1:9'" in run.err
