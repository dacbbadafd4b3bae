"""Badges and first cells: made from one place, put in without touching anything else, and checked."""

from __future__ import annotations

import shutil
from pathlib import PurePosixPath

import nbformat
import pytest
from notebook_samples import code, executed, notebook, printed, write

import setup_google_colab
from say_what_you_see.core.errors import CourseError
from tools.first_cells import badge, first_cell_source, main, stale_parts, without_badge
from tools.notebooks import NOTEBOOKS, REPOSITORY, read_notebook

OLD = 'import sys\n\nif "google.colab" in sys.modules:\n    print("not yet")'
TITLE = "# A lesson\n\nTakes 2 minutes.\n\nMore."


def lesson(title: str = TITLE, first: str = OLD) -> nbformat.NotebookNode:
    return notebook(title, executed(first, 1), "Text.", executed("1 + 1", 2, printed("2\n")))


@pytest.fixture
def root(tmp_path):
    write(lesson(), tmp_path / "notebooks" / "00_lesson.ipynb")
    return tmp_path


def read(root, name: str = "00_lesson") -> nbformat.NotebookNode:
    return read_notebook(root / "notebooks" / f"{name}.ipynb")


def test_every_notebook_of_the_course_is_up_to_date():
    paths = [*NOTEBOOKS.glob("*.ipynb"), *(NOTEBOOKS / "exercises").glob("*.ipynb")]
    stale = [
        path.name
        for path in paths
        if stale_parts(read_notebook(path), PurePosixPath(path.relative_to(REPOSITORY).as_posix()))
    ]
    assert not stale, "make lessons exercises"


def test_links_are_made_from_the_constants(monkeypatch):
    monkeypatch.setattr(setup_google_colab, "REPOSITORY", "ann/course")
    monkeypatch.setattr(setup_google_colab, "REVISION", "v9")
    expected = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    expected += "(https://colab.research.google.com/github/ann/course/blob/v9/notebooks/exercises/03_a.ipynb)"
    assert badge("notebooks/exercises/03_a.ipynb") == expected


def test_the_first_cell_downloads_the_pinned_revision_and_names_the_notebook():
    source = first_cell_source(PurePosixPath("notebooks/04_train_decoder.ipynb"))
    compile(source, "cell", "exec")
    assert f'"{setup_google_colab.RAW_URL}/setup_google_colab.py"' in source
    assert setup_google_colab.REVISION in setup_google_colab.RAW_URL
    assert 'setup_notebook("04_train_decoder")' in source


def test_badge_and_cell_are_put_in_and_nothing_else_changes(root):
    before = read(root)
    assert main([], root) == 0
    after = read(root)
    assert after.cells[0].source == f"# A lesson\n\n{badge('notebooks/00_lesson.ipynb')}\n\nTakes 2 minutes.\n\nMore."
    assert after.cells[1].source == first_cell_source(PurePosixPath("notebooks/00_lesson.ipynb"))
    after.cells[0].source, after.cells[1].source = before.cells[0].source, before.cells[1].source
    assert after == before


def test_the_second_time_nothing_is_written(root, capsys):
    main([], root)
    path = root / "notebooks" / "00_lesson.ipynb"
    stamp = path.stat().st_mtime_ns
    assert main([], root) == 0 and main(["--check"], root) == 0
    assert path.stat().st_mtime_ns == stamp
    assert capsys.readouterr().out.splitlines()[-1] == "0 notebooks differ."


@pytest.mark.parametrize("title", ["# A lesson", f"# A lesson\n{badge('elsewhere.ipynb')}\n{badge('twice.ipynb')}"])
def test_an_old_badge_is_replaced_and_a_lone_title_gets_one(title, root):
    write(
        lesson(title, first_cell_source(PurePosixPath("notebooks/other.ipynb"))), root / "notebooks" / "00_lesson.ipynb"
    )
    assert main([], root) == 0
    made = read(root)
    assert made.cells[0].source == f"# A lesson\n\n{badge('notebooks/00_lesson.ipynb')}"
    assert made.cells[1].source == first_cell_source(PurePosixPath("notebooks/00_lesson.ipynb"))


def test_the_check_finds_and_writes_nothing(root, capsys):
    before = (root / "notebooks" / "00_lesson.ipynb").read_bytes()
    assert main(["--check"], root) == 1
    output = capsys.readouterr().out
    assert "notebooks/00_lesson.ipynb, cell 1" in output and "notebooks/00_lesson.ipynb, cell 2" in output
    assert "make lessons exercises" in output
    assert (root / "notebooks" / "00_lesson.ipynb").read_bytes() == before


def test_exercises_are_checked_and_left_to_their_own_tool(root):
    main([], root)
    copy = root / "notebooks" / "exercises" / "00_lesson.ipynb"
    copy.parent.mkdir()
    shutil.copyfile(root / "notebooks" / "00_lesson.ipynb", copy)  # with the badge of the lesson
    before = copy.read_bytes()
    assert main(["--check"], root) == 1
    assert main([], root) == 0 and copy.read_bytes() == before
    right = lesson(
        f"# A lesson\n\n{badge('notebooks/exercises/00_lesson.ipynb')}",
        first_cell_source(PurePosixPath("notebooks/00_lesson.ipynb")),
    )
    write(right, copy)
    assert main(["--check"], root) == 0


@pytest.mark.parametrize(("made", "text"), [
    (notebook("No title", code(OLD)), "must be the title"),
    (notebook(TITLE, code("1 + 1"), code(OLD)), "sets up Colab"),
    (notebook(TITLE, "Text."), "sets up Colab"),
])  # fmt: skip
def test_a_notebook_of_another_form_is_refused(made, text, root, capsys):
    write(made, root / "notebooks" / "01_other.ipynb")
    with pytest.raises(CourseError, match=text):
        stale_parts(made, PurePosixPath("notebooks/01_other.ipynb"))
    assert main([], root) == 1
    assert "01_other" in capsys.readouterr().err


def test_a_title_without_its_badge():
    assert without_badge(f"# A lesson\n\n{badge('notebooks/00_lesson.ipynb')}\n\nText.") == "# A lesson\n\nText."
    assert without_badge(TITLE) == TITLE
