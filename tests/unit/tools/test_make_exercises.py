"""Exercise notebooks are made from the lessons: emptied where learners write, and the same bytes every time."""

from pathlib import PurePosixPath

import nbformat
import pytest
from notebook_samples import code, executed, notebook, printed, write

from say_what_you_see.exercises.exercise import MODULES, exercises_of
from tools import make_exercises
from tools.include_lessons import first_cell_source
from tools.make_exercises import INSTRUCTORS, LEARNERS, exercises_in, functions_in, main
from tools.notebooks import NOTEBOOKS, read_notebook

CLASS = '''FACTOR = 2


@register("doubler")
class Doubler:
    """Doubles."""

    def __init__(self, offset=0):
        self.offset = offset

    def double(self, number):
        """Twice a number."""

        def twice(n):
            return 2 * n

        return twice(number)


def halve(number):
    return number / 2'''


def exercise_cell():
    names = [f"utils.numbers.{name}" for name in ("FACTOR", "Doubler", "halve")]
    facts = {"minutes": 5, "difficulty": "easy", "task": "Double it.", "hints": ["Think of 2."], "methods": ["double"]}
    return code(CLASS, include=names, exercise=facts)


def test_of_a_class_the_named_methods_are_emptied_or_marked():
    cell = exercise_cell()
    assert list(functions_in(cell).values()) == ["Doubler", "halve"]
    changes = (make_exercises.emptied, make_exercises.marked)
    stub, solution = (make_exercises.with_bodies(cell, change) for change in changes)
    assert "def __init__(self, offset=0):\n        self.offset = offset" in stub and "twice(n)" not in stub
    assert '        # Think of 2.\n        raise NotImplementedError("Write Doubler.double here' in stub
    assert stub.endswith('number):\n    raise NotImplementedError("Write halve here, in place of this line.")')
    lines = [line for line in solution.splitlines() if "SOLUTION" not in line and "Think" not in line]
    assert lines == CLASS.splitlines() and solution.count("### BEGIN SOLUTION") == 2


@pytest.fixture
def root(tmp_path):
    """A repository of two lessons, one of them with an exercise."""
    made = notebook(
        "# Numbers\n\nTakes 1 minute.",
        code(first_cell_source(PurePosixPath("notebooks/01_numbers.ipynb"))),
        "## First\n\n[zero](00_zero.ipynb)",
        exercise_cell(),
        executed("double(2)", 1, printed("4\n"), tags=("nbval-check-output", "hide-input")),
        "## Recap\n\nWe doubled.\n\n## What comes next\n\nNothing.",
    )
    write(made, tmp_path / "notebooks" / "01_numbers.ipynb")
    write(notebook("# Zero"), tmp_path / "notebooks" / "00_zero.ipynb")
    return tmp_path


def test_a_copy_has_all_that_a_learner_needs(root):
    assert main([], root) == 0
    made = nbformat.read(root / LEARNERS / "01_numbers.ipynb", as_version=4)
    nbformat.validate(made)
    ids = [cell.id for cell in made.cells]
    assert ids[1:8] == ["exercises-opening", "cell-1", "cell-2", "exercise-1", "cell-3", "stuck-1", "check-1"]
    title, opening, first, link, introduction, stub, stuck, check, call, *_ = made.cells
    assert title.source.startswith("# Numbers: exercises\n")
    assert "1 functions are left for you to write, about 5" in opening.source
    assert first.source == first_cell_source(PurePosixPath("notebooks/exercises/01_numbers.ipynb"))
    assert link.source.endswith("[zero](../../notebooks/00_zero.ipynb)")
    assert introduction.source.startswith("### Exercise 1 of 1: `Doubler`, `halve`\n\nAbout 5 minutes, easy. ")
    assert "raise NotImplementedError" in stub.source and "exercise" not in stub.metadata
    assert stuck.metadata.jupyter.source_hidden
    assert stuck.source.endswith("\n# from utils.numbers import Doubler\n# from utils.numbers import halve")
    assert check.source == "from utils.check import check\n\ncheck(Doubler, halve)"
    assert not call.outputs and call.execution_count is None and call.metadata.tags == ["hide-input"]
    assert ids[-3:] == ["exercises-progress", "exercises-progress-list", "cell-5"]


def test_what_differs_is_listed_and_put_right(root, capsys):
    main([], root)
    changed, superfluous = root / LEARNERS / "01_numbers.ipynb", root / INSTRUCTORS / "02_gone.ipynb"
    right = changed.read_bytes()
    changed.write_bytes(right + b"\n")
    superfluous.write_text("{}")
    capsys.readouterr()
    assert main(["--check"], root) == 1
    shown = capsys.readouterr().out
    assert shown.startswith(f"{changed}\n{superfluous}\n2 of 4 files differ")
    assert superfluous.exists() and main([], root) == 0
    assert changed.read_bytes() == right and not superfluous.exists()


@pytest.mark.parametrize("name", MODULES)
def test_every_exercise_of_a_notebook_can_be_checked_and_the_other_way_round(name):
    exercises = exercises_in(read_notebook(NOTEBOOKS / f"{name}.ipynb"))
    asked = [function for exercise in exercises for function in functions_in(exercise)]
    checked = [f"{e.reference.__module__}.{e.reference.__qualname__}" for e in exercises_of(name)]
    assert sorted(asked) == sorted(checked) and {e.notebook for e in exercises_of(name)} == {name}
