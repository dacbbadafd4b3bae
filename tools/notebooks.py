"""Notebooks as files: finding, reading and writing them in one form; bringing files up to date, or checking them."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path
from say_what_you_see.core.settings import REPOSITORY

NOTEBOOKS = REPOSITORY / "notebooks"
"""The folder of the numbered notebooks."""

COMPARED = {
    "nbval-check-output": "the output is the same at any size",
    "deterministic": "the output is the same in every run at full size",
    "tolerance": "the numbers in the output are about the same in every run at full size",
}
"""The tags of cells whose outputs tests compare, and in what way."""

_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3}, "file_extension": ".py", "mimetype": "text/x-python",
        "name": "python", "pygments_lexer": "ipython3",
    },
}  # fmt: skip


def find_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """The numbered notebooks of a folder, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook; raises a CourseError if the file is not one."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat has no error of its own for a file that is not a notebook
        raise CourseError(f"{path} is not a Jupyter notebook ({error}). Replace it with a complete copy.") from error


def write_text(text: str, path: Path) -> None:
    """Write a text with the same bytes on every system; the file is complete or as it was before."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook; the file is complete or as it was before."""
    write_text(notebook_text(notebook), path)


def notebook_text(notebook: NotebookNode) -> str:
    """The content of a notebook's file, the same for the same notebook on every machine."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def normalise(notebook: NotebookNode) -> None:
    """Remove what depends on the machine and the moment: timing, widget state, the kernel's version."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that have something to execute."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def tags_of(cell: NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", ()))


def names_in(cell: NotebookNode) -> list[str]:
    """The dotted names of the lesson code that a cell includes; none for an ordinary cell."""
    include = cell.metadata.get("include", [])
    return [include] if isinstance(include, str) else list(include)


def update_or_check(description: str, right: Mapping[Path, str | None], arguments: Sequence[str] | None = None) -> int:
    """Rewrite files that differ from their right text, or with `--check` only list them; return the exit status.

    Args:
        right: the right text of every file; None for a file that should not be there.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; list the files that differ")
    check = parser.parse_args(arguments).check
    present = {path: path.read_bytes().decode() if path.is_file() else None for path in right}
    outdated = {path: text for path, text in right.items() if present[path] != text}
    for path, text in outdated.items():
        print(path)
        if text is not None and not check:
            write_text(text, path)
        elif not check:
            path.unlink()
    print(f"{len(outdated)} of {len(right)} files {'differ' if check else 'rewritten'}.")
    if check and outdated:
        print("To bring them up to date: make lessons exercises")
    return int(check and bool(outdated))
