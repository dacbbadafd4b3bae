"""Check the form of the notebooks: `python -m tools.lint_notebooks`; the exit status is 1 when something is amiss.

Titles and headings, what learners are told at the top and asked at the end, execution, alternative texts, sizes,
tags. What a rule wants stands in the docstring of its function.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

from nbformat import NotebookNode

from say_what_you_see.core.errors import CourseError
from tools.include_lessons import names_in
from tools.notebooks import NOTEBOOKS, REPOSITORY, code_cells, find_notebooks, read_notebook, tags_of

LARGEST_FILE = 500_000
"""Size of a notebook in bytes that it must stay below."""

LONGEST_CELL = 25
"""Lines of code in a cell at most, unless it includes a lesson function."""

LONGEST_TEXT = 320
"""Words in a cell of text at most; addresses of links do not count."""

OPENING = {
    "what one will be able to do": re.compile(r"\*\*After this notebook you will be able to\*\*"),
    "what is needed before, with links": re.compile(r"\*\*Before you start:\*\*.*\]\("),
    "the time on a CPU": re.compile(r"\*\*Time:\*\*.*\d+ (minutes?|seconds).* CPU"),
    "the time on a GPU, or that it is not known": re.compile(r"\*\*Time:\*\*.*\bGPU\b"),
    "the difficulty: easy, medium or hard": re.compile(r"\*\*Difficulty:\*\* (easy|medium|hard)\b"),
    "words with links to the glossary": re.compile(r"\(\S*docs/glossary\.md#[\w-]+\)"),
}
"""What learners are told at the top of a notebook, and how it is recognised."""

QUESTIONS, READINGS = range(2, 5), range(3, 6)
"""How many questions there may be under "Check yourself", and how many links under "Further reading"."""

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

COPIES = (("notebooks", "exercises"), ("instructors", "solutions"))
"""Folders of notebooks that are made from the lessons, without outputs."""

PROGRESS = "How far you are"
"""Title of the section in which an exercise notebook counts what is done."""

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"`[^`\n]*`")
_HEADING = re.compile(r"^(#{1,6}) +(.+?)\s*$", re.MULTILINE)
_PICTURE = re.compile(r"!\[([^\]]*)\](?=[(\[])")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_QUESTION = re.compile(r"<details>\s*<summary>(.+?)</summary>(.*?)</details>", re.DOTALL)
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


def lint_copy(path: Path) -> list[str]:
    """Check an exercise notebook, which has not been executed; the answer is that of `lint_notebook`."""
    notebook = read_notebook(path)
    return [message for rule in (*COPY_RULES, check_cleared) for message in rule(notebook)]


def copies(root: Path = REPOSITORY) -> list[Path]:
    """The exercise notebooks, and those with the solutions."""
    return sorted(path for folder in COPIES for path in root.joinpath(*folder).glob("*.ipynb"))


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


def check_opening(notebook: NotebookNode) -> Iterator[str]:
    """The first cells say what one will learn, what to know before, how long it takes, how hard it is."""
    text = "\n".join(cell.source for cell in notebook.cells[:4] if cell.cell_type == "markdown")
    for what, pattern in OPENING.items():
        if not pattern.search(text):
            yield f"the first cells do not give {what}"


def check_ending(notebook: NotebookNode) -> Iterator[str]:
    """The last four sections are questions, further reading, a recap, and what comes next.

    In an exercise notebook the learner's progress may stand among them.
    """
    wanted = ["Check yourself", "Further reading", "Recap", "What comes next"]
    sections = [text for _, level, text in _headings(notebook) if level == 2 and text != PROGRESS]
    if sections[-4:] != wanted:
        yield "the last four sections must be " + ", ".join(f'"## {title}"' for title in wanted)


def check_questions(notebook: NotebookNode) -> Iterator[str]:
    """Under "Check yourself" stand a few questions, each with a folded answer."""
    text = _section(notebook, "Check yourself")
    answered = [answer for question, answer in _QUESTION.findall(text) if question.strip() and answer.strip()]
    if text and (len(answered) not in QUESTIONS or text.count("<details") != len(answered)):
        yield (
            f'"Check yourself" has {len(answered)} questions with an answer; {QUESTIONS[0]} to {QUESTIONS[-1]} '
            "are right, each as <details><summary>question</summary> answer </details>"
        )


def check_details(notebook: NotebookNode) -> Iterator[str]:
    """What is folded holds no blank line: nbconvert would close it there, and show what follows."""
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown" and re.search(r"<details\b((?!</details>).)*\n\s*\n", cell.source, re.DOTALL):
            yield f"{_where(position)}: there is a blank line within <details>; write what is in it as HTML, as in <p>"


def check_reading(notebook: NotebookNode) -> Iterator[str]:
    """Under "Further reading" stand a few links, each in a line that says why."""
    text = _section(notebook, "Further reading")
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    if text and len(lines) not in READINGS:
        yield f'"Further reading" has {len(lines)} entries; {READINGS[0]} to {READINGS[-1]} are right'
    for line in lines:
        if not re.search(r"\]\([^)\s]+\):\s+\S", line):
            yield f'an entry of "Further reading" wants a link, a colon, and why it is good: {line[:60]}'


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


def check_text_length(notebook: NotebookNode) -> Iterator[str]:
    """A cell of text is short enough not to be skipped."""
    for position, cell in enumerate(notebook.cells, start=1):
        words = sum(any(map(str.isalnum, word)) for word in _LINK.sub("]", cell.source).split())
        if cell.cell_type == "markdown" and words > LONGEST_TEXT:
            yield f"{_where(position)}: {words} words of text; {LONGEST_TEXT} are the most"


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


def check_cleared(notebook: NotebookNode) -> Iterator[str]:
    """No code cell has an output or a number: for the copies that learners begin with."""
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and (cell.outputs or cell.execution_count is not None):
            yield f"{_where(position)}: it was executed, and learners should begin with an empty one"


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
    check_opening,
    check_questions,
    check_details,
    check_reading,
    check_ending,
    check_execution,
    check_code_length,
    check_text_length,
    check_tags,
    check_markdown_pictures,
    check_output_pictures,
    check_paths,
    check_metadata,
)
"""All rules but the file's size."""

COPY_RULES = tuple(
    rule for rule in RULES if rule not in (check_execution, check_tags, check_output_pictures, check_paths)
)
"""The rules for notebooks without outputs."""


def _headings(notebook: NotebookNode) -> list[tuple[int, int, str]]:
    """Position of the cell from 1 on, level and text of every heading."""
    return [
        (position, len(marks), text)
        for position, cell in enumerate(notebook.cells, start=1)
        if cell.cell_type == "markdown"
        for marks, text in _HEADING.findall(_FENCE.sub("", cell.source))
    ]


def _section(notebook: NotebookNode, title: str) -> str:
    """The text below a heading of level 2, up to the next one; empty where there is none."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return next((part for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:] if part.startswith(title + "\n")), "")


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
        if not options.paths:
            found |= {path: lint_copy(path) for path in copies()}
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    for path, messages in found.items():
        for message in messages:
            print(f"{'/'.join(path.parts[-2:])}: {message}.")
    count = sum(map(len, found.values()))
    print(f"{len(found)} notebooks checked, {count} thing{'s' * (count != 1)} amiss.")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
