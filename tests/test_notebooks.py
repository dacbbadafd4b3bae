"""The course's notebooks: there, in form, and with the lesson code of the modules."""

from __future__ import annotations

import pytest

from tools.include_lessons import stale_cells
from tools.lint_notebooks import lint_notebook
from tools.notebooks import NOTEBOOKS, read_notebook

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
FIRST_SIX = (
    "00_start_here",
    "01_download_resources",
    "02_extract_embeddings",
    "03_prepare_captions",
    "04_train_decoder",
    "05_generate_captions",
)

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def test_the_notebooks_are_there():
    assert [path.stem for path in PATHS][: len(FIRST_SIX)] == list(FIRST_SIX)


@each_notebook
def test_form(path):
    assert lint_notebook(path) == []


@each_notebook
def test_lesson_code_is_that_of_the_modules(path):
    stale = stale_cells(read_notebook(path))
    assert not stale, f"cells {[position for position, _, _ in stale]} differ: make lessons"
