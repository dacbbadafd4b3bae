"""Make the exercise notebooks from the lessons: `python -m tools.make_exercises`.

A cell of a lesson becomes an exercise by its metadata, as in `{"include": "say_what_you_see.language.captions.split_sentence",
"exercise": {"minutes": 5, "difficulty": "easy", "task": "...", "hints": ["..."]}}`. Learners get the function
without its body (`notebooks/exercises/`), instructors get it with the body between nbgrader's marks
(`instructors/solutions/`). The same lessons give the same bytes. With `--check` nothing is written: what
differs is listed, and the exit status is 1.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nbformat import NotebookNode

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path
from tools.exercise_cells import (
    ExerciseCell,
    check_cell,
    emptied,
    introduction,
    marked,
    moved_links,
    opening_cell,
    progress_cells,
    read_exercise,
    solution_metadata,
    stuck_cell,
)
from tools.lint_notebooks import COMPARED
from tools.notebooks import REPOSITORY, find_notebooks, normalise, notebook_text, read_notebook
from tools.upkeep import check_parser, write_or_check

LEARNERS = Path("notebooks", "exercises")
"""Where the copies for learners go, in the repository."""

INSTRUCTORS = Path("instructors", "solutions")
"""Where the copies with solutions go."""

_INDEX_TEXT = Path(__file__).with_name("exercises_readme.md")
_HEADING = re.compile(r"^(#{1,6}) ", re.MULTILINE)


def exercise_files(root: Path = REPOSITORY) -> dict[Path, str]:
    """What the exercise folders should hold: path in the repository, and text.

    Raises:
        CourseError: if a lesson cannot be read, or the metadata of an exercise are wrong.
    """
    lessons = {path.stem: read_notebook(path) for path in find_notebooks(root / "notebooks")}
    found = {}
    for name, lesson in lessons.items():
        try:
            found[name] = exercises_in(lesson)
        except CourseError as error:
            raise CourseError(f"{name}.ipynb: {error}") from error
    found = {name: exercises for name, exercises in found.items() if exercises}
    files = {}
    for name, exercises in found.items():
        for folder, change in ((LEARNERS, emptied), (INSTRUCTORS, marked)):
            made = make_copy(name, lessons[name], exercises, change, tuple(found))
            files[folder / f"{name}.ipynb"] = notebook_text(made)
    files[LEARNERS / "README.md"] = index_text(found)
    return files


def exercises_in(lesson: NotebookNode) -> dict[str, ExerciseCell]:
    """The exercises of a lesson by the ids of their cells."""
    found: dict[str, ExerciseCell] = {}
    for cell in lesson.cells:
        if exercise := read_exercise(cell, len(found) + 1):
            found[cell.id] = exercise
    return found


def make_copy(
    name: str,
    lesson: NotebookNode,
    exercises: dict[str, ExerciseCell],
    change: Callable[[str, ExerciseCell], str],
    here: Sequence[str],
) -> NotebookNode:
    """A lesson as an exercise notebook.

    Args:
        name: the lesson's name.
        lesson: the lesson; it stays as it is.
        exercises: its exercises by the ids of their cells.
        change: makes the source of an exercise's cell from the lesson's.
        here: names of all notebooks that have an exercise copy.
    """
    made = copy.deepcopy(lesson)
    normalise(made)
    cells, level = [], 1
    for cell in made.cells:
        _clear(cell, name, here)
        if cell.cell_type == "markdown" and (marks := _HEADING.findall(cell.source)):
            level = len(marks[-1])
        if cell.cell_type == "markdown" and cell.source.startswith("## Recap"):
            cells += progress_cells(name)
        if cell.id in exercises:
            cells += _exercise_cells(cell, exercises[cell.id], len(exercises), level + 1, change)
        else:
            cells.append(cell)
    cells[0].source = re.sub(r"^(# .+)$", r"\1: exercises", cells[0].source, count=1, flags=re.MULTILINE)
    made.cells = [cells[0], opening_cell(name, list(exercises.values())), *cells[1:]]
    return made


def _clear(cell: NotebookNode, name: str, here: Sequence[str]) -> None:
    """Take out what a cell was executed to, what tests compare, and links that no longer lead there."""
    if cell.cell_type == "markdown":
        cell.source = moved_links(cell.source, name, here)
    if cell.cell_type != "code":
        return
    cell.outputs, cell.execution_count = [], None
    if tags := [tag for tag in cell.metadata.get("tags", ()) if tag not in COMPARED]:
        cell.metadata.tags = tags
    else:
        cell.metadata.pop("tags", None)


def _exercise_cells(
    cell: NotebookNode, exercise: ExerciseCell, count: int, level: int, change: Callable[[str, ExerciseCell], str]
) -> list[NotebookNode]:
    """What stands in the place of a cell that is an exercise."""
    cell.source = change(cell.source, exercise)
    del cell.metadata["exercise"]
    cell.metadata["nbgrader"] = solution_metadata(exercise)
    return [introduction(exercise, count, level), cell, stuck_cell(exercise), check_cell(exercise)]


def index_text(found: dict[str, dict[str, ExerciseCell]]) -> str:
    """The page that lists all exercises, above the open challenges."""
    everything = [exercise for exercises in found.values() for exercise in exercises.values()]
    rows = ["| notebook | exercise | minutes | difficulty |", "| --- | --- | --- | --- |"]
    for name, exercises in found.items():
        for exercise in exercises.values():
            rows.append(f"| [{name}]({name}.ipynb) | {exercise.title} | {exercise.minutes} | {exercise.difficulty} |")
    text = _INDEX_TEXT.read_text(encoding="utf-8")
    filled = {"count": len(everything), "minutes": sum(exercise.minutes for exercise in everything)}
    return text.format(index="\n".join(rows), notebooks=len(found), **filled)


def stale_files(files: dict[Path, str], root: Path = REPOSITORY) -> list[Path]:
    """The files that differ from what they should be, are missing, or should not be there."""
    differing = [path for path, text in files.items() if not _holds(root / path, text)]
    present = [path.relative_to(root) for folder in (LEARNERS, INSTRUCTORS) for path in (root / folder).glob("*.ipynb")]
    return differing + sorted(path for path in present if path not in files)


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def main(arguments: Sequence[str] | None = None, root: Path = REPOSITORY) -> int:
    """Write the exercise notebooks, or check them; the result is the exit status."""
    options = check_parser("tools.make_exercises", __doc__, "files").parse_args(arguments)

    def update() -> int:
        files = exercise_files(root)
        stale = stale_files(files, root)
        for path in stale:
            print(path.as_posix())
            if not options.check:
                _bring_up_to_date(root / path, files.get(path))
        return len(stale)

    done, remedy = ("differ from the lessons", "make exercises") if options.check else ("written", None)
    return write_or_check(update, "file", done, remedy)


def _bring_up_to_date(path: Path, text: str | None) -> None:
    """Write a file, or remove one that has no lesson."""
    if text is None:
        path.unlink()
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


if __name__ == "__main__":
    sys.exit(main())
