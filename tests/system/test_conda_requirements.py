"""conda_requirements.txt says for conda what requirements.txt says for pip."""

from __future__ import annotations

import re

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools.notebooks import REPOSITORY

CONDA = REPOSITORY / "conda_requirements.txt"
GUIDE = REPOSITORY / "docs" / "anaconda.md"

OTHER_NAMES = {"matplotlib": "matplotlib-base", "tensorflow-cpu": "tensorflow"}
"""What is called differently on conda-forge than for pip."""

FROM_PIP = {"openvino"}
"""What the guide installs by pip also in a conda environment; no notebook needs it."""


def requirements(text: str) -> dict[str, SpecifierSet]:
    """Ranges by name."""
    lines = [line.partition("#")[0] for line in text.splitlines() if re.match(r"[A-Za-z]", line)]
    return {each.name: each.specifier for each in map(Requirement, lines)}


def pip_ranges() -> dict[str, SpecifierSet]:
    return requirements((REPOSITORY / "requirements.txt").read_text(encoding="utf-8"))


def test_packages_and_ranges_are_those_of_pip():
    expected = {OTHER_NAMES.get(name, name): each for name, each in pip_ranges().items() if name not in FROM_PIP}
    assert requirements(CONDA.read_text(encoding="utf-8")) == expected


def test_what_comes_from_pip_is_said_with_pips_range():
    for name in FROM_PIP:
        for path in (CONDA, GUIDE):
            (text,) = set(re.findall(rf'"{name}([^"]*)"', path.read_text(encoding="utf-8")))
            assert SpecifierSet(text) == pip_ranges()[name], path.name


def test_on_windows_tensorflow_comes_from_pip():
    linux, windows = GUIDE.read_text(encoding="utf-8").split("## Windows")
    assert "conda install --yes --file conda_requirements.txt" in linux
    (prefix,) = re.findall(r'findstr /v /b "(\w+)" conda_requirements.txt', windows)
    names = requirements(CONDA.read_text(encoding="utf-8"))
    assert [name for name in names if name.startswith(prefix)] == ["tensorflow"]
    (versions,) = set(re.findall(r'"tensorflow-cpu([^"]*)"', windows))
    assert SpecifierSet(versions) == pip_ranges()["tensorflow-cpu"]


def test_the_guides_python_is_one_of_the_course():
    requires = re.search(r'requires-python = "(.*)"', (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    for version in re.findall(r"python=(\S+)", GUIDE.read_text(encoding="utf-8")):
        assert SpecifierSet(requires[1]).contains(version)
