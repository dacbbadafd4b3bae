"""Check the form of the notebooks: `python -m tools.lint_notebooks`; the exit status is 1 when something is amiss.

Titles and headings, execution, alternative texts, sizes, tags, the recap at the end. What a rule
wants stands in the docstring of its function.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

from nbformat import NotebookNode

from tools.include_lessons import names_in
from tools.notebooks import NOTEBOOKS, code_cells, find_notebooks, read_notebook, tags_of
from utils.errors import CourseError

LARGEST_FILE = 500_000
"""Size of a notebook in bytes that it must stay below."""

LONGEST_CELL = 25
"""Lines of code in a cell at most, unless it includes a lesson function."""

COMPARED = {
    "nbval-check-output": "the output is the same at any size",
    "deterministic": "the output is the same in every run at full size",
    "tolerance": "the numbers in the output are about the same in every run at full size",
}
"""Tags of cells whose outputs tests compare."""

TAGS = {*COMPARED, "nbval-skip", "nbval-ignore-output", "nbval-raises-exception", "raises-exception"} | {
    "hide-input", "hide-output", "parameters", "settings", "setup", "skip-execution",
}  # fmt: skip
"""All tags that mean something; any other is taken for a slip of the pen."""

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"`[^`\n]*`")
_HEADING = re.compile(r"^(#{1,6}) +(.+?)\s*$", re.MULTILINE)
_PICTURE = re.compile(r"!\[([^\]]*)\](?=[(\[])")
_MINUTES = re.compile(r"\d+ (minutes|seconds|minute)")
_MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:root|home|tmp|work|Users)/|[A-Za-z]:\\+[Uu]sers")
_DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[\w/+=]+")
_WIDGET = "application/vnd.jupyter.widget-view+json"


def lint_notebook(path: Path) -> list[str]:
    """Check one notebook.

    Returns:
        What is amiss, a sentence each; empty when all is well.

    Raises:
        CourseError: if the file is no notebook.
    """
    notebook = read_notebook(path)
    messages = [message for rule in RULES for message in rule(notebook)]
    if path.stat().st_size >= LARGEST_FILE:
        messages.append(f"the file has {path.stat().st_size:,} bytes; {LARGEST_FILE:,} are too many")
    return messages


def check_title(notebook: NotebookNode) -> Iterator[str]:
    """One heading of level 1, in one of the first two cells."""
    titles = [position for position, level, _ in _headings(notebook) if level == 1]
    if len(titles) != 1:
        yield f"{len(titles)} headings of level 1; one is right"
    elif titles[0] > 2:
        yield f"{_where(titles[0])}: the title stands too far down; it belongs in one of the first two cells"


def check_heading_levels(notebook: NotebookNode) -> Iterator[str]:
    """No level of headings is left out on the way down."""
    before = 1
    for position, level, text in _headings(notebook):
        if level > before + 1:
            yield f"{_where(position)}: {text!r} is of level {level} after level {before}"
        before = level


def check_ending(notebook: NotebookNode) -> Iterator[str]:
    """The last two sections are a recap and what comes next."""
    sections = [text.lower() for _, level, text in _headings(notebook) if level == 2]
    if sections[-2:] != ["recap", "what comes next"]:
        yield 'the last two sections must be "## Recap" and "## What comes next"'


def check_minutes(notebook: NotebookNode) -> Iterator[str]:
    """One of the first three cells says how many minutes or seconds the notebook takes."""
    if not any(_MINUTES.search(cell.source) for cell in notebook.cells[:3] if cell.cell_type == "markdown"):
        yield 'none of the first three cells says how long it takes on a CPU, as in "2 minutes"'


def check_execution(notebook: NotebookNode) -> Iterator[str]:
    """All code cells were executed once, from top to bottom, without an error."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the code cells were not executed once each in order: {counts}"
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and any(output.output_type == "error" for output in cell.outputs):
            yield f"{_where(position)}: the output is an error"


def check_code_length(notebook: NotebookNode) -> Iterator[str]:
    """A code cell is short, unless it includes code from a module."""
    for position, cell in enumerate(notebook.cells, start=1):
        lines = len(cell.source.splitlines())
        if cell.cell_type == "code" and lines > LONGEST_CELL and not names_in(cell):
            yield f"{_where(position)}: {lines} lines of code; {LONGEST_CELL} are the most"


