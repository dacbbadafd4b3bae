"""Bring lesson code, badges and first cells of the notebooks up to date: `python -m tools.include_lessons`.

A code cell whose metadata says `{"include": "say_what_you_see.language.captions.split_sentence"}`, or a list of such
names, shows the definitions of these names in the module. The modules are read, not imported. The badge under the
title opens the notebook in Google Colab, and the first code cell sets it up there; both follow from the constants in
`setup_google_colab.py`. With `--check` nothing is written: notebooks that differ are listed, and the exit status is 1.
"""

import ast
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

from nbformat import NotebookNode

import setup_google_colab
from say_what_you_see.core.errors import CourseError
from tools.notebooks import REPOSITORY, find_notebooks, names_in, notebook_text, read_notebook, tags_of, update_or_check

_BADGE = re.compile(r"^\[!\[Open in Colab\]\([^)\n]*\)\]\([^)\n]*\)\n*", re.MULTILINE)
_TITLE = re.compile(r"\A(# [^\n]+)\n*")
_IN_COLAB = 'if "google.colab" in sys.modules:'
_FIRST_CELL = """\
# @title Set-up: run this cell first
import sys

sys.path.insert(0, "{up}")  # where utils/ is
if "google.colab" in sys.modules:  # nothing else is needed outside Colab
    from pathlib import Path
    from urllib.request import urlopen

    if "setup_google_colab" not in sys.modules:
        url = "{url}/setup_google_colab.py"
        try:
            Path("setup_google_colab.py").write_bytes(urlopen(url, timeout=60).read())
        except Exception as error:
            raise RuntimeError(f"Cannot download {{url}} ({{error}}). Wait a minute and run this cell again.") from None
    from setup_google_colab import setup_notebook

    setup_notebook("{name}")  # drive=True keeps your work in Google Drive"""


def find_definition(name: str, root: Path) -> tuple[str, bool]:
    """The source of what a dotted name stands for, with decorators and the comment above; and whether it is a constant.

    The docstring below a constant is left out: as the last line of a cell, Jupyter would print it.
    """
    module, _, wanted = name.rpartition(".")
    text = root.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    node = next((node for node in ast.parse(text).body if wanted in _names_defined_by(node)), None)
    if node is None:
        raise CourseError(f"A cell includes {name!r}, but {module} defines no {wanted!r}. Correct one of the two.")
    lines = text.splitlines()
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    return "\n".join(lines[first - 1 : node.end_lineno]), isinstance(node, (ast.Assign, ast.AnnAssign))


def _names_defined_by(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def included_source(names: Sequence[str], root: Path = REPOSITORY) -> str:
    """The source of a cell that includes these names, in this order; neighbouring constants stay together."""
    definitions = [find_definition(name, root) for name in names]
    text, _ = definitions[0]
    for (_, constant_before), (source, is_constant) in pairwise(definitions):
        text += "\n" * (1 if constant_before and is_constant else 3) + source
    return text


def badge(path: str | PurePosixPath) -> str:
    """The Markdown of the badge for a notebook such as "notebooks/04_train_decoder.ipynb"."""
    address = f"{setup_google_colab.REPOSITORY}/blob/{setup_google_colab.REVISION}/{path}"
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({picture})](https://colab.research.google.com/github/{address})"


def without_badge(text: str) -> str:
    """A title cell's Markdown without its badge."""
    return _BADGE.sub("", text)


def first_cell_source(path: PurePosixPath) -> str:
    """The source of the first code cell of a notebook such as "notebooks/04_train_decoder.ipynb"."""
    up = "/".join([".."] * (len(path.parents) - 1))
    return _FIRST_CELL.format(up=up, url=setup_google_colab.RAW_URL, name=path.stem)


def set_first_cells(notebook: NotebookNode, path: PurePosixPath) -> None:
    """Put the badge below the title and the right source into the first code cell, which is folded.

    Args:
        path: where the notebook is in the repository.
    """
    title, first = notebook.cells[0], next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    if not _TITLE.match(title.source) or first is None or _IN_COLAB not in first.source:
        raise CourseError(
            f"{path}: the first cell must be the title, as in `# Title`, and the first code cell must be the one that "
            "sets up Colab. Copy it from another notebook."
        )
    title.source = _TITLE.sub(rf"\1\n\n{badge(path)}\n\n", without_badge(title.source)).rstrip("\n")
    first.source = first_cell_source(path)
    first.metadata.update({"jupyter": {"source_hidden": True}, "cellView": "form"})
    first.metadata["tags"] = sorted(tags_of(first) | {"hide-input"})


def right_notebooks(root: Path) -> dict[Path, str | None]:
    """The text that each lesson's file should have."""
    texts: dict[Path, str | None] = {}
    for path in find_notebooks(root / "notebooks"):
        notebook = read_notebook(path)
        for cell in notebook.cells:
            if names := names_in(cell):
                cell.source = included_source(names, root)
        set_first_cells(notebook, PurePosixPath(path.relative_to(root).as_posix()))
        texts[path] = notebook_text(notebook)
    return texts


def main(arguments: Sequence[str] | None = None, root: Path = REPOSITORY) -> int:
    """Bring the notebooks up to date, or check them; return the exit status."""
    return update_or_check(__doc__, right_notebooks(root), arguments)


if __name__ == "__main__":
    sys.exit(main())
