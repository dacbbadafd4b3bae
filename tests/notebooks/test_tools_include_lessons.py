"""Lesson code in notebooks is what stands in the modules, to the letter."""

from __future__ import annotations

import nbformat
import pytest
from notebook_samples import code, notebook, printed, write

from say_what_you_see.core.errors import CourseError
from tools.include_lessons import find_piece, included_source, main

MODULE = '''"""A module."""

import functools

FIRST = "a"
SECOND = "b"  # the second

LIMIT: int = 3
"""How much is enough."""

LEFT, RIGHT = -1, 1


# Twice is enough.
# Really.
@functools.cache
def twice(number: int) -> int:
    """Double a number.

    >>> twice(2)
    4
    """
    # why not
    return 2 * number  # no shift


class Box:
    """Holds a thing."""

    def open(self) -> None:
        print("open")
'''


@pytest.fixture
def root(tmp_path):
    module = tmp_path / "lessons" / "numbers.py"
    module.parent.mkdir()
    module.write_text(MODULE, encoding="utf-8")
    return tmp_path


def test_a_function_comes_with_comments_decorators_and_docstring(root):
    source = included_source(["lessons.numbers.twice"], root)
    assert source in MODULE
    assert source.startswith("# Twice is enough.\n# Really.\n@functools.cache\ndef twice")
    assert source.endswith("return 2 * number  # no shift")


def test_constants_come_with_comments_but_not_with_the_text_below(root):
    assert included_source(["lessons.numbers.SECOND"], root) == 'SECOND = "b"  # the second'
    assert included_source(["lessons.numbers.LIMIT"], root) == "LIMIT: int = 3"
    assert included_source(["lessons.numbers.RIGHT"], root) == "LEFT, RIGHT = -1, 1"


def test_empty_lines_between_pieces(root):
    names = [f"lessons.numbers.{name}" for name in ("FIRST", "SECOND", "LIMIT", "Box", "twice")]
    source = included_source(names, root)
    assert 'FIRST = "a"\nSECOND' in source
    assert "second\n\nLIMIT" in source
    assert "= 3\n\n\nclass Box" in source
    assert '("open")\n\n\n# Twice' in source
    compile(source, "cell", "exec")


@pytest.mark.parametrize("name", ["lessons.numbers.thrice", "lessons.letters.twice", "twice", "lessons.numbers.open"])
def test_unknown_names_are_named(name, root):
    with pytest.raises(CourseError, match=name):
        find_piece(name, root)


def test_a_stale_copy_is_found_and_put_right(root, capsys):
    stale = code("def twice(): ...", include="lessons.numbers.twice")
    stale.outputs, stale.execution_count = [printed("kept\n")], 7
    other = code("print(1)", "setup")
    path = write(notebook("# Title", stale, other), root / "notebooks" / "00_lesson.ipynb")
    arguments = ["--notebooks", str(path.parent)]
    before = path.read_bytes()

    assert main([*arguments, "--check"], root) == 1
    assert "00_lesson.ipynb, cell 2: lessons.numbers.twice" in capsys.readouterr().out
    assert path.read_bytes() == before

    assert main(arguments, root) == 0
    old, new = nbformat.reads(before.decode(), as_version=4), nbformat.read(path, as_version=4)
    assert new.cells[1].source == included_source(["lessons.numbers.twice"], root)
    old.cells[1].source = new.cells[1].source
    assert new == old  # outputs, ids, metadata and all

    assert main([*arguments, "--check"], root) == 0
    written = path.read_bytes()
    assert main(arguments, root) == 0
    assert path.read_bytes() == written


def test_several_names_in_one_cell(root):
    names = ["lessons.numbers.FIRST", "lessons.numbers.twice"]
    path = write(notebook(code("", include=names)), root / "notebooks" / "00_lesson.ipynb")
    assert main(["--notebooks", str(path.parent)], root) == 0
    assert nbformat.read(path, as_version=4).cells[0].source == included_source(names, root)


def test_a_wrong_name_in_a_notebook_is_one_clear_message(root, capsys):
    path = write(notebook(code("", include="lessons.numbers.thrice")), root / "notebooks" / "00_lesson.ipynb")
    assert main(["--notebooks", str(path.parent)], root) == 1
    message = capsys.readouterr().err
    assert "00_lesson.ipynb" in message and "thrice" in message and "numbers.py" in message


def test_modules_are_not_imported(root):
    (root / "lessons" / "loud.py").write_text("raise SystemExit\n\n\ndef quiet():\n    pass\n")
    assert included_source(["lessons.loud.quiet"], root) == "def quiet():\n    pass"
