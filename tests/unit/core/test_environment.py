"""The environment check: every line is OK or FAIL, and what fails says what to do."""

import re
import shutil
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from say_what_you_see.core import environment
from say_what_you_see.core.backend import keras
from say_what_you_see.core.environment import Check, check_environment
from say_what_you_see.core.settings import read_settings


@pytest.fixture
def settings(tmp_path):
    return read_settings({"COURSE_DATA": str(tmp_path / "data")})


def check_named(name: str, settings) -> Check:
    [check] = [check for check in check_environment(settings) if check.name == name]
    return check


def fails(check: Check, *texts: str) -> bool:
    """Whether a check did not pass, and says so with these texts and a remedy."""
    first, second = str(check).splitlines()
    assert first.startswith("[FAIL] ") and second.strip() == f"-> {check.remedy}"
    return not check.passed and all(text in str(check) for text in texts)


def test_every_check_is_ok_or_fail(settings):
    checks = check_environment(settings)
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        lines = str(check).splitlines()
        assert re.match(r"\[OK\]   \w" if check.passed else r"\[FAIL\] \w", lines[0])
        assert len(lines) == (1 if check.passed else 2) and check.remedy
    passed = {check.name for check in checks if check.passed}
    assert {"Python", "keras", "numpy", "pillow", "data folder", "InceptionV3 for scenes", "Keras computes"} <= passed
    assert ("tensorflow" in passed) != ("tensorflow-cpu" in passed)
    assert list(settings.data_folder.iterdir()) == []


def test_an_installed_package_checks_what_its_metadata_requires(settings, monkeypatch):
    """Without requirements.txt beside it."""
    required = ["numpy>=99", "jax>=99; extra == 'backends'", "no-such-package; python_version < '3'"]
    monkeypatch.setattr(environment, "IN_CHECKOUT", False)
    monkeypatch.setattr(metadata, "requires", lambda name: required)
    assert fails(check_named("numpy", settings), ">=99")
    assert not {"jax", "no-such-package"} & {check.name for check in check_environment(settings)}
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    assert fails(check_named("Keras' backend", settings), "jax", "requirements-backends.txt")


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("version", ["0.1", "99.0", None])
def test_another_backend_must_be_of_a_version_that_the_course_knows(backend, version, monkeypatch, settings):
    def installed_version(name: str) -> str:
        if name == backend and version:
            return version
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", installed_version)
    monkeypatch.setattr(keras.config, "backend", lambda: backend)
    monkeypatch.setattr(environment, "_check_keras", lambda: Check("Keras computes", True, ""))
    check = check_named("Keras' backend", settings)
    assert fails(check, backend, version or "not installed", "requirements-backends.txt", "unset KERAS_BACKEND")
    tensorflow = [check for check in check_environment(settings) if check.name.startswith("tensorflow")]
    assert all(check.passed and "notebook 09 needs it" in check.detail for check in tensorflow)


def test_what_is_missing_on_this_computer_is_said(settings, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", (3, 10, 0))
        patch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**6))
        patch.setattr(environment, "SHIPPED", tmp_path)
        patch.setattr(environment, "_MEMORY_NEEDED", 1e18)
        patch.setattr(keras.ops, "ones", lambda shape: 1 / 0)
        checks = {check.name: check for check in check_environment(settings)}
    assert fails(checks["Python"], "3.11")
    assert fails(checks["data folder"], "0 GB free", "1 GB")
    assert fails(checks["InceptionV3 for scenes"], "missing", "Clone")
    assert fails(checks["Keras computes"], "ZeroDivisionError")
    assert "memory" not in checks or fails(checks["memory"], "COURSE_SIZE=small")
    settings.data_folder.rmdir()
    settings.data_folder.write_text("a file is in the way")
    assert fails(check_named("data folder", settings), str(settings.data_folder), "cannot be written to", "COURSE_DATA")
