"""Make the exercise notebooks from the lessons: `python -m tools.make_exercises`.

A cell of a lesson that includes code becomes an exercise by its metadata, as in `"exercise": {"minutes": 5,
"difficulty": "easy", "task": "...", "hints": ["..."]}`; for a class, `"methods"` names those to be written. Learners
get the function without its body (`notebooks/exercises/`), instructors get it with the body between nbgrader's marks
(`instructors/solutions/`). The same lessons give the same bytes. With `--check` nothing is written: what differs is
listed, and the exit status is 1.
"""

from __future__ import annotations

import ast
import copy
import posixpath
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from say_what_you_see.core.errors import CourseError
from tools.include_lessons import set_first_cells
from tools.notebooks import (
    COMPARED,
    REPOSITORY,
    find_notebooks,
    names_in,
    normalise,
    notebook_text,
    read_notebook,
    tags_of,
    update_or_check,
)

LEARNERS = PurePosixPath("notebooks", "exercises")
"""Where the copies for learners go, in the repository."""

INSTRUCTORS = PurePosixPath("instructors", "solutions")
"""Where the copies with solutions go."""

POINTS = {"easy": 1, "medium": 2, "hard": 3}
"""What nbgrader gives for an exercise of each difficulty."""

_TEXTS = Path(__file__).parent
_HEADING = re.compile(r"^(#{1,6}) ", re.MULTILINE)
_LINK = re.compile(r"""(\]\(\s*|\b(?:src|href)=["']|^\[[^\]\n]+\]:\s*)(?![a-z+.-]+:|[#/])([^\s"')#?]+)""", re.M)


class ExerciseCell(NamedTuple):
    """A cell of a lesson that learners write themselves.

    Attributes:
        number: its place among the exercises of the notebook, from 1 on.
        functions: dotted names of the functions and classes whose bodies are taken out.
        minutes: how long it takes about.
        difficulty: a key of `POINTS`.
        task: what to write, in a sentence or two.
        hints: lines that stand as comments in the emptied body.
        methods: for a class, the methods that are emptied.
    """

    number: int
    functions: list[str]
    minutes: int
    difficulty: str
    task: str
    hints: list[str]
    methods: list[str]

    @property
    def names(self) -> list[str]:
        """The functions' names without their modules."""
        return [name.rpartition(".")[2] for name in self.functions]

    @property
    def title(self) -> str:
        """The names as Markdown."""
        return ", ".join(f"`{name}`" for name in self.names)


def exercises_in(lesson: NotebookNode) -> dict[str, ExerciseCell]:
    """The exercises of a lesson by the ids of their cells.

    Raises:
        CourseError: if the metadata of one are incomplete or wrong.
    """
    cells = [cell for cell in lesson.cells if "exercise" in cell.metadata]
    return {cell.id: read_exercise(cell, number) for number, cell in enumerate(cells, start=1)}


