"""The package as a wheel: installed elsewhere and started from an empty folder, it captions a photograph."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn.datasets
from colab_samples import copy_project

from say_what_you_see.core.settings import REPOSITORY


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder into which the wheel of a copy of the checkout was installed, which pip makes on the way."""
    checkout, target = copy_project(tmp_path_factory.mktemp("checkout")), tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(target), str(checkout)]
    subprocess.run(install, check=True, capture_output=True)
    return target


def test_the_wheel_holds_the_package_with_its_files_and_nothing_else(installed):
    others = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} - {"say_what_you_see", "bin"}
    assert not others
    package = REPOSITORY / "say_what_you_see"
    shipped = [path for folder in ("shipped", "page/static") for path in (package / folder).rglob("*")]
    expected = {path.relative_to(package) for path in [*shipped, *package.rglob("*.py")] if path.is_file()}
    missing = [path for path in expected if not (installed / "say_what_you_see" / path).is_file()]
    photo_model = {Path("shipped/photo_model", name) for name in ("decoder.keras", "familiarity.npz", "model.json")}
    assert photo_model <= expected and not missing


def test_a_photograph_is_captioned(installed, tmp_path):
    """In an empty folder, for a user who has never used it."""
    home, empty = tmp_path / "home", tmp_path / "empty"
    empty.mkdir()
    own = ("COURSE_", "DATASET", "ENCODER")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environ |= dict.fromkeys(["HOME", "XDG_DATA_HOME", "APPDATA", "LOCALAPPDATA"], str(home))
    environ["PYTHONPATH"] = str(installed)
    photo = Path(sklearn.datasets.__file__).parent / "images" / "china.jpg"
    command = [sys.executable, "-m", "say_what_you_see", "caption", str(photo)]
    ran = subprocess.run(command, cwd=empty, env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(rf"{re.escape(str(photo))}: \w+( \w+)+( \(doubtful: [^()]+\))?\n", ran.stdout)
    assert not list(empty.iterdir()), "nothing is left where it was started"
    left = list(home.rglob("exported"))
    assert left and all("say-what-you-see" in path.parts for path in left), "the data folder is the user's own"
