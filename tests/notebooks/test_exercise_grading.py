"""nbgrader's own validation of exercise notebooks; its exit status is 0 either way, so its output is read."""

import os
import re
import subprocess
import sys

import pytest

from say_what_you_see.exercises.exercise import exercises_of
from tools.make_exercises import INSTRUCTORS, LEARNERS
from tools.notebooks import REPOSITORY, read_notebook, write_notebook

NAME = "03_prepare_captions"


@pytest.fixture
def validate(course_environ, tmp_path):
    """Has nbgrader execute a notebook on the finished course's data, and gives what it prints."""
    pytest.importorskip("nbgrader")

    def run(notebook, *options: str) -> str:
        write_notebook(notebook, tmp_path / f"{NAME}.ipynb")
        command = [sys.executable, "-m", "nbgrader", "validate", f"{NAME}.ipynb", *options]
        values = course_environ.environ | {"COURSE_DATA": str(course_environ.settings.data_folder)}
        environ = os.environ | values | {"JUPYTER_CONFIG_DIR": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
        result = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def test_a_solved_copy_passes_in_every_cell(validate):
    solved = read_notebook(REPOSITORY / INSTRUCTORS / f"{NAME}.ipynb")
    assert validate(solved, "--Validator.validate_all=True") == "Success! Your notebook passes all the tests.\n"


def test_an_unsolved_copy_fails_in_every_check_and_says_why(validate):
    unsolved = read_notebook(REPOSITORY / LEARNERS / f"{NAME}.ipynb")
    taken = next(cell for cell in unsolved.cells if cell.id == "stuck-2")
    taken.source = taken.source.replace("# from", "from")  # one that takes the course's own, which gives no points
    shown = validate(unsolved)
    names = [exercise.name for exercise in exercises_of(NAME)]
    assert f"VALIDATION FAILED ON {len(names)} CELL(S)" in shown
    assert re.findall(r"^ +check\((\w+)\)$", shown, re.MULTILINE) == names
    assert re.findall(r"CheckFailed: (\w+) is not written yet", shown) == [n for n in names if n != "split_sentence"]
    assert "Partial credit" in shown
