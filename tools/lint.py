"""Check what people read: `python -m tools.lint`; the exit status is 1 when something is wrong.

Notebooks: what learners are told at the top and asked at the end, outputs in order, alternative texts, sizes, tags,
lesson code that is used. All texts: links within the project, headings, alternative texts, spelling, sizes. What a
rule wants stands in the docstring of its function.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from nbformat import NotebookNode

from say_what_you_see.core.errors import CourseError
from tools.notebooks import COMPARED, REPOSITORY, code_cells, names_in, read_notebook, tags_of

LARGEST = {".ipynb": 500_000, ".md": 60_000, ".png": 200_000, ".jpg": 200_000, ".svg": 200_000}
"""Bytes that a notebook, a text, and a picture in docs/ may have at most."""

LONGEST_CODE, LONGEST_TEXT = 25, 320
"""Lines of a code cell that includes no lesson code, and words of a text cell, at most."""

OPENING = {
    "the goals": r"\*\*After this notebook you will be able to\*\*",
    "what is needed before, with links": r"\*\*Before you start:\*\*.*\]\(",
    "the time on a CPU": r"\*\*Time:\*\*.*\d+ (minutes?|seconds).* CPU",
    "the time on a GPU, or that it is not known": r"\*\*Time:\*\*.*\bGPU\b",
    "the difficulty: easy, medium or hard": r"\*\*Difficulty:\*\* (easy|medium|hard)\b",
    "words with links to the glossary": r"\(\S*docs/glossary\.md#[\w-]+\)",
}
"""What learners are told at the top of a notebook, and how it is recognised."""

ENDING = ["Check yourself", "Further reading", "Recap", "What comes next"]
"""The last sections of a notebook."""

TAGS = {*COMPARED, "nbval-skip", "nbval-ignore-output", "nbval-raises-exception", "raises-exception", "hide-input"}
"""All tags that mean something; any other is taken for a typing error."""

AMERICAN = Path(__file__).with_name("american_spellings.txt")
"""Words that prose spells in the British way, in codespell's form."""

_TEXTS = ("*.md", "docs/**/*.md", "notebooks/**/*.md", "notebooks/**/*.ipynb", "instructors/**/*.md",
          "instructors/**/*.ipynb", "docker/**/*.md", ".github/**/*.md")  # fmt: skip
_CODE = ("say_what_you_see", "utils", "tools", "benchmarks", "tests", "conftest.py", "setup_google_colab.py",
         "Makefile", "docker", ".github")  # fmt: skip
_QUESTION = re.compile(r"<details>\s*<summary>.+?</summary>.*?\S.*?</details>", re.DOTALL)
_MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:root|home|tmp|work|Users)/|[A-Za-z]:\\+[Uu]sers")
_MARKDOWN = MarkdownIt("commonmark").enable("table")


class Passage(NamedTuple):
    """A piece of Markdown: a file, or a cell of a notebook, whose number counts from 1; it is 0 for a file."""

    path: Path
    cell: int
    text: str

    @property
    def where(self) -> str:
        """For messages."""
        return f"cell {self.cell}: " if self.cell else ""


class Heading(NamedTuple):
    """A heading: its level from 1 on, and its text without marks."""

    level: int
    text: str


# What a text holds


@cache
def passages(path: Path) -> list[Passage]:
    """The Markdown of a file.

    Raises:
        CourseError: if it is a notebook that cannot be read.
    """
    if path.suffix != ".ipynb":
        return [Passage(path, 0, path.read_text(encoding="utf-8"))]
    cells = enumerate(_notebook(path).cells, start=1)
    return [Passage(path, number, cell.source) for number, cell in cells if cell.cell_type == "markdown"]


@cache
def _notebook(path: Path) -> NotebookNode:
    return read_notebook(path)


def headings_in(text: str) -> list[Heading]:
    """The headings of Markdown, in order."""
    pairs = [(opening, inline) for opening, inline in pairwise(_MARKDOWN.parse(text)) if opening.type == "heading_open"]
    return [
        Heading(int(opening.tag[1]), "".join(part.content for part in inline.children)) for opening, inline in pairs
    ]


def links_in(text: str) -> list[str]:
    """The addresses of links and pictures in Markdown and in HTML within it."""
    attributes = [token.attrs for token in _tokens(text)] + [attrs for _, attrs in _tags(text)]
    return [str(attrs[name]) for attrs in attributes for name in ("href", "src") if attrs.get(name)]


