"""Make the exercise notebooks from the lessons: `python -m tools.make_exercises`.

A cell of a lesson that includes code becomes an exercise by its metadata, as in `"exercise": {"minutes": 5,
"difficulty": "easy", "task": "...", "hints": ["..."]}`; for a class, `"methods"` names the methods to be written.
Learners get the function without its body (`notebooks/exercises/`), instructors with the body between nbgrader's marks
(`instructors/solutions/`). The same lessons give the same bytes. With `--check` nothing is written: files that differ
are listed, and the exit status is 1.
"""

import ast
import copy
import posixpath
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
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

LEARNERS, INSTRUCTORS = PurePosixPath("notebooks", "exercises"), PurePosixPath("instructors", "solutions")
"""Where in the repository the copies for learners go, and those with solutions."""

POINTS = {"easy": 1, "medium": 2, "hard": 3}  # what nbgrader gives for an exercise
_TEXTS = Path(__file__).parent
_HEADING = re.compile(r"^(#{1,6}) ", re.MULTILINE)
_LINK = re.compile(r"""(\]\(\s*|\b(?:src|href)=["']|^\[[^\]\n]+\]:\s*)(?![a-z+.-]+:|[#/])([^\s"')#?]+)""", re.M)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def exercises_in(lesson: NotebookNode) -> list[NotebookNode]:
    """The cells of a lesson that learners write themselves."""
    return [cell for cell in lesson.cells if "exercise" in cell.metadata]


def functions_in(cell: NotebookNode) -> dict[str, str]:
    """The functions and classes whose bodies an exercise leaves out: full names and names without the module."""
    defined = {getattr(node, "name", None) for node in ast.parse(cell.source).body}  # constants have no name
    names = {name: name.rpartition(".")[2] for name in names_in(cell)}
    return {path: name for path, name in names.items() if name in defined}


def emptied(name: str, lines: list[str]) -> list[str]:
    """What learners see instead of a body."""
    return [f'raise NotImplementedError("Write {name} here, in place of this line.")']


def marked(name: str, lines: list[str]) -> list[str]:
    """A body between the marks by which nbgrader cuts it out for students."""
    return ["### BEGIN SOLUTION", *lines, "### END SOLUTION"]


def with_bodies(cell: NotebookNode, change: Callable[[str, list[str]], list[str]]) -> str:
    """The source of an exercise's cell with `change` applied to each body; the hints go above the first one."""
    lines, hints = cell.source.splitlines(), [f"# {hint}" for hint in cell.metadata.exercise.hints]
    functions = _functions_to_write(cell)
    for name, node in reversed(functions.items()):
        has_docstring = ast.get_docstring(node, clean=False) is not None
        first = node.body[0].end_lineno if has_docstring else node.body[0].lineno - 1
        indent = " " * node.body[-1].col_offset
        body = change(name, [line.removeprefix(indent) for line in lines[first : node.end_lineno]])
        body = [*hints, *body] if name == next(iter(functions)) else body
        lines[first : node.end_lineno] = [indent + line if line else "" for line in body]
    return "\n".join(lines)


def _functions_to_write(cell: NotebookNode) -> dict[str, ast.FunctionDef]:
    """An exercise's functions, and the methods of its classes that are to be written, in the order of the source."""
    functions, names = {}, functions_in(cell).values()
    for node in ast.parse(cell.source).body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            functions[node.name] = node
        elif isinstance(node, ast.ClassDef) and node.name in names:
            methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
            functions |= {f"{node.name}.{name}": methods[name] for name in cell.metadata.exercise.methods}
    return functions


def exercise_cells(cell: NotebookNode, number: int, count: int, level: int, change: Callable) -> list[NotebookNode]:
    """The cells of an exercise, which replace a lesson's cell: task, function, the course's own function, check.

    nbgrader grades the check; the course's own function is commented out, in a folded cell.
    """
    functions, facts = functions_in(cell), cell.metadata.exercise
    name, names = "_".join(functions.values()), list(functions.values())
    heading = f"{'#' * level} Exercise {number} of {count}: {_code(names)}"
    task = f"{heading}\n\nAbout {facts.minutes} minutes, {facts.difficulty}. {facts.task}"
    lines = "the next line" if len(names) == 1 else "the next lines"
    stuck = f"# @title Stuck? Use the reference\n# Remove the # from {lines}, then run this cell and the check."
    for path, imported in functions.items():
        stuck += f"\n# from {path.removesuffix(f'.{imported}')} import {imported}"
    check = f"from utils.check import check\n\ncheck({', '.join(names)})"
    written = {"grade_id": name, "grade": False, "locked": False, "solution": True, "task": False, "schema_version": 3}
    points = {"points": POINTS[facts.difficulty]}
    graded = written | points | {"grade_id": f"check_{name}", "grade": True, "locked": True, "solution": False}
    cell.source = with_bodies(cell, change)
    del cell.metadata["exercise"]
    cell.metadata["nbgrader"] = written
    folded = {"cellView": "form", "jupyter": {"source_hidden": True}}
    return [
        new_markdown_cell(task, id=f"exercise-{number}"),
        cell,
        new_code_cell(stuck, id=f"stuck-{number}", metadata=folded),
        new_code_cell(check, id=f"check-{number}", metadata={"nbgrader": graded}),
    ]


