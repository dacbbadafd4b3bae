"""conda_requirements.txt says for conda what requirements.txt says for pip."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.notebooks import NOTEBOOKS, REPOSITORY

CONDA = REPOSITORY / "conda_requirements.txt"
GUIDE = REPOSITORY / "docs" / "anaconda.md"

OTHER_NAMES = {"matplotlib": "matplotlib-base", "tensorflow-cpu": "tensorflow"}
"""What is called differently on conda-forge than for pip."""

FROM_PIP = {"openvino"}
"""What the guide installs by pip also in a conda environment; no notebook needs it."""

LINE = re.compile(r"(?P<name>[a-z0-9_.-]+) (?P<versions>[0-9.,<>=]+)")


def conda_lines() -> list[str]:
    """The lines that conda reads."""
    lines = CONDA.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def conda_ranges() -> dict[str, SpecifierSet]:
    """Versions by conda-forge's name."""
    return {match["name"]: SpecifierSet(match["versions"]) for match in map(LINE.fullmatch, conda_lines()) if match}


def pip_ranges() -> dict[str, SpecifierSet]:
    """Versions by pip's name."""
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line.partition("#")[0]) for line in lines if re.match(r"[A-Za-z]", line)]
    return {requirement.name: requirement.specifier for requirement in requirements}


def constraints() -> dict[str, Version]:
    """The versions that are known to work together, by canonical name."""
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(";")[0].split("==") for line in lines if "==" in line]
    return {canonicalize_name(name): Version(version.strip()) for name, version in pairs}


def test_every_line_is_a_name_and_a_bounded_range_without_build_string():
    assert len(conda_lines()) > 15
    for line in conda_lines():
        match = LINE.fullmatch(line)
        assert match, f"conda and this test read no such line: {line!r}"
        operators = [item.operator for item in SpecifierSet(match["versions"])]
        assert sorted(operators) == ["<", ">="], f"{line!r} is not bounded on both sides"
    names = [line.split()[0] for line in conda_lines()]
    assert len(names) == len(set(names))


def test_the_packages_are_those_of_pip():
    wanted = {OTHER_NAMES.get(name, name) for name in pip_ranges() if name not in FROM_PIP}
    assert set(conda_ranges()) == wanted


@pytest.mark.parametrize("name", sorted(set(pip_ranges()) - FROM_PIP))
def test_the_range_is_that_of_pip(name):
    assert conda_ranges()[OTHER_NAMES.get(name, name)] == pip_ranges()[name]


def test_the_versions_that_are_known_to_work_are_in_the_ranges():
    known = constraints()
    for name, versions in conda_ranges().items():
        pip_name = {conda: pip for pip, conda in OTHER_NAMES.items()}.get(name, name)
        assert versions.contains(known[canonicalize_name(pip_name)]), name


def test_each_block_says_which_notebook_needs_it():
    numbers = {path.name[:2] for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}
    blocks = CONDA.read_text(encoding="utf-8").split("\n\n")
    for block in blocks:
        lines = block.strip().splitlines()
        if all(line.startswith("#") for line in lines):
            continue
        comment = " ".join(line for line in lines if line.startswith("#"))
        assert lines[0].startswith("#") and re.search(r"[Nn]otebook|\b\d\d_\w+", comment), block
        assert set(re.findall(r"\b(\d\d)(?=[_ ,:;])", comment)) <= numbers, comment
        for name in re.findall(r"\b\d\d_\w+", comment):
            assert (NOTEBOOKS / f"{name}.ipynb").exists(), name


def test_what_comes_from_pip_is_said_with_pips_range():
    for name in FROM_PIP:
        for path in (CONDA, GUIDE):
            (text,) = set(re.findall(rf'"{name}([^"]*)"', path.read_text(encoding="utf-8")))
            assert SpecifierSet(text) == pip_ranges()[name], path.name


def test_the_guide_runs_on_windows_without_tensorflows_line():
    guide = GUIDE.read_text(encoding="utf-8")
    linux, windows = guide.split("## Windows")
    assert "conda install --yes --file conda_requirements.txt" in linux
    (prefix,) = re.findall(r'findstr /v /b "(\w+)" conda_requirements.txt', windows)
    left_out = [line for line in conda_lines() if line.startswith(prefix)]
    assert [line.split()[0] for line in left_out] == ["tensorflow"]
    (versions,) = set(re.findall(r'"tensorflow-cpu([^"]*)"', windows))
    assert SpecifierSet(versions) == pip_ranges()["tensorflow-cpu"]


def test_the_guides_python_is_one_of_the_course():
    requires = re.search(r'requires-python = "(.*)"', (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    for version in re.findall(r"python=(\S+)", GUIDE.read_text(encoding="utf-8")):
        assert SpecifierSet(requires[1]).contains(version)