def alternative_texts_in(text: str) -> list[str]:
    """The alternative texts of the pictures in Markdown and in HTML within it."""
    markdown = [token.content for token in _tokens(text) if token.type == "image"]
    return markdown + [attrs.get("alt") or "" for tag, attrs in _tags(text) if tag == "img"]


def prose(text: str) -> str:
    """Markdown without code and addresses; what is left keeps its lines."""
    lines = text.splitlines()
    for token in _MARKDOWN.parse(text):
        if token.type in ("fence", "code_block") and token.map:
            lines[slice(*token.map)] = [""] * (token.map[1] - token.map[0])
    text = re.sub(r"`[^`]+`", lambda match: "\n" * match[0].count("\n"), "\n".join(lines))
    return re.sub(r"\]\([^)\s]+\)|<?https?://[^\s>)]+>?", "]", text)


@cache
def anchors_in(path: Path) -> set[str]:
    """The names that links can end with to reach a heading: GitHub's in Markdown, Jupyter's in notebooks."""
    texts = [heading.text for passage in passages(path) for heading in headings_in(passage.text)]
    if path.suffix == ".ipynb":
        return {text.replace(" ", "-") for text in texts}
    slugs = Counter(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts)
    return {f"{slug}-{number}".removesuffix("-0") for slug, count in slugs.items() for number in range(count)}


def _tokens(text: str) -> Iterator[Token]:
    for token in _MARKDOWN.parse(text):
        yield token
        yield from token.children or []


