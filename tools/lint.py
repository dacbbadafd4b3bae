"""Check what people read: `python -m tools.lint`; the exit status is 1 when something is wrong.

In all texts: links within the project, headings, alternative texts, spelling and sizes; in notebooks also the rules of
`tools.lint_notebooks`. The docstring of its function says what a rule demands.
"""

import re
import subprocess
import sys
import tempfile
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from tools.lint_notebooks import lint_notebook
from tools.markdown import alternative_texts_in, headings_in, links_in, prose
from tools.notebooks import REPOSITORY, read_notebook

LARGEST = {".ipynb": 500_000, ".md": 60_000, ".png": 200_000, ".jpg": 200_000, ".svg": 200_000}
"""The most bytes that a notebook, a text, or a picture in docs/ may have."""

AMERICAN = Path(__file__).with_name("american_spellings.txt")  # American spellings and the British ones, for codespell
_TEXTS = ("*.md", "docs/**/*.md", "notebooks/**/*.md", "notebooks/**/*.ipynb", "instructors/**/*.md",
          "instructors/**/*.ipynb", "docker/**/*.md", ".github/**/*.md")  # fmt: skip
_CODE = ("say_what_you_see", "utils", "tools", "benchmarks", "tests", "conftest.py", "setup_google_colab.py",
         "Makefile", "docker", ".github")  # fmt: skip


@cache
def passages(path: Path) -> dict[str, str]:
    """A file's Markdown by the place that messages name: "" for a text file, "cell 1: " and so on for a notebook."""
    if path.suffix != ".ipynb":
        return {"": path.read_text(encoding="utf-8")}
    cells = enumerate(read_notebook(path).cells, start=1)
    return {f"cell {number}: ": cell.source for number, cell in cells if cell.cell_type == "markdown"}


@cache
def anchors_in(path: Path) -> set[str]:
    """The anchors by which links reach headings: GitHub's in Markdown, Jupyter's in notebooks."""
    texts = [heading for text in passages(path).values() for _, heading in headings_in(text)]
    if path.suffix == ".ipynb":
        return {text.replace(" ", "-") for text in texts}
    slugs = Counter(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts)
    return {f"{slug}-{number}".removesuffix("-0") for slug, count in slugs.items() for number in range(count)}


def check_headings(path: Path) -> Iterator[str]:
    """There is one heading of level 1, at the top, and no level is skipped on the way down."""
    headings = [(where, *heading) for where, text in passages(path).items() for heading in headings_in(text)]
    levels = [level for _, level, _ in headings]
    if levels.count(1) != 1 or levels[0] != 1:
        yield "there must be one heading of level 1, at the top"
    for above, (where, level, heading) in zip(levels, headings[1:], strict=False):
        if level > above + 1:
            yield f"{where}{heading!r} has level {level} after level {above}"


def check_links(path: Path, text: str) -> Iterator[str]:
    """The targets of links within the project exist: the file and, if one is named, the heading."""
    for address in links_in(text):
        link = urllib.parse.urlsplit(urllib.parse.unquote(address))
        if link.scheme or link.netloc:
            continue
        target = (path.parent / link.path).resolve() if link.path else path
        if not target.exists():
            yield f"the link {address} points to a file that the project does not have"
        elif link.fragment and target.suffix in (".md", ".ipynb") and link.fragment not in anchors_in(target):
            yield f"the link {address} points to a heading that does not exist"


def check_alternative_texts(path: Path, text: str) -> Iterator[str]:
    """Pictures in the text have alternative texts of more than one word."""
    for alt in alternative_texts_in(text):
        if len(alt.split()) < 2:
            yield f"a picture's alternative text is {alt!r}; say what it shows"


def check_size(path: Path) -> Iterator[str]:
    """A file is small: what takes longer to say belongs on a page of its own."""
    size, most = path.stat().st_size, LARGEST[path.suffix]
    if size > most:
        yield f"{size:,} bytes; the limit is {most:,}"


def lint_text(path: Path) -> list[str]:
    """What is wrong with a text or notebook, one sentence per problem; empty when all is well."""
    messages = list(check_size(path))
    for where, text in passages(path).items():
        messages += [where + message for rule in (check_links, check_alternative_texts) for message in rule(path, text)]
    if ".github" not in path.parts:
        messages += check_headings(path)
    if path.suffix == ".ipynb":
        messages += lint_notebook(read_notebook(path), is_copy=path.parent.name in ("exercises", "solutions"))
    return messages


def check_spelling(paths: Sequence[Path], root: Path) -> Iterator[str]:
    """Prose is spelt correctly, the British way, and so is code.

    The prose is written to a temporary folder, a file for each cell, so that codespell's messages say where it is.
    """
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            for where, text in passages(path).items():
                place = Path(folder, path.relative_to(root), where.removesuffix(": "))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(prose(text), encoding="utf-8")
        yield from _codespell(Path(folder), "--dictionary=-", f"--dictionary={AMERICAN}", ".")
    yield from _codespell(root, *(name for name in _CODE if (root / name).exists()))


def _codespell(folder: Path, *arguments: str) -> list[str]:
    """Run codespell in a folder; return its lines, which give file, line, word and suggestion."""
    allowed = f"--ignore-words={AMERICAN.with_name('spelling_allowed.txt')}"
    options = ["--check-hidden", "--disable-colors", "--skip=*vocabulary.json,*.h5,*.keras", allowed]
    command = [sys.executable, "-m", "codespell_lib", *options, *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode not in (0, 65):  # 65: it found something
        raise CourseError(f"codespell failed: {(result.stderr or result.stdout).strip()}. Run `make lint` again.")
    return [line.removeprefix("./") for line in result.stdout.splitlines() if "==>" in line]


def lint_project(root: Path) -> Iterator[str]:
    """What is wrong with the texts of a project, one line per problem."""
    texts = sorted({path for pattern in _TEXTS for path in root.glob(pattern) if "-checkpoint." not in path.name})
    pictures = [path for kind in ("png", "jpg", "svg") for path in root.glob(f"docs/**/*.{kind}")]
    found = {path: lint_text(path) for path in texts} | {path: list(check_size(path)) for path in pictures}
    for path, messages in found.items():
        yield from (f"{path.relative_to(root).as_posix()}: {message}" for message in messages)
    yield from check_spelling(texts, root)


def main(root: Path = REPOSITORY) -> int:
    """Check the project's texts; return the exit status."""
    try:
        messages = list(lint_project(root))
    except CourseError as error:
        messages = [str(error)]
    print(*messages, f"{len(messages)} problem{'s' * (len(messages) != 1)}.", sep="\n")
    return int(bool(messages))


if __name__ == "__main__":
    sys.exit(main())
