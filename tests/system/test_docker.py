"""The folder docker/: what can be said of it without Docker, and the test of the image where there is one."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tools.notebooks import REPOSITORY

DOCKER = REPOSITORY / "docker"
ENTRYPOINT = DOCKER / "entrypoint.sh"
LEARNER = 4321

needs_bash = pytest.mark.skipif(not shutil.which("bash") or os.name != "posix", reason="bash is not installed")
needs_root = pytest.mark.skipif(
    os.name != "posix" or os.getuid() != 0 or not shutil.which("setpriv"), reason="only root becomes somebody else"
)

FAKE_TENSORFLOW = """
from types import SimpleNamespace
__version__ = "2.21.0"
GPUS = [SimpleNamespace(name=f"gpu:{{i}}") for i in range({n_gpus})]
config = SimpleNamespace(
    list_physical_devices=lambda kind: GPUS if kind == "GPU" else [],
    experimental=SimpleNamespace(get_device_details=lambda device: {{"device_name": "NVIDIA T4"}}),
)
"""


def runs(*command: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize(("linter", "pattern"), [("hadolint", "Dockerfile"), ("shellcheck", "*.sh")])
def test_linters_find_nothing(linter, pattern):
    program = shutil.which(linter, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip(f"{linter} is not installed")
    result = runs(program, *sorted(DOCKER.glob(pattern)))
    assert (result.returncode, result.stdout) == (0, "")


def test_the_image_for_gpu_has_the_same_versions_and_cuda():
    given, choose = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8"), DOCKER / "choose_requirements.py"
    cpu, gpu = (runs(sys.executable, choose, device, input=given).stdout.splitlines() for device in ("cpu", "gpu"))
    assert cpu == given.splitlines()
    builds = [line for line in cpu if line.startswith("tensorflow")]
    assert [line for line in cpu if line not in builds] == gpu[1:]
    versions = dict(re.match("(.+?)(>=[^;]+)", line).groups() for line in [*builds, gpu[0]])
    assert versions.keys() == {"tensorflow-cpu", "tensorflow", "tensorflow[and-cuda]"}
    assert len(set(versions.values())) == 1 and ";" not in gpu[0]


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for nvidia-smi is a shell script")
@pytest.mark.parametrize(("image", "n_gpus", "driver", "says"), [
    ("cpu", 0, False, "CPU: TensorFlow 2.21.0 works"),
    ("gpu", 2, True, "GPU: NVIDIA T4, NVIDIA T4, seen by TensorFlow 2.21.0."),
    ("gpu", 0, False, "NVIDIA Container Toolkit"),
    ("gpu", 0, True, "TensorFlow does not find a GPU"),
])  # fmt: skip
def test_the_device_is_said(tmp_path, image, n_gpus, driver, says):
    (tmp_path / "tensorflow.py").write_text(FAKE_TENSORFLOW.format(n_gpus=n_gpus))
    if driver:
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    environment = {"PYTHONPATH": str(tmp_path), "PATH": str(tmp_path), "COURSE_DEVICE": image}
    result = runs(sys.executable, DOCKER / "say_device.py", env=environment)
    assert result.returncode == 0, result.stderr
    assert says in result.stdout


@pytest.fixture
def course():
    """A folder that looks like the course, which every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "notebooks").mkdir()
        (folder / "notebooks" / "00_start_here.ipynb").touch()
        (folder / "entrypoint.sh").write_text(ENTRYPOINT.read_text(encoding="utf-8"), encoding="utf-8")
        yield folder


def enter(course: Path, *command: str, **values: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "COURSE_FOLDER": str(course)} | values
    return runs("bash", course / "entrypoint.sh", *command, env=environment)


@needs_bash
def test_a_command_runs_in_the_folder_with_a_home_of_its_own(course):
    result = enter(course, "sh", "-c", 'pwd; echo "$HOME"; touch made', COURSE_AS_ROOT="1")
    assert result.returncode == 0, result.stderr
    folder, home = result.stdout.split()
    assert Path(folder).resolve() == course.resolve() and home.startswith("/tmp/home.")
    assert {path.name for path in course.iterdir()} == {"notebooks", "entrypoint.sh", "made"}
    shutil.rmtree(home)


@needs_bash
def test_without_the_course_it_says_what_to_do(course):
    (course / "notebooks" / "00_start_here.ipynb").unlink()
    result = enter(course, "true", COURSE_AS_ROOT="1")
    assert result.returncode == 1
    assert "must be mounted" in result.stderr and "docker compose" in result.stderr


@needs_bash
@needs_root
@pytest.mark.parametrize(("owner", "mode", "values", "becomes"), [
    (LEARNER, 0o755, {}, LEARNER),
    (LEARNER, 0o755, {"COURSE_ID_MAP": "0 1000 1"}, LEARNER),
    (0, 0o777, {}, 1000),  # Docker Desktop
    (0, 0o755, {"COURSE_ID_MAP": "0 1000 1"}, 0),  # Docker without root
    (0, 0o755, {"LOCAL_UID": "0"}, 0),
    (0, 0o777, {"LOCAL_UID": "5432", "LOCAL_GID": "5433"}, 5432),
])  # fmt: skip
def test_it_becomes_the_user_to_whom_the_files_are_to_belong(course, tmp_path, owner, mode, values, becomes):
    os.chown(course, owner, owner)
    course.chmod(mode)
    if "COURSE_ID_MAP" in values:
        (tmp_path / "map").write_text(values["COURSE_ID_MAP"] + "\n")
        values = values | {"COURSE_ID_MAP": str(tmp_path / "map")}
    result = enter(course, "sh", "-c", "id -u; touch made", **values)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(becomes)]
    assert (course / "made").stat().st_uid == becomes


@needs_bash
@needs_root
@pytest.mark.parametrize(("owner", "values", "says"), [
    (0, {}, "LOCAL_UID=0 docker compose"),
    (LEARNER, {"LOCAL_UID": "5432"}, f"set LOCAL_UID={LEARNER}"),
    (LEARNER, {"LOCAL_UID": "me"}, "are numbers"),
])  # fmt: skip
def test_what_cannot_work_is_refused_with_a_remedy(course, owner, values, says):
    os.chown(course, owner, owner)
    result = enter(course, "touch", "made", **values)
    assert result.returncode == 1 and says in result.stderr
    assert not (course / "made").exists()


@pytest.mark.full
def test_the_image_passes_its_own_tests():
    if not shutil.which("docker") or runs("docker", "info").returncode:
        pytest.skip("no Docker engine answers")
    build = ["docker", "build", "--tag", "say-what-you-see:test", "--file", str(DOCKER / "Dockerfile"), str(REPOSITORY)]
    subprocess.run(build, check=True, timeout=1800)
    mounted = ["--volume", f"{REPOSITORY}:/course:ro"]
    run = ["docker", "run", "--rm", "--entrypoint", "bash", *mounted, "say-what-you-see:test"]
    subprocess.run([*run, "/opt/course/test_image.sh"], check=True, timeout=600)
