"""The lessons as they are committed: names in their code, numbers in their texts, outputs of a run at full size."""

import ast
import os
import re
import subprocess
import sys
from html import unescape

import nbformat
import pytest
from compare_notebooks import differences
from nbformat import NotebookNode

from tools.markdown import prose
from tools.notebooks import REPOSITORY, code_cells, find_notebooks, read_notebook
from tools.run_course import BUILD, main

each_notebook = pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)


@each_notebook
def test_every_name_that_lesson_code_uses_is_imported_before(path):
    """Also in branches that no run of the notebook reaches; names of types in annotations need not be."""
    lines = [line for cell in code_cells(read_notebook(path)) for line in cell.source.splitlines()]
    code = ast.parse("\n".join(line for line in lines if not line.startswith("%")))
    for node in ast.walk(code):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant("")
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "concise", "-"]
    found = subprocess.run(ruff, input=ast.unparse(code), capture_output=True, text=True, cwd=path.parent)
    assert found.returncode == 0, found.stdout


# Numbers

NUMBER = re.compile(r"(?<![\w.])(?P<digits>\d{1,3}(?:,\d{3})+|\d[\d_]*)(?P<decimals>\.\d+)?(?P<power>e[+-]?\d+)?")
"""A number as people write it, as Python prints it, and as it stands in code."""

_YEAR = re.compile(r"(?:19|20)\d\d")
_NO_PROSE = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$|</?\w[^>]*>", re.DOTALL)  # formulas, and tags of HTML
_PICTURE = re.compile(r"data:[\w/+.-]+;base64,[\w/+=]+")


def value_of(match: re.Match) -> float:
    """What a match of `NUMBER` stands for."""
    return float(match[0].replace(",", "").replace("_", ""))


def shown_by(notebook: NotebookNode) -> tuple[set[float], set[float]]:
    """The numbers in the outputs, with the alternative texts of pictures; and those in the code."""
    printed, written = set(), set()
    for cell in code_cells(notebook):
        written |= {value_of(match) for match in NUMBER.finditer(cell.source)}
        for output in cell.outputs:
            data = output.get("data", {})
            texts = [output.get("text", ""), *(text for kind, text in data.items() if kind.startswith("text/"))]
            text = unescape(_PICTURE.sub("", "\n".join([*texts, str(output.get("metadata", ""))])))
            printed |= {value_of(match) for match in NUMBER.finditer(text)}
    return printed, written


def is_shown(match: re.Match, percent: bool, printed: set[float], written: set[float]) -> bool:
    """Whether a number of the text is one of the others, rounded to as many places.

    A whole number may be rounded to its first two digits (13,512 is 13,500 and 14,000). 0.703 can be called 70 %; for
    a percentage the small numbers of the code do not count, as most of them would be there by chance.
    """
    value, digits = value_of(match), match["digits"].replace(",", "")
    places = len(match["decimals"] or ".") - 1
    zeros = 0 if places else min(len(digits) - len(digits.rstrip("0")), max(len(digits) - 2, 0))
    tolerance = 0.5 * 10.0 ** (zeros - places) * (1 + 1e-9)
    others = {100 * other for other in printed | written if other <= 1} | printed if percent else printed | written
    return any(abs(value - other) <= tolerance for other in others)


def numbers_without_source(notebook: NotebookNode) -> list[str]:
    """The numbers of the texts that no output and no code of the notebook shows, each with its cell and its line.

    Those with a decimal point, a % sign, or three digits and more are looked at; years are not. The metadata of a cell
    can say where its other numbers come from, `"measured": "docs/tried.md"`, or each of them,
    `"measured": {"22.8": "docs/speed.md", "999": "an example"}`. A file that is named so must hold them.
    """
    printed, written = shown_by(notebook)
    missing = []
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        measured = cell.metadata.get("measured", {})
        for line in _NO_PROSE.sub(" ", prose(cell.source)).splitlines():
            for match in NUMBER.finditer(line):
                percent = bool(re.match(r"\s?%", line[match.end() :]))
                long = match["decimals"] or len(match["digits"].replace(",", "")) > 2
                if not (percent or long) or _YEAR.fullmatch(match[0]):
                    continue
                where = measured if isinstance(measured, str) else measured.get(match[0], "")
                source = REPOSITORY / where
                named = bool(where) and (not source.is_file() or match[0] in source.read_text(encoding="utf-8"))
                if not named and not is_shown(match, percent, printed, written):
                    around = line[max(match.start() - 50, 0) : match.end() + 40]
                    missing.append(f"[{position}] {match[0]}: ...{around}...")
    return missing


@each_notebook
def test_the_numbers_of_a_text_stand_in_the_outputs(path):
    assert not (missing := numbers_without_source(read_notebook(path))), "\n".join(missing)


# Outputs


@pytest.mark.full
def test_the_course_gives_what_is_committed(tmp_path_factory, monkeypatch, capfd):
    """With FULL_REUSE=1, data/ and build/ are used, and what is finished there is not done again."""
    for name in ("DATASET", "ENCODER", "COURSE_SIZE", "COURSE_SEED", "COURSE_SPLIT", "COURSE_DATA"):
        monkeypatch.delenv(name, raising=False)
    data, build = REPOSITORY / "data", BUILD
    if os.environ.get("FULL_REUSE") != "1":
        data, build = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("build")
        monkeypatch.setenv("COURSE_DATA", str(data))
    with capfd.disabled():
        assert main(["--all", "--build", str(build)]) == 0
    found = []
    for path in find_notebooks():
        text = (build / "notebooks" / path.name).read_text(encoding="utf-8").replace(str(data), "data")
        executed = nbformat.reads(text, as_version=4)
        found += [f"{path.name}: {difference}" for difference in differences(read_notebook(path), executed)]
    assert not found, "\n".join(found)
