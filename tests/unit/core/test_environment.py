"""The environment check: every line is OK or FAIL, and what fails says what to do."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import namedtuple
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from say_what_you_see.core import environment
from say_what_you_see.core.backend import keras
from say_what_you_see.core.environment import Check, check_environment
from say_what_you_see.core.settings import REPOSITORY, read_settings

BACKENDS_FILE = (REPOSITORY / "requirements-backends.txt").read_text(encoding="utf-8")


@pytest.fixture
def settings(tmp_path):
    return read_settings({"COURSE_DATA": str(tmp_path / "data")})


def found(settings, name: str) -> Check:
    """The one check of this name."""
    [check] = [check for check in check_environment(settings) if check.name == name]
    return check


def fails(check: Check, *texts: str) -> None:
    """The check did not pass, and says so with these texts and a remedy."""
    assert not check.passed and check.remedy
    first, second = str(check).splitlines()
    assert first.startswith("[FAIL] ") and second.strip() == f"-> {check.remedy}"
    for text in texts:
        assert text in str(check)


def test_every_check_is_ok_or_fail(settings):
    checks = check_environment(settings)
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        lines = str(check).splitlines()
        assert re.match(r"\[OK\]   \w" if check.passed else r"\[FAIL\] \w", lines[0])
        assert len(lines) == (1 if check.passed else 2)
        assert check.remedy, "whatever may fail has a remedy"
    passed = {check.name for check in checks if check.passed}
    assert {"Python", "keras", "numpy", "data folder", "Keras computes"} <= passed, "the tests themselves need them"


def test_every_package_that_is_required_here_is_looked_at(settings):
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line.partition("#")[0]) for line in lines if re.match(r"\s*[A-Za-z]", line)]
    here = {requirement.name for requirement in wanted if not requirement.marker or requirement.marker.evaluate()}
    assert len(here) > 8
    assert here <= {check.name for check in check_environment(settings)}
    assert ("tensorflow" in here) != ("tensorflow-cpu" in here)


def test_in_colab_its_own_jupyter_and_the_packages_of_single_notebooks_are_not_looked_at(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    names = {check.name for check in check_environment(settings)}
    assert {"keras", "numpy", "tqdm", "Python", "Keras computes"} <= names
    assert not {"ipython", "jupyterlab", "jupyter_client", "pycocoevalcap"} & names


def test_a_missing_package_fails(settings, monkeypatch):
    version = metadata.version

    def without_pillow(name: str) -> str:
        if name == "pillow":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without_pillow)
    fails(found(settings, "pillow"), "not installed", "make course", "pip install -r requirements.txt")
    assert found(settings, "numpy").passed


@pytest.mark.parametrize(("version", "fits"), [("0.1", False), ("99.0", False), ("2.1", True), ("2.1rc1", True)])
def test_a_package_must_be_within_its_range(version, fits, settings, monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: version)
    check = environment._check_package(Requirement("numpy>=1.26,<3"))
    assert check.passed == fits
    if not fits:
        fails(check, version, ">=1.26")


@pytest.mark.parametrize(("installed", "passes"), [
    ({"tensorflow-cpu": "2.19.0"}, True),
    ({"tensorflow": "2.19.0"}, True),
    ({"tensorflow": "2.19.0", "tensorflow-cpu": "2.10.0"}, True),
    ({"tensorflow": "2.10.0"}, False),
    ({"tensorflow-cpu": "2.10.0"}, False),
    ({"tensorflow-text": "2.19.0"}, False),
    ({}, False),
])  # fmt: skip
@pytest.mark.parametrize("wanted", ["tensorflow", "tensorflow-cpu"])
def test_either_build_of_tensorflow_will_do(wanted, installed, passes, monkeypatch):
    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    check = environment._check_package(Requirement(f"{wanted}>=2.18,<2.22"))
    assert check.name == wanted and check.passed == passes
    if passes:
        assert "2.19.0" in str(check)
        assert wanted in installed or next(iter(installed)) in check.found
    else:
        fails(check, "2.10.0" if "2.10.0" in installed.values() else "not installed")


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize(("version", "fits"), [("0.1", False), ("99.0", False), (None, False), ("2.7", None)])
def test_another_backend_must_be_of_a_version_that_the_course_knows(backend, version, fits, monkeypatch):
    def installed(name: str) -> str:
        if version is None or name != backend:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", installed)
    monkeypatch.setattr(keras.config, "backend", lambda: backend)
    [check] = environment._check_backend()
    wanted = Requirement(next(line for line in BACKENDS_FILE.splitlines() if line.startswith(backend)))
    assert check.passed == bool(version and wanted.specifier.contains(version))
    assert backend in check.found and (version or "not installed") in check.found
    if fits is False:
        fails(check, "requirements-backends.txt", "unset KERAS_BACKEND")


def test_without_tensorflow_another_backend_does(monkeypatch):
    def installed(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", installed)
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    check = environment._check_package(Requirement("tensorflow>=2.18"))
    assert check.passed and "not installed; notebook 09 needs it" in str(check)
    fails(environment._check_package(Requirement("numpy>=1.26")), "not installed")


def test_an_unknown_backend_fails(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "openvino")
    [check] = environment._check_backend()
    fails(check, "openvino", "KERAS_BACKEND")


@pytest.mark.parametrize(
    ("version", "fits"), [((3, 10, 4), False), ((3, 11, 0), True), ((3, 13, 9), True), ((3, 14, 0), False)]
)
def test_python_must_be_one_that_tensorflow_knows(version, fits, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", version)
        [check] = environment._check_python()
    assert check.passed == fits
    if not fits:
        fails(check, "3.11")


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="this system does not tell how much memory there is")
@pytest.mark.parametrize(("pages", "fits"), [(500_000, False), (2_000_000, True)])
def test_memory(pages, fits, settings, monkeypatch):
    values = {"SC_PHYS_PAGES": pages, "SC_PAGE_SIZE": 4096}
    with monkeypatch.context() as patch:
        patch.setattr(os, "sysconf", values.__getitem__)
        [check] = environment._check_memory()
    assert check.passed == fits
    if not fits:
        fails(check, "2 GB", "COURSE_SIZE=small")


def test_the_data_folder_is_made_and_left_empty(settings):
    assert found(settings, "data folder").passed
    assert list(settings.data_folder.iterdir()) == []


def test_a_data_folder_that_cannot_be_made_fails(settings):
    settings.data_folder.write_text("a file is in the way")
    fails(found(settings, "data folder"), str(settings.data_folder), "cannot be written to", "COURSE_DATA")


def test_a_full_disk_fails(settings, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**12, 10**12, 10**6))
    fails(found(settings, "data folder"), "0 GB free", "1 GB")


@pytest.mark.parametrize("there", [True, False])
def test_the_weights_for_scenes(there, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "REPOSITORY", tmp_path)
    (tmp_path / "data").mkdir()
    if there:
        (tmp_path / "data" / "inception_v3_scenes.weights.h5").write_bytes(bytes(3_000_000))
    [check] = environment._check_weights()
    assert check.passed == there
    if there:
        assert "3 MB" in str(check)
    else:
        fails(check, "missing", "Clone")


def test_a_broken_keras_fails(settings, monkeypatch):
    def broken(*_):
        raise RuntimeError("no kernel for this machine")

    monkeypatch.setattr(keras.ops, "ones", broken)
    fails(found(settings, "Keras computes"), "RuntimeError: no kernel for this machine", "make course")
