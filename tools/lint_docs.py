"""Check what people read: `python -m tools.lint_docs`; the exit status is 1 when something is amiss.

README, docs, notebooks and their copies: links within the project (files and headings that they point to), order of
headings, alternative texts, spelling, sizes. With `--external` the links that lead elsewhere are listed, for a look by
hand or by a link checker; nothing is fetched.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from say_what_you_see.core.errors import CourseError
from tools.notebooks import REPOSITORY, read_notebook

TEXTS = ("*.md", "docs/**/*.md", "notebooks/**/*.md", "notebooks/**/*.ipynb", "instructors/**/*.md",
         "instructors/**/*.ipynb", "docker/**/*.md", ".github/**/*.md")  # fmt: skip
"""Patterns of the files that are read by people."""

CODE = ("utils/**/*.py", "tools/**/*.py", "tests/**/*.py", "*.py", "Makefile", "docker/*", ".github/**/*.y*ml")
"""Patterns of the files whose comments and messages are spelt right, too."""

LARGEST_TEXT = 60_000
"""Bytes of a Markdown file at most."""

LARGEST_PICTURE = 200_000
"""Bytes of a picture in docs/ at most."""

LONGEST_README = 300
"""Lines of the README at most: what takes longer to say belongs in docs/."""

AMERICAN = Path(__file__).with_name("american_spellings.txt")
"""Words that the prose spells in the British way, in codespell's form."""

_GENERATED = re.compile(r"\.ipynb_checkpoints|/node_modules/")
_SLUG = re.compile(r"[^\w\- ]")
_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Passage:
    """A piece of Markdown: a file, or a cell of a notebook.

    Attributes:
        path: the file that it stands in.
        cell: number of the cell from 1 on; 0 for a file.
        text: Markdown.
    """

    path: Path
    cell: int
    text: str

    def where(self, root: Path) -> str:
        """File and cell, for messages."""
        name = self.path.relative_to(root).as_posix()
        return f"{name}, cell {self.cell}" if self.cell else name


@dataclass(frozen=True)
class Heading:
    """A heading: its level from 1 on, and its text without marks."""

    level: int
    text: str


def files_like(patterns: Iterable[str], root: Path) -> list[Path]:
    """The files of the project that fit one of the patterns."""
    found = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    return sorted(path for path in found if not _GENERATED.search(path.as_posix()))


def passages(path: Path) -> list[Passage]:
    """The Markdown of a file.

    Raises:
        CourseError: if it is a notebook that cannot be read.
    """
    return _passages(path, path.stat().st_mtime_ns)


@cache
def _passages(path: Path, changed: int) -> list[Passage]:
    """The passages of a file that was last changed at this moment; reading a notebook takes a while."""
    if path.suffix != ".ipynb":
        return [Passage(path, 0, path.read_text(encoding="utf-8"))]
    cells = enumerate(read_notebook(path).cells, start=1)
    return [Passage(path, number, cell.source) for number, cell in cells if cell.cell_type == "markdown"]


def check_links(root: Path = REPOSITORY) -> Iterator[str]:
    """What links within the project point to exists: the file, and the heading where one is named."""
    for passage in _all_passages(root):
        for address in links_in(passage.text):
            if _is_external(address):
                continue
            if problem := _broken(address, passage.path, root):
                yield f"{passage.where(root)}: the link {address} {problem}"


def _broken(address: str, path: Path, root: Path) -> str:
    """What is wrong with a link within the project; empty where nothing is."""
    file, _, anchor = urllib.parse.unquote(address).partition("#")
    target = (path.parent / file).resolve() if file else path
    if not target.exists():
        return "points to a file that does not exist"
    if not target.is_relative_to(root.resolve()):
        return "leads out of the project"
    if anchor and target.suffix in (".md", ".ipynb") and anchor not in anchors_in(target):
        return "points to a heading that does not exist"
    return ""