def moved_links(text: str, here: Collection[str]) -> str:
    """A lesson's Markdown with its links changed for a folder two levels deep, beside the copies named `here`."""

    def moved(match: re.Match) -> str:
        path = PurePosixPath(posixpath.normpath(posixpath.join("notebooks", match[2])))
        beside = path.parent.name == "notebooks" and path.stem in here
        return match[1] + (path.name if beside else f"../../{path}")

    return _LINK.sub(moved, text)


def make_copy(name: str, lesson: NotebookNode, change: Callable, here: Collection[str]) -> NotebookNode:
    """A lesson as an exercise notebook; `change` is `emptied` or `marked`, `here` names lessons with such a copy."""
    made, _ = ClearOutputPreprocessor(remove_metadata_fields=set()).preprocess(copy.deepcopy(lesson), {})
    normalise(made)
    set_first_cells(made, LEARNERS / f"{name}.ipynb")
    exercises, cells, level, number = exercises_in(lesson), [], 1, 0
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = moved_links(cell.source, here)
            level = len((_HEADING.findall(cell.source) or ["#" * level])[-1])
            if cell.source.startswith("## Recap"):
                cells += _progress_cells(name)
        cell.metadata.tags = [tag for tag in cell.metadata.pop("tags", ()) if tag not in COMPARED]
        if not cell.metadata.tags:
            del cell.metadata["tags"]
        if "exercise" in cell.metadata:
            number += 1
            cells += exercise_cells(cell, number, len(exercises), level + 1, change)
        else:
            cells.append(cell)
    cells[0].source = re.sub(r"^(# .+)$", r"\1: exercises", cells[0].source, count=1, flags=re.MULTILINE)
    minutes = sum(cell.metadata.exercise.minutes for cell in exercises)
    opening = (_TEXTS / "exercises_opening.md").read_text(encoding="utf-8").strip()
    opening = opening.format(notebook=name, count=len(exercises), minutes=minutes)
    made.cells = [cells[0], new_markdown_cell(opening, id="exercises-opening"), *cells[1:]]
    return made


def _progress_cells(notebook: str) -> list[NotebookNode]:
    """The heading and the cell that show the learner's progress."""
    text = "## How far you are\n\nAn exercise that was right once stays done, even when you come back tomorrow."
    code = f'from utils.check import show_progress\n\nshow_progress("{notebook}")'
    return [new_markdown_cell(text, id="exercises-progress"), new_code_cell(code, id="exercises-progress-list")]


def index_text(lessons: dict[str, NotebookNode]) -> str:
    """The page that lists all exercises, followed by the open challenges."""
    rows, minutes = ["| notebook | exercise | minutes | difficulty |", "| --- | --- | --- | --- |"], 0
    for name, cell in [(name, cell) for name, lesson in lessons.items() for cell in exercises_in(lesson)]:
        facts, functions = cell.metadata.exercise, _code(functions_in(cell).values())
        rows.append(f"| [{name}]({name}.ipynb) | {functions} | {facts.minutes} | {facts.difficulty} |")
        minutes += facts.minutes
    text = (_TEXTS / "exercises_readme.md").read_text(encoding="utf-8")
    return text.format(index="\n".join(rows), notebooks=len(lessons), count=len(rows) - 2, minutes=minutes)


def right_files(root: Path) -> dict[Path, str | None]:
    """The text of every file that the exercise folders should contain; None for a file that should not be there."""
    lessons = {path.stem: read_notebook(path) for path in find_notebooks(root / "notebooks")}
    lessons = {name: lesson for name, lesson in lessons.items() if exercises_in(lesson)}
    files: dict[Path, str | None] = {root / LEARNERS / "README.md": index_text(lessons)}
    for folder, change in ((LEARNERS, emptied), (INSTRUCTORS, marked)):
        files |= dict.fromkeys((root / folder).glob("*.ipynb"))
        for name, lesson in lessons.items():
            files[root / folder / f"{name}.ipynb"] = notebook_text(make_copy(name, lesson, change, lessons))
    return files


def main(arguments: Sequence[str] | None = None, root: Path = REPOSITORY) -> int:
    """Write the exercise notebooks, or check them; return the exit status."""
    return update_or_check(__doc__, right_files(root), arguments)


if __name__ == "__main__":
    sys.exit(main())
