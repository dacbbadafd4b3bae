"""The linter of texts: the project passes, and each rule finds what it is there for."""

from __future__ import annotations

import re
from functools import cache

import pytest
from notebook_samples import notebook, write

from say_what_you_see.core.errors import CourseError
from tools import lint_docs
from tools.lint_docs import (
    RULES,
    alternative_texts_in,
    anchors_in,
    check_alternative_texts,
    check_headings,
    check_links,
    check_sizes,
    check_spelling,
    external_links,
    links_in,
    main,
    passages,
    prose,
)
from tools.notebooks import NOTEBOOKS, REPOSITORY, find_notebooks, read_notebook

SLIP = "teh"  # codespell:ignore
GLOSSARY = REPOSITORY / "docs" / "glossary.md"


@pytest.fixture
def project(tmp_path):
    """A project in which nothing is amiss."""
    put(
        tmp_path, "README.md", "# A course\n\nSee [lesson](notebooks/00_one.ipynb) and [words](docs/words.md#a-word).\n"
    )
    put(tmp_path, "docs/words.md", "# Words\n\n## A word\n\nIts colour. [Up](#words), [out](https://example.org/x).\n")
    text = "# One\n\n![a grey square](../docs/square.png) and [a word](../docs/words.md#a-word)"
    write(notebook(text, "## Two parts"), tmp_path / "notebooks" / "00_one.ipynb")
    put(tmp_path, "docs/square.png", "x")
    put(tmp_path, "utils/code.py", '"""The color is right."""\n')
    return tmp_path


