"""What the notebooks' texts say in numbers stands in their outputs."""

import re
from html import unescape

import pytest
from nbformat import NotebookNode

from tools.markdown import prose
from tools.notebooks import REPOSITORY, code_cells, find_notebooks, read_notebook

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


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_the_numbers_of_a_text_stand_in_the_outputs(path):
    assert not (missing := numbers_without_source(read_notebook(path))), "\n".join(missing)
