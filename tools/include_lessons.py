"""Keep the lesson code in the notebooks the same as in the modules: `python -m tools.include_lessons`.

A code cell whose metadata says `{"include": "say_what_you_see.language.captions.split_sentence"}`, or a list of such
names, gets as its source what stands in the module under these names. The modules are read, not
imported. With `--check` nothing is written: cells that differ are listed, and the exit status is 1.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from say_what_you_see.core.errors import CourseError
from tools.notebooks import NOTEBOOKS, REPOSITORY, find_notebooks, read_notebook, write_notebook
from tools.upkeep import check_parser, write_or_check

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Piece:
    """A definition as it stands in a module.

    Attributes:
        path: the module's file.
        first, last: its lines, counted from 1, with the comment right above it.
        source: the text of those lines.
        is_constant: whether it is an assignment rather than a function or a class.
    """

    path: Path
    first: int
    last: int
    source: str
    is_constant: bool


def find_piece(name: str, root: Path = REPOSITORY) -> Piece:
    """Find the definition that a dotted name stands for, such as "say_what_you_see.language.captions.split_sentence".

    Decorators, docstrings and comments belong to it. A text below a constant does not: as the
    last line of a cell, Jupyter would print it.

    Raises:
        CourseError: if there is no such module, or nothing of that name at its top level.
    """
    module, _, wanted = name.rpartition(".")
    path = root.joinpath(*module.split(".")).with_suffix(".py") if module else None
    if path is None or not path.is_file():
        raise CourseError(f"A cell includes {name!r}, but there is no module {module or name!r}. Correct the name.")
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    statements = {defined: node for node in ast.parse(text).body for defined in _names_of(node)}
    if wanted not in statements:
        raise CourseError(f"A cell includes {name!r}, but {path.name} defines no {wanted!r}. Correct one of the two.")
    node = statements[wanted]
    first = _first_line(node, lines)
    source = "\n".join(lines[first - 1 : node.end_lineno])
    return Piece(path, first, node.end_lineno or first, source, not isinstance(node, _DEFINITIONS))


def _names_of(node: ast.stmt) -> list[str]:
    """The names that a statement defines."""
    if isinstance(node, _DEFINITIONS):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    flat = [part for target in targets for part in getattr(target, "elts", [target])]
    return [part.id for part in flat if isinstance(part, ast.Name) and isinstance(node, (ast.Assign, ast.AnnAssign))]


def _first_line(node: ast.stmt, lines: Sequence[str]) -> int:
    """The line on which a statement starts, with its decorators and the comment right above."""
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    return first


def included_source(names: Sequence[str], root: Path = REPOSITORY) -> str:
    """The source of a cell that includes these names, in this order, with the empty lines that a module has.

    Raises:
        CourseError: if a name cannot be found.
    """
    pieces = [find_piece(name, root) for name in names]
    text = pieces[0].source
    for before, piece in zip(pieces, pieces[1:], strict=False):
        if not (before.is_constant and piece.is_constant):
            empty_lines = 2
        else:
            empty_lines = 0 if (before.path, before.last + 1) == (piece.path, piece.first) else 1
        text += "\n" * (empty_lines + 1) + piece.source
    return text


def names_in(cell: NotebookNode) -> list[str]:
    """The names that a cell includes; none for an ordinary cell."""
    include = cell.metadata.get("include", [])
    return [include] if isinstance(include, str) else list(include)


def stale_cells(notebook: NotebookNode, root: Path = REPOSITORY) -> list[tuple[int, NotebookNode, str]]:
    """The cells that differ from their modules: position in the notebook from 1 on, cell, right source.

    Raises:
        CourseError: if a name cannot be found.
    """
    stale = []
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and (names := names_in(cell)):
            source = included_source(names, root)
            if cell.source != source:
                stale.append((position, cell, source))
    return stale


def main(arguments: Sequence[str] | None = None, root: Path = REPOSITORY) -> int:
    """Write the included cells of all notebooks anew, or check them; the result is the exit status."""
    parser = check_parser("tools.include_lessons", __doc__, "cells")
    parser.add_argument("--notebooks", type=Path, default=NOTEBOOKS, metavar="FOLDER", help="folder of the notebooks")
    options = parser.parse_args(arguments)

    def update() -> int:
        return sum(_update(path, root, options.check) for path in find_notebooks(options.notebooks))

    done, remedy = ("differ from the modules", "make lessons") if options.check else ("written anew", None)
    return write_or_check(update, "cell", done, remedy)


def _update(path: Path, root: Path, check: bool) -> int:
    """Bring one notebook up to date, or only say what differs; how many cells that are."""
    notebook = read_notebook(path)
    try:
        stale = stale_cells(notebook, root)
    except CourseError as error:
        raise CourseError(f"{path.name}: {error}") from error
    for position, cell, source in stale:
        print(f"{path.name}, cell {position}: {', '.join(names_in(cell))}")
        cell.source = source
    if stale and not check:
        write_notebook(notebook, path)
    return len(stale)


if __name__ == "__main__":
    sys.exit(main())
