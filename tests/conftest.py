"""A course that ran once, on a few dozen pictures and with a tiny encoder, for every test that needs one."""

import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Hypothesis tries the same in every run, and with HYPOTHESIS_RANDOM=1 something else each time.
settings.register_profile(
    "course", max_examples=60, deadline=None, derandomize=not os.environ.get("HYPOTHESIS_RANDOM"),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], database=None,
)  # fmt: skip
settings.load_profile("course")


def pytest_configure():
    """PyTorch's threads wait for each other without a pause: for tiny networks one is quicker than two."""
    if os.environ.get("KERAS_BACKEND") == "torch":
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass(frozen=True)
class FinishedCourse:
    """What is left after `resources`, `embed`, `prepare` and `train`."""

    environ: dict[str, str]  # the variables that the course ran with

    @property
    def settings(self):
        from say_what_you_see.core.settings import read_settings

        return read_settings(self.environ)


@pytest.fixture(scope="session", autouse=True)
def no_bars():
    """No progress bars in the output of tests; those that test bars set the variable anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_PROGRESS", "off")
        yield


@pytest.fixture(scope="session")
def records(finished_course) -> Path:
    """Records of the scenes of the finished course; read only."""
    from say_what_you_see.training.scale.records import write_records

    return write_records(finished_course.settings, shards={"train": 3, "val": 2}).folder


@pytest.fixture(scope="session")
def finished_course(tmp_path_factory) -> FinishedCourse:
    from caption_samples import write_tiny_encoder

    from say_what_you_see.commands.main import main

    folder = tmp_path_factory.mktemp("course")
    environ = {
        "COURSE_DATA": str(folder / "data"),
        "COURSE_SIZE": "small",
        "COURSE_PROGRESS": "off",
        "DATASET": "scenes",
        "ENCODER": str(write_tiny_encoder(folder / "tiny.keras")),
        "COURSE_SEED": "0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        for command in ("resources", "embed", "prepare", "train"):
            assert main([command]) == 0
    return FinishedCourse(environ)


@pytest.fixture
def copied_course(finished_course, tmp_path):
    """Settings of a copy of the finished course, to change."""
    data = shutil.copytree(finished_course.environ["COURSE_DATA"], tmp_path / "data")
    return replace(finished_course.settings, data_folder=Path(data))


@pytest.fixture
def data_folder(tmp_path, monkeypatch) -> Path:
    """A data folder of the test's own, which is not there yet."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def no_proxy(monkeypatch) -> None:
    """Servers of a test are on this machine."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def publish(tmp_path, monkeypatch, no_proxy):
    """A folder, and a function that lets the table of resources point at the small files in it, on this machine."""
    from download_server import serve_folder

    from say_what_you_see.data import download, resources
    from say_what_you_see.data.checksums import hash_file

    monkeypatch.setattr(download, "ATTEMPTS", 1)
    folder = tmp_path / "server"
    folder.mkdir()
    with serve_folder(folder) as url:

        def published(resource: resources.Resource) -> resources.Resource:
            path = folder / resource.name
            if not path.exists():
                return resource
            size, checksum = path.stat().st_size, f"md5:{hash_file(path, 'md5').hexdigest()}"
            return replace(resource, folders=(url,), bytes=size, checksum=checksum)

        yield folder, lambda: monkeypatch.setattr(resources, "RESOURCES", tuple(map(published, resources.RESOURCES)))


@pytest.fixture(autouse=True)
def no_open_figures():
    """Close the figures that a test made and did not show."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def course_environ(finished_course, monkeypatch) -> FinishedCourse:
    """The finished course, with its variables set."""
    for name, value in finished_course.environ.items():
        monkeypatch.setenv(name, value)
    return finished_course