def read_exercise(cell: NotebookNode, number: int) -> ExerciseCell:
    """What the metadata of a cell say about its exercise.

    Raises:
        CourseError: if something is missing or wrong.
    """
    given, included = cell.metadata["exercise"], names_in(cell)
    missing = [key for key in ("minutes", "difficulty", "task", "hints") if not given.get(key)]
    if missing or not included:
        raise CourseError(
            f"An exercise needs {', '.join(missing) or 'an included function'}: {included or cell.source}"
        )
    if given["difficulty"] not in POINTS:
        raise CourseError(f"{included[0]}: the difficulty is {given['difficulty']!r}; there are {', '.join(POINTS)}.")
    defined = {node.name for node in ast.parse(cell.source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    functions = [name for name in included if name.rpartition(".")[2] in defined]
    methods = list(given.get("methods", ()))
    return ExerciseCell(
        number, functions, given["minutes"], given["difficulty"], given["task"], list(given["hints"]), methods
    )


def emptied(name: str, lines: list[str]) -> list[str]:
    """What stands in the place of a body, for learners."""
    return [f'raise NotImplementedError("Write {name} here, in place of this line.")']


def marked(name: str, lines: list[str]) -> list[str]:
    """A body between the marks at which nbgrader cuts it out for students."""
    return ["### BEGIN SOLUTION", *lines, "### END SOLUTION"]


def with_bodies(source: str, exercise: ExerciseCell, change: Callable[[str, list[str]], list[str]]) -> str:
    """The source of an exercise's cell with each body put through `change`; the hints stand above the first one.

    Raises:
        CourseError: if a method is missing, or a body does not stand on lines of its own.
    """
    lines, functions = source.splitlines(), _functions_to_write(ast.parse(source), exercise)
    for name, node in reversed(list(functions.items())):
        has_docstring = ast.get_docstring(node, clean=False) is not None
        statements = node.body[has_docstring:]
        if not statements or statements[0].lineno == node.lineno:
            raise CourseError(f"{name} has no body on lines of its own that could be taken out.")
        first = (node.body[0].end_lineno or 0) if has_docstring else statements[0].lineno - 1
        last, indent = node.end_lineno or 0, " " * statements[0].col_offset
        body = change(name, [line.removeprefix(indent) for line in lines[first:last]])
        if name == next(iter(functions)):
            body = [*(f"# {hint}" for hint in exercise.hints), *body]
        lines[first:last] = [indent + line if line else "" for line in body]
    return "\n".join(lines)


def _functions_to_write(tree: ast.Module, exercise: ExerciseCell) -> dict[str, ast.FunctionDef]:
    """The functions and methods of an exercise, in the order of the source."""
    functions = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in exercise.names:
            functions[node.name] = node
        elif isinstance(node, ast.ClassDef) and node.name in exercise.names:
            methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
            if not exercise.methods or not set(exercise.methods) <= set(methods):
                raise CourseError(f"{node.name} does not have the methods of its exercise: {exercise.methods}.")
            functions |= {f"{node.name}.{name}": methods[name] for name in exercise.methods}
    return functions


def exercise_cells(
    cell: NotebookNode, exercise: ExerciseCell, count: int, level: int, change: Callable
) -> list[NotebookNode]:
    """The cells of an exercise, in the place of a lesson's: task, function, the course's own, check.

    nbgrader grades the check; the course's own function is commented out, in a cell that is folded.
    """
    number, name = exercise.number, "_".join(exercise.names)
    heading = f"{'#' * level} Exercise {number} of {count}: {exercise.title}"
    task = f"{heading}\n\nAbout {exercise.minutes} minutes, {exercise.difficulty}. {exercise.task}"
    imports = [f"# from {path.rpartition('.')[0]} import {path.rpartition('.')[2]}" for path in exercise.functions]
    lines = "the next line" if len(imports) == 1 else "the next lines"
    stuck = f"# @title Stuck? Use the reference\n# Take the # away from {lines} and run this cell and the check."
    stuck = "\n".join([stuck, *imports])
    check = f"from utils.check import check\n\ncheck({', '.join(exercise.names)})"
    graded = {"grade": True, "points": POINTS[exercise.difficulty], "locked": True, "solution": False}
    written = {"grade": False, "locked": False, "solution": True}
    common = {"schema_version": 3, "task": False}
    cell.source = with_bodies(cell.source, exercise, change)
    del cell.metadata["exercise"]
    cell.metadata["nbgrader"] = {**written, "grade_id": name, **common}
    folded = {"cellView": "form", "jupyter": {"source_hidden": True}}
    nbgrader = {"nbgrader": {**graded, "grade_id": f"check_{name}", **common}}
    return [
        new_markdown_cell(task, id=f"exercise-{number}"),
        cell,
        new_code_cell(stuck, id=f"stuck-{number}", metadata=folded),
        new_code_cell(check, id=f"check-{number}", metadata=nbgrader),
    ]


def moved_links(text: str, here: Sequence[str]) -> str:
    """Markdown of a lesson as it must stand in a folder that is two levels deep.

    Args:
        text: Markdown of a notebook in `notebooks/`.
        here: names of the notebooks that have an exercise copy, which stands beside this one.
    """

    def moved(match: re.Match) -> str:
        path = PurePosixPath(posixpath.normpath(posixpath.join("notebooks", match[2])))
        beside = path.parent.name == "notebooks" and path.stem in here
        return match[1] + (path.name if beside else f"../../{path}")

    return _LINK.sub(moved, text)


def make_copy(
    name: str, lesson: NotebookNode, exercises: dict[str, ExerciseCell], change: Callable, here: Sequence[str]
) -> NotebookNode:
    """A lesson as an exercise notebook.

    Args:
        name: the lesson's name.
        lesson: the lesson; it stays as it is.
        exercises: its exercises by the ids of their cells.
        change: `emptied` or `marked`.
        here: names of all notebooks that have an exercise copy.
    """
    made = copy.deepcopy(lesson)
    normalise(made)
    set_first_cells(made, LEARNERS / f"{name}.ipynb")
    cells, level = [], 1
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = moved_links(cell.source, here)
            level = len((_HEADING.findall(cell.source) or ["#" * level])[-1])
            if cell.source.startswith("## Recap"):
                cells += _progress_cells(name)
        else:
            _clear(cell)
        if cell.id in exercises:
            cells += exercise_cells(cell, exercises[cell.id], len(exercises), level + 1, change)
        else:
            cells.append(cell)
    cells[0].source = re.sub(r"^(# .+)$", r"\1: exercises", cells[0].source, count=1, flags=re.MULTILINE)
    minutes = sum(exercise.minutes for exercise in exercises.values())
    opening = (_TEXTS / "exercises_opening.md").read_text(encoding="utf-8").strip()
    opening = opening.format(notebook=name, count=len(exercises), minutes=minutes)
    made.cells = [cells[0], new_markdown_cell(opening, id="exercises-opening"), *cells[1:]]
    return made


def _clear(cell: NotebookNode) -> None:
    """Take out of a code cell what it was executed to, and the tags of outputs that tests compare."""
    cell.outputs, cell.execution_count = [], None
    if tags_of(cell) & COMPARED.keys():
        cell.metadata.tags = [tag for tag in cell.metadata.tags if tag not in COMPARED]
        if not cell.metadata.tags:
            del cell.metadata["tags"]


def _progress_cells(notebook: str) -> list[NotebookNode]:
    """Heading and cell that show how far the learner is."""
    text = "## How far you are\n\nWhat was right once stays done, also when you come back tomorrow."
    code = f'from utils.check import show_progress\n\nshow_progress("{notebook}")'
    return [new_markdown_cell(text, id="exercises-progress"), new_code_cell(code, id="exercises-progress-list")]


def index_text(exercises: dict[str, dict[str, ExerciseCell]]) -> str:
    """The page that lists all exercises, above the open challenges."""
    rows = [
        f"| [{name}]({name}.ipynb) | {exercise.title} | {exercise.minutes} | {exercise.difficulty} |"
        for name, cells in exercises.items()
        for exercise in cells.values()
    ]
    table = "\n".join(["| notebook | exercise | minutes | difficulty |", "| --- | --- | --- | --- |", *rows])
    minutes = sum(exercise.minutes for cells in exercises.values() for exercise in cells.values())
    text = (_TEXTS / "exercises_readme.md").read_text(encoding="utf-8")
    return text.format(index=table, notebooks=len(exercises), count=len(rows), minutes=minutes)


def exercise_files(root: Path = REPOSITORY) -> dict[Path, str]:
    """Path and text of all files that the exercise folders should hold.

    Raises:
        CourseError: if a lesson cannot be read, or the metadata of an exercise are wrong.
    """
    lessons = {path.stem: read_notebook(path) for path in find_notebooks(root / "notebooks")}
    exercises = {}
    files = {}
    try:
        for name, lesson in lessons.items():
            if cells := exercises_in(lesson):
                exercises[name] = cells
        for name, cells in exercises.items():
            for folder, change in ((LEARNERS, emptied), (INSTRUCTORS, marked)):
                made = make_copy(name, lessons[name], cells, change, tuple(exercises))
                files[root / folder / f"{name}.ipynb"] = notebook_text(made)
    except CourseError as error:
        raise CourseError(f"{name}.ipynb: {error}") from error
    files[root / LEARNERS / "README.md"] = index_text(exercises)
    return files


def outdated_files(root: Path = REPOSITORY) -> dict[Path, str | None]:
    """The files that differ from what they should be or are missing, with the right text; None for superfluous ones."""
    files = exercise_files(root)
    outdated: dict[Path, str | None] = {
        path: text for path, text in files.items() if not path.is_file() or path.read_bytes() != text.encode()
    }
    present = (path for folder in (LEARNERS, INSTRUCTORS) for path in sorted((root / folder).glob("*.ipynb")))
    return outdated | {path: None for path in present if path not in files}


def main(arguments: Sequence[str] | None = None, root: Path = REPOSITORY) -> int:
    """Write the exercise notebooks, or check them; the result is the exit status."""
    return update_or_check(__doc__, lambda: outdated_files(root), root, arguments)


if __name__ == "__main__":
    sys.exit(main())