def put(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_course_itself(rule):
    assert list(rule(REPOSITORY)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_project_passes(rule, project):
    assert list(rule(project)) == []


BAD = {
    "no such file": ("docs/a.md", "# A\n\n[x](nowhere.md)", check_links, "file that does not exist"),
    "no such heading": ("docs/a.md", "# A\n\n[x](words.md#no-word)", check_links, "heading that does not exist"),
    "no such heading here": ("docs/a.md", "# A\n\n[x](#b)", check_links, "heading that does not exist"),
    "no such part": ("docs/a.md", "# A\n\n[x](../notebooks/00_one.ipynb#Two)", check_links, "heading"),
    "no such picture": ("docs/a.md", "# A\n\n![a red square](red.png)", check_links, "file that does not exist"),
    "no such picture in HTML": ("docs/a.md", '# A\n\n<img src="red.png">', check_links, "file that does not exist"),
    "a link by reference": ("docs/a.md", "# A\n\n[x][y]\n\n[y]: gone.md", check_links, "file that does not exist"),
    "out of the project": ("docs/a.md", "# A\n\n[x](../..)", check_links, "leads out of the project"),
    "two titles": ("docs/a.md", "# A\n\n# B", check_headings, "one heading of level 1"),
    "no title": ("docs/a.md", "A", check_headings, "one heading of level 1"),
    "a late title": ("docs/a.md", "## A\n\n# B", check_headings, "one heading of level 1"),
    "a jump": ("docs/a.md", "# A\n\n### B", check_headings, "level 3 after level 1"),
    "no alternative text": ("docs/a.md", "# A\n\n![](square.png)", check_alternative_texts, "say what it shows"),
    "one word": ("docs/a.md", "# A\n\n![square](square.png)", check_alternative_texts, "say what it shows"),
    "none in HTML": ("docs/a.md", '# A\n\n<img src="square.png">', check_alternative_texts, "say what it shows"),
    "a slip": ("docs/a.md", f"# A\n\nIt is {SLIP} end.", check_spelling, f"docs/a.md:3: {SLIP} ==> the"),
    "American": ("docs/a.md", "# A\n\nIts color.", check_spelling, "docs/a.md:3: color ==> colour"),
    "a slip in code": ("utils/a.py", f"# {SLIP} end\n", check_spelling, f"utils/a.py:1: {SLIP} ==> the"),
    "a long text": ("docs/a.md", "# A\n\n" + "word " * 20_000, check_sizes, "60,000 are the most"),
    "a long README": ("README.md", "# A\n" * 400, check_sizes, "Move detail into docs/"),
    "a large picture": ("docs/a.png", "x" * 300_000, check_sizes, "200,000 are the most"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_amiss_is_found(name, project):
    file, text, rule, expected = BAD[name]
    put(project, file, text)
    (message,) = rule(project)
    assert expected in message and file.rpartition("/")[2] in message


def test_a_cell_of_a_notebook_is_named(project):
    write(notebook("# One", f"[x](gone.md) and {SLIP} end"), project / "notebooks" / "00_one.ipynb")
    (link,) = check_links(project)
    assert link.startswith("notebooks/00_one.ipynb, cell 2: the link gone.md")
    assert list(check_spelling(project)) == [f"notebooks/00_one.ipynb/cell 2:1: {SLIP} ==> the"]


def test_links_out_of_the_project_are_listed(project, monkeypatch, capsys):
    assert external_links(project) == {"https://example.org/x": ["docs/words.md"]}
    monkeypatch.setattr(lint_docs, "external_links", lambda: {"https://example.org/x": ["a.md", "a.md", "b.md"]})
    assert main(["--external"]) == 0
    assert capsys.readouterr().out == "https://example.org/x  (a.md; b.md)\n"


def test_code_holds_no_links_pictures_or_spelling(project):
    text = f"# A\n\n`[x](y.md)` `color`\n\n```\n![](z.png) {SLIP}\n```\n\n    indented color <img src='x'>\n"
    assert links_in(text) == [] and alternative_texts_in(text) == []
    assert prose(text).splitlines()[0] == "# A" and not set(prose(text).split()) & {"color", SLIP, "`color`"}
    put(project, "docs/a.md", text)
    assert all(list(rule(project)) == [] for rule in RULES)


def test_headings_become_githubs_anchors(tmp_path):
    path = put(tmp_path, "a.md", "# Is it `code`, or (not)?\n\n## Twice\n\n## Twice\n\n## Top-k & *p*")
    assert anchors_in(path) == {"is-it-code-or-not", "twice", "twice-1", "top-k--p"}


def test_command(project, monkeypatch, capsys):
    monkeypatch.setattr(lint_docs, "lint_docs", lambda: ["a.md: amiss"])
    assert main([]) == 1
    assert "a.md: amiss\n" in capsys.readouterr().out
    monkeypatch.setattr(lint_docs, "lint_docs", lambda: [])
    assert main([]) == 0


def test_a_torn_notebook_is_said_so(project, monkeypatch, capsys):
    put(project, "notebooks/01_torn.ipynb", "{")
    with pytest.raises(CourseError, match="01_torn"):
        list(check_links(project))


def glossary_entries():
    """Term and text of each entry of the glossary."""
    parts = GLOSSARY.read_text(encoding="utf-8").split("\n## ")[1:]
    return [(term, " ".join(text.split())) for term, _, text in (part.partition("\n") for part in parts)]


def test_the_glossary_is_in_order_and_short():
    terms = [term for term, _ in glossary_entries()]
    assert len(terms) > 60 and terms == sorted(terms, key=str.lower) and len(set(terms)) == len(terms)
    assert max(len(text.split()) for _, text in glossary_entries()) <= 50


@cache
def lesson_text(name):
    return " ".join(cell.source for cell in read_notebook(NOTEBOOKS / name).cells).lower()


@pytest.mark.parametrize(("term", "text"), glossary_entries(), ids=[term for term, _ in glossary_entries()])
def test_each_entry_of_the_glossary_names_a_notebook_that_has_the_word(term, text):
    (name,) = re.findall(r"Notebook \[\d\d\]\(\.\./notebooks/(\w+\.ipynb)\)", text)
    stems = [word[:7] for word in re.split(r"[ -]", term.lower())]
    assert all(stem in lesson_text(name) for stem in stems)


def test_every_notebook_links_words_that_the_glossary_explains():
    anchors = anchors_in(GLOSSARY)
    for path in find_notebooks():
        linked = re.findall(r"\((\S*glossary\.md)#([^)]+)\)", " ".join(passage.text for passage in passages(path)))
        assert len(linked) >= 4 and {anchor for _, anchor in linked} <= anchors, path.name
