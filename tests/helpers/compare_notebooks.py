"""Compare the outputs of a run with those that are committed, as far as the tags of the cells ask for it."""

import difflib
import re
from collections.abc import Iterator

import numpy as np
from nbformat import NotebookNode

from tools.notebooks import COMPARED, code_cells, tags_of

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 0.15, 0.03
"""By what a number may differ in a cell tagged "tolerance", added up."""

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)


def differences(committed: NotebookNode, executed: NotebookNode) -> Iterator[str]:
    """Say which compared cells have other outputs than the committed ones.

    A cell tagged "tolerance" may differ in its words and a little in its numbers, every other compared cell in nothing.
    """
    pairs = zip(code_cells(committed), code_cells(executed), strict=True)
    for number, (cell, new_cell) in enumerate(pairs, start=1):
        tags = tags_of(cell) & COMPARED.keys()
        if tags:
            before, after = text_of(cell), text_of(new_cell)
            problem = _numbers_differ(before, after) if tags == {"tolerance"} else _texts_differ(before, after)
            if problem:
                yield f"cell [{number}] ({', '.join(sorted(tags))}): {problem}"


def text_of(cell: NotebookNode) -> str:
    """What a code cell printed, and its tables as text; pictures and progress bars (stderr) left out."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif set(output.get("data", ["none"])) <= {"text/plain", "text/html"}:
            texts.append(output.data.get("text/plain", ""))
    return "".join(text if text.endswith("\n") else text + "\n" for text in texts)


def _texts_differ(before: str, after: str) -> str:
    """The lines that differ; empty when none does."""
    return "\n".join(line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "-+")


def _numbers_differ(before: str, after: str) -> str:
    """Which number is too far off; empty when none is. "2,048" is one, and the digits of "inception_v3" are none."""
    old, new = ([float(number.replace(",", "")) for number in _NUMBER.findall(text)] for text in (before, after))
    if len(old) != len(new):
        return f"{len(new)} numbers where {len(old)} are committed"
    close = np.isclose(new, old, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE)
    return ", ".join(f"{b} for {a}" for a, b, is_close in zip(old, new, close, strict=True) if not is_close)
