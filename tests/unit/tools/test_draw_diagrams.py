"""The diagrams of the notebooks: drawn, and shown."""

from tools.draw_diagrams import right_files
from tools.notebooks import NOTEBOOKS, find_notebooks


def test_the_committed_diagrams_are_those_that_are_drawn_and_all_are_shown():
    texts = "\n".join(path.read_text(encoding="utf-8") for path in find_notebooks())
    drawn = right_files()
    assert {path: path.read_text(encoding="utf-8") for path in (NOTEBOOKS / "images").iterdir()} == drawn
    assert all(f"](images/{path.name})" in texts for path in drawn)