@cache
def anchors_in(path: Path) -> frozenset[str]:
    """The names that links can end with to reach a heading: GitHub's in Markdown, Jupyter's in notebooks."""
    found: list[str] = []
    for heading in (heading for passage in passages(path) for heading in headings_in(passage.text)):
        if path.suffix == ".ipynb":
            found.append(heading.text.replace(" ", "-"))
            continue
        slug = _SLUG.sub("", heading.text.lower()).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return frozenset(found)


def external_links(root: Path = REPOSITORY) -> dict[str, list[str]]:
    """Addresses of other people's pages, and the places where they stand."""
    found: dict[str, list[str]] = {}
    for passage in _all_passages(root):
        for address in links_in(passage.text):
            if _is_external(address):
                found.setdefault(address, []).append(passage.where(root))
    return dict(sorted(found.items()))


def check_headings(root: Path = REPOSITORY) -> Iterator[str]:
    """A Markdown file has one heading of level 1, and leaves no level out on the way down."""
    for path in files_like(TEXTS, root):
        if path.suffix != ".md" or ".github" in path.parts:
            continue
        headings = headings_in(path.read_text(encoding="utf-8"))
        name = path.relative_to(root).as_posix()
        if [heading.level for heading in headings].count(1) != 1 or headings[0].level != 1:
            yield f"{name}: one heading of level 1 is right, at the top"
        for above, heading in zip(headings, headings[1:], strict=False):
            if heading.level > above.level + 1:
                yield f"{name}: {heading.text!r} is of level {heading.level} after level {above.level}"


def check_alternative_texts(root: Path = REPOSITORY) -> Iterator[str]:
    """Pictures in the text have alternative texts, and they say more than one word."""
    for passage in _all_passages(root):
        for alt in alternative_texts_in(passage.text):
            if len(alt.split()) < 2:
                yield f"{passage.where(root)}: a picture's alternative text is {alt!r}; say what it shows"


def check_sizes(root: Path = REPOSITORY) -> Iterator[str]:
    """Texts and pictures stay small; notebooks have a rule of their own in `tools.lint_notebooks`."""
    for path in files_like(TEXTS, root):
        if path.suffix == ".md" and path.stat().st_size > LARGEST_TEXT:
            yield f"{path.relative_to(root)}: {path.stat().st_size:,} bytes; {LARGEST_TEXT:,} are the most"
    for path in files_like(("docs/**/*.png", "docs/**/*.jpg", "docs/**/*.svg"), root):
        if path.stat().st_size > LARGEST_PICTURE:
            yield f"{path.relative_to(root)}: {path.stat().st_size:,} bytes; {LARGEST_PICTURE:,} are the most"
    readme = root / "README.md"
    if readme.exists() and (lines := len(readme.read_text(encoding="utf-8").splitlines())) > LONGEST_README:
        yield f"README.md: {lines} lines; {LONGEST_README} are the most. Move detail into docs/"


def check_spelling(root: Path = REPOSITORY) -> Iterator[str]:
    """Prose is spelt right, in the British way, and code is spelt right.

    The texts are written to a temporary folder, a file for each cell, so that codespell's messages say where.
    """
    with tempfile.TemporaryDirectory() as name:
        for passage in _all_passages(root):
            place = Path(name) / passage.path.relative_to(root)
            place = place / f"cell {passage.cell}" if passage.cell else place
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(prose(passage.text), encoding="utf-8")
        yield from _codespell(["--dictionary=-", f"--dictionary={AMERICAN}", "."], Path(name))
    code = [str(path.relative_to(root)) for path in files_like(CODE, root)]
    if code:
        yield from _codespell(code, root)


