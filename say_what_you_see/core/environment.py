"""Checks whether this computer has what the course needs, and says what to do where it has not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata

from packaging.requirements import Requirement

from say_what_you_see.core.backend import keras
from say_what_you_see.core.settings import REPOSITORY, SHIPPED, Settings

_PYTHONS = ((3, 11), (3, 13))
_TENSORFLOW_BUILDS = ("tensorflow", "tensorflow-cpu")
BACKENDS = ("tensorflow", "jax", "torch")
"""What Keras can compute with in this course; the first is the usual one."""
NOT_IN_COLAB = {
    "ipykernel", "ipython", "jinja2", "jupyter_client", "jupyterlab", "nbclient", "nbconvert", "nbformat", "tornado",
    "anywidget", "openvino", "pycocoevalcap",
}  # fmt: skip
"""What nobody need have installed in Google Colab: it is a Jupyter of its own, and what only one notebook needs comes
with the first cell of that notebook."""

_MEMORY_NEEDED, _DISK_NEEDED = 4e9, 1e9


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what, whether it is well, what was found, and what to do if it is not well."""

    name: str
    passed: bool
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"[{'OK' if self.passed else 'FAIL'}]".ljust(7) + f"{self.name}: {self.found}"
        return line if self.passed else f"{line}\n       -> {self.remedy}"


def check_environment(settings: Settings) -> list[Check]:
    """Look at Python, packages, memory, disk, the encoder's weights and Keras' backend."""
    looks: tuple[Callable[[], list[Check]], ...] = (
        _check_python, _check_packages, _check_backend, _check_memory, lambda: _check_data(settings), _check_weights,
        _check_keras,
    )  # fmt: skip
    return [check for look in looks for check in look()]


def _check_python() -> list[Check]:
    version = sys.version_info[:2]
    fits = _PYTHONS[0] <= version <= _PYTHONS[1]
    found = f"{platform.python_version()} on {platform.system()}"
    return [Check("Python", fits, found, "Install Python 3.11, 3.12 or 3.13.")]


def _check_packages() -> list[Check]:
    """Every package of requirements.txt that applies here, in a version within its range."""
    left_out = NOT_IN_COLAB if "google.colab" in sys.modules else set()
    return [_check_package(wanted) for wanted in _required("requirements.txt") if wanted.name not in left_out]


def _check_backend() -> list[Check]:
    """Whether what Keras computes with is one that the course knows, and of a version within its range."""
    backend, name = keras.config.backend(), "Keras' backend"
    if backend not in BACKENDS:
        return [Check(name, False, f"{backend}, which the course does not know", "Set KERAS_BACKEND to tensorflow.")]
    if backend == BACKENDS[0]:
        return []  # what is required names it, and that Keras computes with it is looked at below
    (wanted,) = (wanted for wanted in _required("requirements-backends.txt") if wanted.name == backend)
    check = _check_package(wanted, "Run `python -m pip install -r requirements-backends.txt`, or unset KERAS_BACKEND.")
    return [replace(check, name=name, found=f"{backend} {check.found}; notebook 09 needs tensorflow")]


def _required(file: str) -> list[Requirement]:
    """The packages of a file of requirements that apply here."""
    lines = (REPOSITORY / file).read_text(encoding="utf-8").splitlines()
    texts = [line.split("#")[0].strip() for line in lines]
    found = [Requirement(text) for text in texts if text and not text.startswith("-")]
    return [wanted for wanted in found if wanted.marker is None or wanted.marker.evaluate()]


def _check_package(
    wanted: Requirement, remedy: str = "Run `make course`, or `python -m pip install -r requirements.txt`."
) -> Check:
    """Whether a package is there in a version within its range; of TensorFlow either build will do.

    Without TensorFlow all but notebook 09 works, where Keras computes with something else.
    """
    names = _TENSORFLOW_BUILDS if wanted.name in _TENSORFLOW_BUILDS else (wanted.name,)
    versions = {name: version for name in names if (version := _installed_version(name))}
    if not versions:
        needless = wanted.name in _TENSORFLOW_BUILDS and keras.config.backend() != "tensorflow"
        return Check(wanted.name, needless, "not installed" + "; notebook 09 needs it" * needless, remedy)
    for name, version in versions.items():
        if wanted.specifier.contains(version, prereleases=True):
            return Check(wanted.name, True, version if name == wanted.name else f"{version} ({name})", remedy)
    found = " and ".join(versions.values())
    return Check(wanted.name, False, f"{found}, but {wanted.specifier} is wanted", remedy)


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _check_memory() -> list[Check]:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return []  # Windows does not tell without another package
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    remedy = "The course needs 4 GB; try COURSE_SIZE=small."
    return [Check("memory", memory >= _MEMORY_NEEDED, f"{memory / 1e9:.0f} GB", remedy)]


def _check_data(settings: Settings) -> list[Check]:
    """Whether the data folder can be written to and has room."""
    folder = settings.data_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".can_write"
        probe.touch()
        probe.unlink()
    except OSError as error:
        found = f"{folder} cannot be written to ({error.strerror})"
        return [Check("data folder", False, found, "Set COURSE_DATA to a folder of yours.")]
    free = shutil.disk_usage(folder).free
    return [Check("data folder", free >= _DISK_NEEDED, f"writable, {free / 1e9:.0f} GB free", "Make 1 GB of room.")]


def _check_weights() -> list[Check]:
    path = SHIPPED / "inception_v3_scenes.weights.h5"
    found = f"{path.stat().st_size / 1e6:.0f} MB" if path.exists() else "missing"
    remedy = "Clone the repository again: the file belongs to it."
    return [Check("InceptionV3 for scenes", path.exists(), found, remedy)]


def _check_keras() -> list[Check]:
    """Whether Keras computes, and on what."""
    remedy = "Remove .venv and run `make course` again."
    try:
        total = float(keras.ops.sum(keras.ops.ones((2, 3))))
    except Exception as error:  # whatever a broken installation raises
        return [Check("Keras computes", False, f"{type(error).__name__}: {error}", remedy)]
    gpus = _count_gpus()
    device = f"{gpus} GPU" if gpus else "no GPU, which is fine"
    return [Check("Keras computes", total == 6.0, f"backend {keras.config.backend()}, {device}", remedy)]


def _count_gpus() -> int:
    """How many GPUs Keras' backend sees; Keras has no list of them for PyTorch, and none without GPUs for JAX."""
    if keras.config.backend() == "torch":
        import torch

        return torch.cuda.device_count()
    return sum(name.startswith(("gpu", "cuda", "rocm")) for name in keras.distribution.list_devices())