def check_tags(notebook: NotebookNode) -> Iterator[str]:
    """Every tag is a known one, and some output is compared by tests."""
    for position, cell in enumerate(notebook.cells, start=1):
        if unknown := sorted(tags_of(cell) - TAGS):
            yield f"{_where(position)}: unknown tag {', '.join(unknown)}; known are {', '.join(sorted(TAGS))}"
    compared = [cell for cell in code_cells(notebook) if tags_of(cell) & COMPARED.keys()]
    if not compared:
        yield f"no cell is compared by tests: none has a tag {', '.join(COMPARED)}"
    elif not any(cell.outputs for cell in compared):
        yield "no cell that tests compare has an output"


def check_markdown_pictures(notebook: NotebookNode) -> Iterator[str]:
    """Pictures in the text have alternative texts."""
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            text = _CODE_SPAN.sub("", _FENCE.sub("", cell.source))
            missing = sum(not alt.strip() for alt in _PICTURE.findall(text)) + _images_without_alt(text)
            if missing:
                yield f"{_where(position)}: {missing} picture(s) without an alternative text"


def check_output_pictures(notebook: NotebookNode) -> Iterator[str]:
    """Pictures in outputs have alternative texts: `alt` in the output's metadata, or in the HTML."""
    for position, output in _outputs(notebook):
        pictures = [kind for kind in output.get("data", {}) if kind.startswith("image/")]
        missing = sum(not _alt_of(output, kind) for kind in pictures)
        missing += _images_without_alt(_text(output.get("data", {}).get("text/html", "")))
        if missing:
            yield f"{_where(position)}: the output has {missing} picture(s) without an alternative text"


def check_paths(notebook: NotebookNode) -> Iterator[str]:
    """No output shows a folder of the machine that it was made on."""
    for position, output in _outputs(notebook):
        data = output.get("data", {})
        texts = [output.get("text", ""), *(data[kind] for kind in data if kind.startswith("text/"))]
        for text in texts:
            if found := _MACHINE_PATH.search(_DATA_URI.sub("", _text(text))):
                line = _text(text)[max(0, found.start() - 10) : found.end() + 30].strip().splitlines()[0]
                yield f"{_where(position)}: the output shows a path of this machine: ...{line}..."
                break


def check_metadata(notebook: NotebookNode) -> Iterator[str]:
    """The kernel is Python's, and no state of widgets is stored."""
    languages = [notebook.metadata.get("kernelspec", {}).get("language")]
    languages.append(notebook.metadata.get("language_info", {}).get("name"))
    if languages != ["python", "python"]:
        yield f"the metadata give {languages} as the languages of kernel and notebook; both must be python"
    if "widgets" in notebook.metadata or any(_WIDGET in output.get("data", {}) for _, output in _outputs(notebook)):
        yield "there are widgets, which do not show outside Jupyter"


RULES: tuple[Callable[[NotebookNode], Iterator[str]], ...] = (
    check_title,
    check_heading_levels,
    check_ending,
    check_minutes,
    check_execution,
    check_code_length,
    check_tags,
    check_markdown_pictures,
    check_output_pictures,
    check_paths,
    check_metadata,
)
"""All rules but the file's size."""


def _headings(notebook: NotebookNode) -> list[tuple[int, int, str]]:
    """Position of the cell from 1 on, level and text of every heading."""
    return [
        (position, len(marks), text)
        for position, cell in enumerate(notebook.cells, start=1)
        if cell.cell_type == "markdown"
        for marks, text in _HEADING.findall(_FENCE.sub("", cell.source))
    ]


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Position of the cell from 1 on, and output."""
    for position, cell in enumerate(notebook.cells, start=1):
        for output in cell.outputs if cell.cell_type == "code" else []:
            yield position, output


def _alt_of(output: NotebookNode, kind: str) -> str:
    metadata = output.get("metadata", {})
    return str(metadata.get(kind, {}).get("alt") or metadata.get("alt") or "").strip()


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


class _Images(HTMLParser):
    """Counts pictures without an alternative text."""

    missing = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img" and not (dict(attrs).get("alt") or "").strip():
            self.missing += 1


def _images_without_alt(html: str) -> int:
    parser = _Images()
    parser.feed(html)
    parser.close()
    return parser.missing


def _where(position: int) -> str:
    return f"cell {position}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check all notebooks, or those given; the result is the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.lint_notebooks", description=(__doc__ or "").strip())
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="NOTEBOOK", help="files; the course's where none is given"
    )
    options = parser.parse_args(arguments)
    try:
        paths = options.paths or find_notebooks(NOTEBOOKS)
        found = {path: lint_notebook(path) for path in paths}
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    for path, messages in found.items():
        for message in messages:
            print(f"{path.name}: {message}.")
    count = sum(map(len, found.values()))
    print(f"{len(paths)} notebooks checked, {count} thing{'s' * (count != 1)} amiss.")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