def _codespell(arguments: Sequence[str], folder: Path) -> list[str]:
    """Run codespell in a folder; its lines say file, line, word and what may be meant.

    Raises:
        CourseError: if it does not run.
    """
    command = [sys.executable, "-m", "codespell_lib", "--check-hidden", "--disable-colors"]
    words = [f"--ignore-words={AMERICAN.with_name('spelling_allowed.txt')}"]
    result = subprocess.run([*command, *words, *arguments], cwd=folder, capture_output=True, text=True)
    if result.returncode not in (0, 65):  # 65: it found something
        raise CourseError(f"codespell does not run: {(result.stderr or result.stdout).strip()}. Run `make lint` again.")
    return [line.removeprefix("./") for line in result.stdout.splitlines() if "==>" in line]


def prose(text: str) -> str:
    """Markdown without code and addresses; what is left keeps its lines."""
    lines = text.splitlines()
    for token in _MARKDOWN.parse(text):
        if token.type in ("fence", "code_block") and token.map:
            lines[slice(*token.map)] = [""] * (token.map[1] - token.map[0])
    text = re.sub(r"`[^`]+`", lambda match: "\n" * match[0].count("\n"), "\n".join(lines))
    return re.sub(r"\]\([^)\s]+\)|<?https?://[^\s>)]+>?", "]", text)


def links_in(text: str) -> list[str]:
    """The addresses of links and pictures in Markdown and in HTML within it."""
    found = [str(token.attrs[name]) for token in _inline(text) for name in ("href", "src") if name in token.attrs]
    return found + [values[name] for _, values in _tags(text) for name in ("href", "src") if values.get(name)]


def alternative_texts_in(text: str) -> list[str]:
    """The alternative texts of the pictures in Markdown and in HTML within it."""
    found = [token.content for token in _inline(text) if token.type == "image"]
    return found + [values.get("alt") or "" for tag, values in _tags(text) if tag == "img"]


def headings_in(text: str) -> list[Heading]:
    """The headings of Markdown, in order."""
    tokens = _MARKDOWN.parse(text)
    pairs = zip(tokens, tokens[1:], strict=False)
    return [Heading(int(a.tag[1]), _plain(b)) for a, b in pairs if a.type == "heading_open"]


def _plain(token: Token) -> str:
    return "".join(child.content for child in token.children or [])


def _inline(text: str) -> Iterator[Token]:
    """All tokens within lines, those within others as well."""
    waiting = list(_MARKDOWN.parse(text))
    while waiting:
        token = waiting.pop(0)
        yield token
        waiting[:0] = token.children or []


class _Tags(HTMLParser):
    """Collects tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def _tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """The HTML tags that stand in Markdown, those in code left out."""
    parser = _Tags()
    for token in _inline(text):
        if token.type in ("html_inline", "html_block"):
            parser.feed(token.content)
    parser.close()
    return parser.found


def _is_external(address: str) -> bool:
    return bool(urllib.parse.urlsplit(address).scheme or address.startswith("//"))


def _all_passages(root: Path) -> Iterator[Passage]:
    for path in files_like(TEXTS, root):
        yield from passages(path)


RULES = (check_links, check_headings, check_alternative_texts, check_sizes, check_spelling)
"""All rules; each takes the folder of the project."""


def lint_docs(root: Path = REPOSITORY) -> list[str]:
    """What is amiss in the texts of a project, a sentence each; empty when all is well."""
    return [message for rule in RULES for message in rule(root)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the project's texts, or list the links out of it; the result is the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.lint_docs", description=(__doc__ or "").strip())
    parser.add_argument(
        "--external", action="store_true", help="list links to other people's pages, and where they stand"
    )
    options = parser.parse_args(arguments)
    try:
        if options.external:
            for address, places in external_links().items():
                print(f"{address}  ({'; '.join(dict.fromkeys(places))})")
            return 0
        messages = lint_docs()
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    for message in messages:
        print(message)
    print(
        f"{len(files_like(TEXTS, REPOSITORY))} texts checked, {len(messages)} thing{'s' * (len(messages) != 1)} amiss."
    )
    return int(bool(messages))


if __name__ == "__main__":
    sys.exit(main())
