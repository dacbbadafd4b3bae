"""Put badge and first code cell into the notebooks: `python -m tools.first_cells`.

The badge under the title opens the notebook in Google Colab. The first code cell does nothing elsewhere; in Colab it
downloads `setup_google_colab.py` and calls it. Both are made from the constants in that file. With `--check` nothing
is written: notebooks that differ are listed, those with exercises included, and the exit status is 1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from nbformat import NotebookNode

import setup_google_colab
from say_what_you_see.core.errors import CourseError
from tools.notebooks import REPOSITORY, find_notebooks, read_notebook, write_notebook
from tools.upkeep import check_parser, write_or_check

BADGE_PICTURE = "https://colab.research.google.com/assets/colab-badge.svg"
"""What a badge shows."""

_IN_COLAB = 'if "google.colab" in sys.modules:'
_BADGE = re.compile(r"^\[!\[Open in Colab\]\([^)\n]*\)\]\([^)\n]*\)\n*", re.MULTILINE)
_TITLE = re.compile(r"\A(# [^\n]+)\n*")
_SOURCE = """\
import sys

sys.path.insert(0, "{up}")  # where utils/ is
if "google.colab" in sys.modules:  # everywhere else nothing more is to be done
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


def badge(path: str | PurePosixPath) -> str:
    """Markdown of the badge of a notebook.

    Args:
        path: where the notebook is in the repository, such as "notebooks/04_train_decoder.ipynb".
    """
    place = f"{setup_google_colab.REPOSITORY}/blob/{setup_google_colab.REVISION}/{path}"
    return f"[![Open in Colab]({BADGE_PICTURE})](https://colab.research.google.com/github/{place})"


def first_cell_source(path: PurePosixPath) -> str:
    """The source of the first code cell of a notebook, such as "notebooks/04_train_decoder.ipynb"."""
    up = "/".join([".."] * (len(path.parents) - 1))
    return _SOURCE.format(up=up, url=setup_google_colab.RAW_URL, name=path.stem)


def without_badge(text: str) -> str:
    """The Markdown of a title cell without its badge."""
    return _BADGE.sub("", text)


def stale_parts(notebook: NotebookNode, path: PurePosixPath) -> dict[int, str]:
    """The cells, counted from 0, whose source must change, and the right source.

    Args:
        notebook: a notebook of the course.
        path: where it is in the repository.

    Raises:
        CourseError: if it does not start with a title, or its first code cell is another one.
    """
    title = notebook.cells[0].source if notebook.cells else ""
    if not _TITLE.match(title) or notebook.cells[0].cell_type != "markdown":
        raise CourseError(f"{path}: the first cell must be the title, as in `# Title`.")
    position = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), None)
    if position is None or _IN_COLAB not in notebook.cells[position].source:
        raise CourseError(
            f"{path}: the first code cell must be the one that sets up Colab. Copy it from another notebook."
        )
    line = badge(path)
    right = {
        0: _TITLE.sub(lambda match: f"{match[1]}\n\n{line}\n\n", without_badge(title)).rstrip("\n"),
        position: first_cell_source(path),
    }
    return {place: source for place, source in right.items() if notebook.cells[place].source != source}


def main(arguments: Sequence[str] | None = None, root: Path = REPOSITORY) -> int:
    """Bring the notebooks' badges and first cells up to date, or check them; the result is the exit status."""
    options = check_parser("tools.first_cells", __doc__, "notebooks").parse_args(arguments)

    def update() -> int:
        paths = find_notebooks(root / "notebooks")
        if options.check:  # those with exercises are made from the others, by a tool of their own
            paths += sorted((root / "notebooks" / "exercises").glob("*.ipynb"))
        return sum(_update(path, root, options.check) for path in paths)

    done, remedy = ("differ", "make lessons exercises") if options.check else ("written anew", None)
    return write_or_check(update, "notebook", done, remedy)


def _update(path: Path, root: Path, check: bool) -> bool:
    """Bring one notebook up to date, or only say that it differs; whether it does."""
    notebook, inside = read_notebook(path), PurePosixPath(path.relative_to(root).as_posix())
    stale = stale_parts(notebook, inside)
    for position, source in stale.items():
        print(f"{inside}, cell {position + 1}")
        notebook.cells[position].source = source
    if stale and not check:
        write_notebook(notebook, path)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
