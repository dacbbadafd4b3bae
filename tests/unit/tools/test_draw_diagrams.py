"""The diagrams of the notebooks: drawn, shown, and held by the pages."""

from notebook_samples import notebook

from tools.draw_diagrams import right_files
from tools.notebooks import NOTEBOOKS, find_notebooks
from tools.render import write_page


def test_the_committed_diagrams_are_those_that_are_drawn_and_all_are_shown():
    texts = "\n".join(path.read_text(encoding="utf-8") for path in find_notebooks())
    drawn = right_files()
    assert {path: path.read_text(encoding="utf-8") for path in (NOTEBOOKS / "images").iterdir()} == drawn
    assert all(f"](images/{path.name})" in texts for path in drawn)


def test_pages_hold_diagrams_and_their_alternative_texts(tmp_path):
    lesson = notebook("# A lesson\n\n![boxes and arrows](images/attention_step.svg)")
    write_page(lesson, "lesson", NOTEBOOKS, tmp_path / "lesson.html")
    page = (tmp_path / "lesson.html").read_text(encoding="utf-8")
    assert 'src="data:image/svg+xml;base64,' in page
    assert 'alt="boxes and arrows"' in page
