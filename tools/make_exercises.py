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
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nbconvert.preprocessors import ClearOutputPreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from tools.include_lessons import set_first_cells
from tools.notebooks import (
    COMPARED,
    REPOSITORY,
    find_notebooks,
    names_in,
    normalise,
    notebook_text,
    read_notebook,
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


@dataclass(frozen=True)
class ExerciseCell:
    """A cell of a lesson that learners write themselves, as its metadata describe it.

    Attributes:
        number: its place among the exercises of the notebook, from 1 on.
        functions: dotted names of the functions and classes whose bodies are taken out.
        hints: lines that stand as comments in the emptied body.
        methods: for a class, the methods that are emptied.
    """

    number: int
    functions: list[str]
    minutes: int
    difficulty: str
    task: str
    hints: list[str]
    methods: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """The functions' names without their modules."""
        return [name.rpartition(".")[2] for name in self.functions]


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def exercises_in(lesson: NotebookNode) -> dict[str, ExerciseCell]:
    """The exercises of a lesson by the ids of their cells."""
    exercises = {}
    for number, cell in enumerate((cell for cell in lesson.cells if "exercise" in cell.metadata), start=1):
        defined = {getattr(node, "name", None) for node in ast.parse(cell.source).body}  # constants have no name
        functions = [name for name in names_in(cell) if name.rpartition(".")[2] in defined]
        exercises[cell.id] = ExerciseCell(number, functions, **cell.metadata["exercise"])
    return exercises


def emptied(name: str, lines: list[str]) -> list[str]:
    """What stands in the place of a body, for learners."""
    return [f'raise NotImplementedError("Write {name} here, in place of this line.")']


def marked(name: str, lines: list[str]) -> list[str]:
    """A body between the marks at which nbgrader cuts it out for students."""
    return ["### BEGIN SOLUTION", *lines, "### END SOLUTION"]


def with_bodies(source: str, exercise: ExerciseCell, change: Callable[[str, list[str]], list[str]]) -> str:
    """The source of an exercise's cell with each body put through `change`; the hints stand above the first one."""
    lines, functions = source.splitlines(), _functions_to_write(ast.parse(source), exercise)
    for name, node in reversed(list(functions.items())):
        has_docstring = ast.get_docstring(node, clean=False) is not None
        first = node.body[0].end_lineno if has_docstring else node.body[0].lineno - 1
        indent = " " * node.body[-1].col_offset
        body = change(name, [line.removeprefix(indent) for line in lines[first : node.end_lineno]])
        if name == next(iter(functions)):
            body = [*(f"# {hint}" for hint in exercise.hints), *body]
        lines[first : node.end_lineno] = [indent + line if line else "" for line in body]
    return "\n".join(lines)


def _functions_to_write(tree: ast.Module, exercise: ExerciseCell) -> dict[str, ast.FunctionDef]:
    """The functions and methods of an exercise, in the order of the source."""
    functions = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in exercise.names:
            functions[node.name] = node
        elif isinstance(node, ast.ClassDef) and node.name in exercise.names:
            methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
            functions |= {f"{node.name}.{name}": methods[name] for name in exercise.methods}
    return functions


def exercise_cells(
    cell: NotebookNode, exercise: ExerciseCell, count: int, level: int, change: Callable
) -> list[NotebookNode]:
    """The cells of an exercise, in the place of a lesson's: task, function, the course's own, check.

    nbgrader grades the check; the course's own function is commented out, in a cell that is folded.
    """
    number, name = exercise.number, "_".join(exercise.names)
    heading = f"{'#' * level} Exercise {number} of {count}: {_code(exercise.names)}"
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


def moved_links(text: str, here: Collection[str]) -> str:
    """Markdown of a lesson as it must stand in a folder that is two levels deep, beside the copies named `here`."""

    def moved(match: re.Match) -> str:
        path = PurePosixPath(posixpath.normpath(posixpath.join("notebooks", match[2])))
        beside = path.parent.name == "notebooks" and path.stem in here
        return match[1] + (path.name if beside else f"../../{path}")

    return _LINK.sub(moved, text)


def make_copy(
    name: str, lesson: NotebookNode, exercises: dict[str, ExerciseCell], change: Callable, here: Collection[str]
) -> NotebookNode:
    """A lesson as an exercise notebook; `change` is `emptied` or `marked`, `here` names all that have such a copy."""
    made, _ = ClearOutputPreprocessor(remove_metadata_fields=set()).preprocess(copy.deepcopy(lesson), {})
    normalise(made)
    set_first_cells(made, LEARNERS / f"{name}.ipynb")
    cells, level = [], 1
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = moved_links(cell.source, here)
            level = len((_HEADING.findall(cell.source) or ["#" * level])[-1])
            if cell.source.startswith("## Recap"):
                cells += _progress_cells(name)
        cell.metadata.tags = [tag for tag in cell.metadata.pop("tags", ()) if tag not in COMPARED]
        if not cell.metadata.tags:
            del cell.metadata["tags"]
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


def _progress_cells(notebook: str) -> list[NotebookNode]:
    """Heading and cell that show how far the learner is."""
    text = "## How far you are\n\nWhat was right once stays done, also when you come back tomorrow."
    code = f'from utils.check import show_progress\n\nshow_progress("{notebook}")'
    return [new_markdown_cell(text, id="exercises-progress"), new_code_cell(code, id="exercises-progress-list")]


def index_text(exercises: dict[str, dict[str, ExerciseCell]]) -> str:
    """The page that lists all exercises, above the open challenges."""
    rows = [
        f"| [{name}]({name}.ipynb) | {_code(exercise.names)} | {exercise.minutes} | {exercise.difficulty} |"
        for name, cells in exercises.items()
        for exercise in cells.values()
    ]
    table = "\n".join(["| notebook | exercise | minutes | difficulty |", "| --- | --- | --- | --- |", *rows])
    minutes = sum(exercise.minutes for cells in exercises.values() for exercise in cells.values())
    text = (_TEXTS / "exercises_readme.md").read_text(encoding="utf-8")
    return text.format(index=table, notebooks=len(exercises), count=len(rows), minutes=minutes)


def right_files(root: Path) -> dict[Path, str | None]:
    """The text of every file that the exercise folders should hold; None for a superfluous one."""
    lessons = {path.stem: read_notebook(path) for path in find_notebooks(root / "notebooks")}
    exercises = {name: cells for name, lesson in lessons.items() if (cells := exercises_in(lesson))}
    files: dict[Path, str | None] = {root / LEARNERS / "README.md": index_text(exercises)}
    for folder, change in ((LEARNERS, emptied), (INSTRUCTORS, marked)):
        files |= dict.fromkeys((root / folder).glob("*.ipynb"))
        for name, cells in exercises.items():
            made = make_copy(name, lessons[name], cells, change, exercises)
            files[root / folder / f"{name}.ipynb"] = notebook_text(made)
    return files


def main(arguments: Sequence[str] | None = None, root: Path = REPOSITORY) -> int:
    """Write the exercise notebooks, or check them; the result is the exit status."""
    return update_or_check(__doc__, right_files(root), arguments)


if __name__ == "__main__":
    sys.exit(main())
