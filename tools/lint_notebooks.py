"""The rules for notebooks: what learners are told and asked, lengths, use of lesson code, and outputs."""

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup
from nbformat import NotebookNode

from tools.markdown import prose
from tools.notebooks import COMPARED, code_cells, names_in, tags_of

LONGEST_CODE, LONGEST_TEXT = 25, 320
"""The most lines of a code cell that includes no lesson code, and the most words of a text cell."""

OPENING = {
    "the goals": r"\*\*After this notebook you will be able to\*\*",
    "what is needed before, with links": r"\*\*Before you start:\*\*.*\]\(",
    "the time on a CPU": r"\*\*Time:\*\*.*\d+ (minutes?|seconds).* CPU",
    "the time on a GPU, or that it is not known": r"\*\*Time:\*\*.*\bGPU\b",
    "the difficulty: easy, medium or hard": r"\*\*Difficulty:\*\* (easy|medium|hard)\b",
    "words with links to the glossary": r"\(\S*docs/glossary\.md#[\w-]+\)",
}
"""What learners are told at the top of a notebook, with the pattern that recognises it."""

ENDING = ["Check yourself", "Further reading", "Recap", "What comes next"]
"""The last sections of a notebook."""

TAGS = {*COMPARED, "nbval-skip", "nbval-ignore-output", "nbval-raises-exception", "raises-exception", "hide-input"}
"""All tags that mean something; any other is taken for a typo."""

_QUESTION = re.compile(r"<details>\s*<summary>.+?</summary>.*?\S.*?</details>", re.DOTALL)
_MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:root|home|tmp|work|Users)/|[A-Za-z]:\\+[Uu]sers")


def check_opening(notebook: NotebookNode) -> Iterator[str]:
    """The first cells say what you will learn, what to know before, how long it takes and how hard it is."""
    text = "\n".join(cell.source for cell in notebook.cells[:4] if cell.cell_type == "markdown")
    for what, pattern in OPENING.items():
        if not re.search(pattern, text):
            yield f"the first cells do not state {what}"


def check_ending(notebook: NotebookNode) -> Iterator[str]:
    """At the end come two to four questions, three to five links with a reason each, a recap, and what comes next."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    sections = dict(part.partition("\n")[::2] for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    sections.pop("How far you are", None)  # in an exercise notebook
    if list(sections)[-4:] != ENDING:
        yield "the last four sections must be " + ", ".join(f'"## {title}"' for title in ENDING)
        return
    questions = sections["Check yourself"]
    answered = len(_QUESTION.findall(questions))
    if answered not in (2, 3, 4) or questions.count("<details") != answered:
        yield f'"Check yourself" has {answered} questions with a folded answer; it should have 2 to 4'
    entries = [line for line in sections["Further reading"].splitlines() if line.startswith("- ")]
    if len(entries) not in (3, 4, 5) or not all(re.search(r"\]\([^)\s]+\):\s+\S", line) for line in entries):
        yield '"Further reading" should have 3 to 5 entries, each a link, a colon, and a reason to read it'


def check_text(cell: NotebookNode) -> Iterator[str]:
    """A text cell is short enough not to be skipped, and what is folded in it has no blank line, at which nbconvert
    would close it and show the rest."""
    words = sum(any(map(str.isalnum, word)) for word in prose(cell.source).split())
    if words > LONGEST_TEXT:
        yield f"{words} words of text; the limit is {LONGEST_TEXT}"
    if re.search(r"<details\b((?!</details>).)*\n\s*\n", cell.source, re.DOTALL):
        yield "there is a blank line within <details>; write paragraphs as <p>"


def check_code(cell: NotebookNode) -> Iterator[str]:
    """A code cell is short, unless it includes code from a module."""
    lines = len(cell.source.splitlines())
    if lines > LONGEST_CODE and not names_in(cell):
        yield f"{lines} lines of code; the limit is {LONGEST_CODE}"


def check_included_code(notebook: NotebookNode) -> Iterator[str]:
    """Lesson code that a notebook includes is also used: a later cell names it, or other code in its own cell does."""
    cells = code_cells(notebook)
    for number, cell in enumerate(cells, start=1):
        later = "\n".join(other.source for other in cells[number:])
        own = [name.rpartition(".")[2] for name in names_in(cell)]
        for name in own:
            used_beside = len(own) > 1 and len(re.findall(rf"\b{name}\b", cell.source)) > 1
            if not re.search(rf"\b{name}\b", later) and not used_beside:
                yield f"{name} is included, but no later cell uses it"


def check_execution(notebook: NotebookNode) -> Iterator[str]:
    """All code cells were executed once, from top to bottom, without errors, and tests compare some of the outputs."""
    cells = code_cells(notebook)
    counts = [cell.execution_count for cell in cells]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the code cells were not executed once each, in order: {counts}"
    if any(output.output_type == "error" for cell in cells for output in cell.outputs):
        yield "an output is an error"
    if not any(cell.outputs for cell in cells if tags_of(cell) & COMPARED.keys()):
        yield f"tests compare no output: no cell with an output has one of the tags {', '.join(COMPARED)}"


def check_outputs(cell: NotebookNode) -> Iterator[str]:
    """Pictures in outputs have alternative texts (`alt` in the output's metadata, or in the HTML), no output shows a
    folder of the machine that made it, and none is a widget, which would not show outside Jupyter."""
    for output in cell.outputs:
        data, metadata = output.get("data", {}), output.get("metadata", {})
        alts = [metadata.get(kind, {}).get("alt") or metadata.get("alt") for kind in data if kind.startswith("image/")]
        alts += [picture.get("alt") for picture in BeautifulSoup(data.get("text/html", ""), "html.parser")("img")]
        if not all(alts):
            yield "the output has a picture without an alternative text"
        texts = [output.get("text", ""), *(data[kind] for kind in data if kind.startswith("text/"))]
        shown = re.sub(r"data:[\w/+.-]+;base64,[\w/+=]+", "", "\n".join(texts))
        if path := _MACHINE_PATH.search(shown):
            line = shown[max(0, path.start() - 10) : path.end() + 30].strip().splitlines()[0]
            yield f"the output shows a path of this machine: ...{line}..."
        if "application/vnd.jupyter.widget-view+json" in data:
            yield "the output is a widget, which does not show outside Jupyter"


def check_tags(cell: NotebookNode) -> Iterator[str]:
    """All tags are known."""
    if unknown := sorted(tags_of(cell) - TAGS):
        yield f"unknown tag {', '.join(unknown)}; known tags: {', '.join(sorted(TAGS))}"


def check_cleared(cell: NotebookNode) -> Iterator[str]:
    """The code cell has no output and no number: for the copies that learners begin with."""
    if cell.outputs or cell.execution_count is not None:
        yield "the cell was executed, but learners should begin with an empty one"


def lint_notebook(notebook: NotebookNode, is_copy: bool) -> Iterator[str]:
    """What is wrong with a lesson, or with a copy for learners or instructors, one sentence per problem."""
    executed = () if is_copy else (check_included_code, check_execution)
    of_code = (check_code, check_cleared) if is_copy else (check_code, check_outputs, check_tags)
    for rule in (check_opening, check_ending, *executed):
        yield from rule(notebook)
    for position, cell in enumerate(notebook.cells, start=1):
        for rule in {"code": of_code, "markdown": (check_text,)}.get(cell.cell_type, ()):
            yield from (f"cell {position}: {message}" for message in rule(cell))
