"""Lesson code, badges and first cells of the notebooks: what stands in the modules, to the letter."""

from pathlib import PurePosixPath

import nbformat
import pytest
from notebook_samples import code, notebook, printed, write

from say_what_you_see.core.errors import CourseError
from tools.include_lessons import badge, first_cell_source, main

TWICE = """# Twice is enough.
# Really.
@functools.cache
def twice(number: int) -> int:
    return 2 * number  # no shift"""


@pytest.fixture
def root(tmp_path):
    module = tmp_path / "lessons" / "numbers.py"
    module.parent.mkdir()
    module.write_text(f"LIMIT = 3\n\n\n{TWICE}\n\n\nprint(LIMIT)\n", encoding="utf-8")
    return tmp_path


OLD_FIRST_CELL = 'import sys\n\nif "google.colab" in sys.modules:\n    print("not yet")'
PLACE = PurePosixPath("notebooks/00_lesson.ipynb")


@pytest.fixture
def path(root):
    """A notebook of two cells that are out of date, and one that is nobody's business."""
    stale = code("def twice(): ...", include="lessons.numbers.twice")
    stale.outputs, stale.execution_count = [printed("kept\n")], 7
    made = notebook("# A lesson\n\nTakes 2 minutes.\n\nMore.", code(OLD_FIRST_CELL), stale, code("print(1)", "setup"))
    return write(made, root / "notebooks" / "00_lesson.ipynb")


def test_an_outdated_notebook_is_found_and_put_right(root, path):
    old = nbformat.read(path, as_version=4)
    assert main(["--check"], root) == 1 and nbformat.read(path, as_version=4) == old
    assert main([], root) == 0
    new = nbformat.read(path, as_version=4)
    assert new.cells[0].source == f"# A lesson\n\n{badge(PLACE)}\n\nTakes 2 minutes.\n\nMore."
    assert new.cells[1].source == first_cell_source(PLACE)
    assert new.cells[2].source == TWICE
    for position in (0, 1, 2):
        old.cells[position].source = new.cells[position].source
    folded = {"jupyter": {"source_hidden": True}, "cellView": "form", "tags": ["hide-input"]}
    old.cells[1].metadata = nbformat.from_dict(folded)
    assert new == old  # outputs, ids, metadata and all
    assert main(["--check"], root) == 0


@pytest.mark.parametrize(("position", "cell", "message"), [
    (2, code("", include="lessons.numbers.thrice"), "lessons.numbers.thrice"),
    (0, code("1 + 1"), "must be the title"),
    (1, code("1 + 1"), "sets up Colab"),
])  # fmt: skip
def test_a_wrong_notebook_is_one_clear_message(position, cell, message, root, path):
    made = nbformat.read(path, as_version=4)
    made.cells[position] = cell
    write(made, path)
    with pytest.raises(CourseError, match=message):
        main([], root)
