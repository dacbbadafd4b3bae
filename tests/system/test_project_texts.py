"""What readers of the project rely on: README, citation, licences, issue forms."""

from __future__ import annotations

import re
import tomllib

import yaml

import setup_google_colab
from say_what_you_see import __version__
from say_what_you_see.commands.parser import build_parser
from tools.lint import links_in
from tools.notebooks import REPOSITORY, find_notebooks


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_the_readme_links_every_notebook_and_all_ways_in():
    links = links_in(text_of("README.md"))
    assert {f"notebooks/{path.name}" for path in find_notebooks()} <= set(links)
    assert {"docs/anaconda.md", "docs/faq.md", "docs/glossary.md", "notebooks/exercises/README.md"} <= set(links)


def test_the_readme_opens_the_release_in_colab():
    places = [link for link in links_in(text_of("README.md")) if "colab.research.google.com" in link]
    start = f"/github/{setup_google_colab.REPOSITORY}/blob/{setup_google_colab.REVISION}/notebooks/"
    assert places and all(start in place for place in places)


def test_each_way_in_ends_with_something_to_see():
    ways = re.findall(r"^\*\*I have (.+?)\n\n(1\. .+?)\n\n", text_of("README.md"), re.MULTILINE | re.DOTALL)
    assert len(ways) == 4
    for _, steps in ways:
        numbered = re.findall(r"^\d\. ", steps, re.MULTILINE)
        assert numbered == ["1. ", "2. ", "3. "]


def test_every_command_that_the_texts_name_exists():
    commands = build_parser()._subparsers._group_actions[0].choices
    for name in ("README.md", "docs/faq.md", "CONTRIBUTING.md", ".github/ISSUE_TEMPLATE/problem.yml"):
        named = set(re.findall(r"say-what-you-see ([a-z][\w-]*)", text_of(name)))
        assert named <= set(commands), name


def test_every_target_that_the_texts_name_exists():
    targets = set(re.search(r"^\.PHONY: (.*)$", text_of("Makefile"), re.MULTILINE)[1].split())
    for name in ("README.md", "docs/faq.md", "CONTRIBUTING.md"):
        named = {target for line in re.findall(r"[`\n]make ([a-z -]+)", text_of(name)) for target in line.split()}
        assert named <= targets, name


def test_the_citation_is_of_this_version_and_its_licences():
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert citation["version"] == __version__ and citation["cff-version"] == "1.2.0"
    assert {"title", "message", "authors", "type"} <= citation.keys()
    licences = tomllib.loads(text_of("pyproject.toml"))["project"]["license"].split(" AND ")
    assert citation["license"] == licences == ["MIT", "CC-BY-4.0"]
    assert text_of("LICENSE").startswith("MIT License") and "Attribution 4.0" in text_of("LICENSE-TEXT")


def test_the_issue_form_asks_for_the_environment_check():
    fields = {field["id"]: field for field in yaml.safe_load(text_of(".github/ISSUE_TEMPLATE/problem.yml"))["body"][1:]}
    assert "say-what-you-see environment" in fields["environment"]["attributes"]["description"]
    assert fields["environment"]["validations"]["required"]
    assert all(field["attributes"]["label"] for field in fields.values())
