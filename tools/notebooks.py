"""Notebooks as files: finding them, reading them, and writing them in one form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path

REPOSITORY = Path(__file__).resolve().parent.parent
"""The folder that holds the course."""

NOTEBOOKS = REPOSITORY / "notebooks"
"""The folder of the numbered notebooks."""

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
"""What every notebook of the course says about its kernel, wherever it was executed."""

_LANGUAGE_FIELDS = ("name", "file_extension", "mimetype", "pygments_lexer", "codemirror_mode")


def find_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """The numbered notebooks of a folder, in order.

    Raises:
        CourseError: if there are none.
    """
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise CourseError(
            f"There are no notebooks in {folder}: their names start with two digits, as in 00_name.ipynb."
        )
    return paths


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook.

    Raises:
        CourseError: if the file is missing or is no notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except OSError as error:
        raise CourseError(f"Cannot read {path}: {error.strerror}.") from error
    except Exception as error:  # nbformat has no error of its own for a file that is no notebook
        raise CourseError(f"{path} is no Jupyter notebook ({error}). Bring a whole copy.") from error


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook; the file is whole or as it was before."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(notebook_text(notebook).encode())


def notebook_text(notebook: NotebookNode) -> str:
    """What stands in the file of a notebook, the same for the same notebook wherever it is written."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def normalise(notebook: NotebookNode) -> None:
    """Take out what depends on the machine and the moment: timing, widget state, the kernel's version."""
    language = notebook.metadata.get("language_info", {})
    notebook.metadata = nbformat.from_dict({
        **{key: value for key, value in notebook.metadata.items() if key != "widgets"},
        "kernelspec": KERNELSPEC,
        "language_info": {"name": "python"} | {key: language[key] for key in _LANGUAGE_FIELDS if key in language},
    })  # fmt: skip
    if isinstance(notebook.metadata.language_info.get("codemirror_mode"), dict):
        notebook.metadata.language_info.codemirror_mode = {"name": "ipython", "version": 3}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that have something to execute."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def tags_of(cell: NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", ()))


def text_of(cell: NotebookNode) -> str:
    """What a code cell printed, and its results as text; pictures, HTML and progress bars (stderr) left out."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif output.output_type == "execute_result" and set(output.data) <= {"text/plain", "text/html"}:
            texts.append(output.data.get("text/plain", ""))
    return "".join(text if text.endswith("\n") else text + "\n" for text in texts)


def chosen(paths: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """The notebooks whose names start with one of `names`; all of them where no name is given.

    Raises:
        CourseError: if a name fits no notebook.
    """
    stems = [Path(name).name.removesuffix(".ipynb") for name in names]
    for stem in stems:
        if not any(path.stem.startswith(stem) for path in paths):
            raise CourseError(f"No notebook starts with {stem!r}. There are: {', '.join(path.stem for path in paths)}.")
    return [path for path in paths if not stems or path.stem.startswith(tuple(stems))]