class _TagCollector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _tags_of_html(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _TagCollector()
    parser.feed(html)
    parser.close()
    return parser.tags


def _tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """The HTML tags in Markdown, without those in code."""
    html = [token.content for token in _tokens(text) if token.type in ("html_inline", "html_block")]
    return _tags_of_html("".join(html))


# Rules for all texts; each takes the path of one file


def check_headings(path: Path) -> Iterator[str]:
    """One heading of level 1, at the top; no level is left out on the way down."""
    headings = [(passage, heading) for passage in passages(path) for heading in headings_in(passage.text)]
    if [heading.level for _, heading in headings].count(1) != 1 or headings[0][1].level != 1:
        yield "one heading of level 1 is right, at the top"
    elif headings[0][0].cell > 2:
        yield "the title belongs in one of the first two cells"
    for (_, above), (passage, heading) in pairwise(headings):
        if heading.level > above.level + 1:
            yield f"{passage.where}{heading.text!r} is of level {heading.level} after level {above.level}"


def check_links(path: Path, root: Path = REPOSITORY) -> Iterator[str]:
    """What links within the project point to exists: the file, and the heading where one is named."""
    for passage in passages(path):
        for address in links_in(passage.text):
            if _is_external(address):
                continue
            file, _, anchor = urllib.parse.unquote(address).partition("#")
            target = (path.parent / file).resolve() if file else path
            if not target.exists() or not target.is_relative_to(root.resolve()):
                yield f"{passage.where}the link {address} points to a file that the project does not have"
            elif anchor and target.suffix in (".md", ".ipynb") and anchor not in anchors_in(target):
                yield f"{passage.where}the link {address} points to a heading that does not exist"


def _is_external(address: str) -> bool:
    return bool(urllib.parse.urlsplit(address).scheme or address.startswith("//"))


def check_alternative_texts(path: Path) -> Iterator[str]:
    """Pictures in the text have alternative texts, and they say more than one word."""
    for passage in passages(path):
        for alt in alternative_texts_in(passage.text):
            if len(alt.split()) < 2:
                yield f"{passage.where}a picture's alternative text is {alt!r}; say what it shows"


def check_size(path: Path) -> Iterator[str]:
    """A file stays small: what takes longer to say belongs in a page of its own."""
    size, most = path.stat().st_size, LARGEST[path.suffix]
    if size > most:
        yield f"{size:,} bytes; {most:,} are the most"


# Rules for notebooks


def check_opening(notebook: NotebookNode) -> Iterator[str]:
    """The first cells say what one will learn, what to know before, how long it takes, how hard it is."""
    text = "\n".join(cell.source for cell in notebook.cells[:4] if cell.cell_type == "markdown")
    for what, pattern in OPENING.items():
        if not re.search(pattern, text):
            yield f"the first cells do not give {what}"


def check_ending(notebook: NotebookNode) -> Iterator[str]:
    """At the end stand two to four questions, three to five links with a reason each, a recap, and what comes next."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    sections = dict(part.partition("\n")[::2] for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    sections.pop("How far you are", None)  # in an exercise notebook
    if list(sections)[-4:] != ENDING:
        yield "the last four sections must be " + ", ".join(f'"## {title}"' for title in ENDING)
        return
    questions = sections["Check yourself"]
    answered = len(_QUESTION.findall(questions))
    if answered not in (2, 3, 4) or questions.count("<details") != answered:
        yield f'"Check yourself" has {answered} questions with a folded answer; 2 to 4 are right'
    entries = [line for line in sections["Further reading"].splitlines() if line.startswith("- ")]
    if len(entries) not in (3, 4, 5) or not all(re.search(r"\]\([^)\s]+\):\s+\S", line) for line in entries):
        yield '"Further reading" wants 3 to 5 entries, each a link, a colon, and why it is good'


def check_details(notebook: NotebookNode) -> Iterator[str]:
    """What is folded holds no blank line: nbconvert would close it there, and show what follows."""
    for position, cell in _cells(notebook, "markdown"):
        if re.search(r"<details\b((?!</details>).)*\n\s*\n", cell.source, re.DOTALL):
            yield f"cell {position}: there is a blank line within <details>; write paragraphs as <p>"


def check_lengths(notebook: NotebookNode) -> Iterator[str]:
    """A code cell is short, unless it includes code from a module; a cell of text is short enough not to be skipped."""
    for position, cell in _cells(notebook, "code"):
        lines = len(cell.source.splitlines())
        if lines > LONGEST_CODE and not names_in(cell):
            yield f"cell {position}: {lines} lines of code; {LONGEST_CODE} are the most"
    for position, cell in _cells(notebook, "markdown"):
        words = sum(any(map(str.isalnum, word)) for word in prose(cell.source).split())
        if words > LONGEST_TEXT:
            yield f"cell {position}: {words} words of text; {LONGEST_TEXT} are the most"


def check_included_code(notebook: NotebookNode) -> Iterator[str]:
    """Lesson code that a notebook includes is used by it: a later cell names it."""
    cells = list(_cells(notebook, "code"))
    for number, (position, cell) in enumerate(cells):
        later = "\n".join(other.source for _, other in cells[number + 1 :])
        own = [name.rpartition(".")[2] for name in names_in(cell)]
        for name in own:
            used_beside = len(own) > 1 and len(re.findall(rf"\b{name}\b", cell.source)) > 1
            if not re.search(rf"\b{name}\b", later) and not used_beside:
                yield f"cell {position}: {name} is included, and no later cell uses it"


def check_execution(notebook: NotebookNode) -> Iterator[str]:
    """All code cells were executed once, from top to bottom, without an error."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the code cells were not executed once each in order: {counts}"
    if any(output.output_type == "error" for _, output in _outputs(notebook)):
        yield "an output is an error"


def check_outputs(notebook: NotebookNode) -> Iterator[str]:
    """Pictures in outputs have alternative texts (`alt` in the output's metadata, or in the HTML), no output shows a
    folder of the machine that it was made on, and none is a widget, which does not show outside Jupyter."""
    for position, output in _outputs(notebook):
        data, metadata = output.get("data", {}), output.get("metadata", {})
        html = data.get("text/html", "")
        alts = [metadata.get(kind, {}).get("alt") or metadata.get("alt") for kind in data if kind.startswith("image/")]
        alts += [attrs.get("alt") for tag, attrs in _tags_of_html(html) if tag == "img"]
        if not all(alt and alt.strip() for alt in alts):
            yield f"cell {position}: the output has a picture without an alternative text"
        texts = [output.get("text", ""), *(data[kind] for kind in data if kind.startswith("text/"))]
        shown = re.sub(r"data:[\w/+.-]+;base64,[\w/+=]+", "", "\n".join(texts))
        if path := _MACHINE_PATH.search(shown):
            line = shown[max(0, path.start() - 10) : path.end() + 30].strip().splitlines()[0]
            yield f"cell {position}: the output shows a path of this machine: ...{line}..."
        if "application/vnd.jupyter.widget-view+json" in data:
            yield f"cell {position}: the output is a widget, which does not show outside Jupyter"


def check_tags(notebook: NotebookNode) -> Iterator[str]:
    """Every tag is a known one, and some output is compared by tests."""
    for position, cell in _cells(notebook, "code"):
        if unknown := sorted(tags_of(cell) - TAGS):
            yield f"cell {position}: unknown tag {', '.join(unknown)}; known are {', '.join(sorted(TAGS))}"
    if not any(cell.outputs for cell in code_cells(notebook) if tags_of(cell) & COMPARED.keys()):
        yield f"tests compare no output: no cell that has one has a tag {', '.join(COMPARED)}"


def check_cleared(notebook: NotebookNode) -> Iterator[str]:
    """No code cell has an output or a number: for the copies that learners begin with."""
    for position, cell in _cells(notebook, "code"):
        if cell.outputs or cell.execution_count is not None:
            yield f"cell {position}: it was executed, and learners should begin with an empty one"


def _cells(notebook: NotebookNode, kind: str) -> Iterator[tuple[int, NotebookNode]]:
    """Position from 1 on, and cell."""
    return ((i, cell) for i, cell in enumerate(notebook.cells, start=1) if cell.cell_type == kind)


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Position of the cell from 1 on, and output."""
    return ((position, output) for position, cell in _cells(notebook, "code") for output in cell.outputs)


FORM = (check_opening, check_ending, check_details, check_lengths)
LESSON = (*FORM, check_included_code, check_execution, check_outputs, check_tags)
COPY = (*FORM, check_cleared)


# The project


def texts_of(root: Path = REPOSITORY) -> list[Path]:
    """The files that are read by people."""
    paths = {path for pattern in _TEXTS for path in root.glob(pattern)}
    return sorted(path for path in paths if ".ipynb_checkpoints" not in path.parts)


def lint_text(path: Path, root: Path = REPOSITORY) -> list[str]:
    """What is wrong with a text or notebook, a sentence each; empty when all is well.

    Raises:
        CourseError: if it is a notebook that cannot be read.
    """
    messages = [*check_size(path), *check_links(path, root), *check_alternative_texts(path)]
    if ".github" not in path.parts:
        messages += check_headings(path)
    if path.suffix == ".ipynb":
        rules = COPY if path.parent.name in ("exercises", "solutions") else LESSON
        messages += [message for rule in rules for message in rule(_notebook(path))]
    return messages


def check_spelling(paths: Sequence[Path], root: Path = REPOSITORY) -> Iterator[str]:
    """Prose is spelt right, in the British way, and code is spelt right.

    The prose is written to a temporary folder, a file for each cell, so that codespell's messages say where it is.
    """
    with tempfile.TemporaryDirectory() as folder:
        for passage in (passage for path in paths for passage in passages(path)):
            place = Path(folder) / passage.path.relative_to(root)
            place = place / f"cell {passage.cell}" if passage.cell else place
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(prose(passage.text), encoding="utf-8")
        yield from _codespell(Path(folder), "--dictionary=-", f"--dictionary={AMERICAN}", ".")
    yield from _codespell(root, *(name for name in _CODE if (root / name).exists()))


def _codespell(folder: Path, *arguments: str) -> list[str]:
    """Run codespell in a folder; its lines say file, line, word and what may be meant."""
    allowed = f"--ignore-words={AMERICAN.with_name('spelling_allowed.txt')}"
    options = ["--check-hidden", "--disable-colors", "--skip=*/static/vendor/*,*vocabulary.json,*.h5,*.keras", allowed]
    command = [sys.executable, "-m", "codespell_lib", *options, *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode not in (0, 65):  # 65: it found something
        raise CourseError(f"codespell does not run: {(result.stderr or result.stdout).strip()}. Run `make lint` again.")
    return [line.removeprefix("./") for line in result.stdout.splitlines() if "==>" in line]


def lint_project(root: Path = REPOSITORY) -> Iterator[str]:
    """What is wrong with the texts of a project, a line each."""
    paths = texts_of(root)
    for path in paths:
        for message in lint_text(path, root):
            yield f"{path.relative_to(root).as_posix()}: {message}"
    pictures = (path for pattern in ("docs/**/*.png", "docs/**/*.jpg", "docs/**/*.svg") for path in root.glob(pattern))
    for path in pictures:
        for message in check_size(path):
            yield f"{path.relative_to(root).as_posix()}: {message}"
    yield from check_spelling(paths, root)


def main(root: Path = REPOSITORY) -> int:
    """Check the project's texts; the result is the exit status."""
    try:
        messages = list(lint_project(root))
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    print(*messages, sep="\n", end="\n" * bool(messages))
    print(f"{len(texts_of(root))} texts checked, {len(messages)} problem{'s' * (len(messages) != 1)}.")
    return int(bool(messages))


if __name__ == "__main__":
    sys.exit(main())
