"""What becomes of the cells of a lesson in an exercise notebook: emptied functions, checks, moved links."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from say_what_you_see.core.errors import CourseError
from tools.include_lessons import names_in

POINTS = {"easy": 1, "medium": 2, "hard": 3}
"""What nbgrader gives for an exercise of each difficulty."""

_OPENING_TEXT = Path(__file__).with_name("exercises_opening.md")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LINK = re.compile(r"""(\]\(\s*|\b(?:src|href)=["']|^\[[^\]\n]+\]:\s*)(?![a-z+.-]+:|[#/])([^\s"')#?]+)""", re.M)


@dataclass(frozen=True)
class ExerciseCell:
    """A cell of a lesson that learners write themselves.

    Attributes:
        number: its place among the exercises of the notebook, from 1 on.
        functions: dotted names of the functions and classes whose bodies are taken out.
        minutes: how long it takes about.
        difficulty: a key of `POINTS`.
        task: what to write, in a sentence or two.
        hints: lines that stand as comments in the emptied body.
        methods: for a class, the methods that are emptied; all but `__init__` where it is None.
    """

    number: int
    functions: tuple[str, ...]
    minutes: int
    difficulty: str
    task: str
    hints: tuple[str, ...]
    methods: tuple[str, ...] | None

    @property
    def names(self) -> tuple[str, ...]:
        """The functions' names without their modules."""
        return tuple(name.rpartition(".")[2] for name in self.functions)

    @property
    def grade_id(self) -> str:
        """The name that nbgrader knows the cell by."""
        return "_".join(self.names)

    @property
    def title(self) -> str:
        """The names as Markdown."""
        return ", ".join(f"`{name}`" for name in self.names)


def read_exercise(cell: NotebookNode, number: int) -> ExerciseCell | None:
    """What the metadata of a cell say about its exercise; None for a cell that is none.

    Raises:
        CourseError: if something is missing or cannot be.
    """
    if "exercise" not in cell.metadata:
        return None
    facts, included = cell.metadata["exercise"], names_in(cell)
    missing = [key for key in ("minutes", "difficulty", "task", "hints") if not facts.get(key)]
    if missing or not included:
        raise CourseError(
            f"An exercise needs {', '.join(missing) or 'an included function'}: {included or cell.source}"
        )
    if facts["difficulty"] not in POINTS:
        raise CourseError(f"{included[0]}: the difficulty is {facts['difficulty']!r}; there are {', '.join(POINTS)}.")
    wanted = facts.get("functions") or [name.rpartition(".")[2] for name in included if not _is_constant(cell, name)]
    functions = tuple(name for name in included if name.rpartition(".")[2] in wanted)
    if len(functions) != len(wanted):
        raise CourseError(f"An exercise asks for {', '.join(wanted)}, and the cell includes {', '.join(included)}.")
    methods = tuple(facts["methods"]) if "methods" in facts else None
    hints = tuple(facts["hints"])
    return ExerciseCell(number, functions, facts["minutes"], facts["difficulty"], facts["task"], hints, methods)


def _is_constant(cell: NotebookNode, name: str) -> bool:
    names = {node.name for node in ast.parse(cell.source).body if isinstance(node, _DEFINITIONS)}
    return name.rpartition(".")[2] not in names


@dataclass(frozen=True)
class _Body:
    """The lines that a learner is to write: from `first` to `last`, counted from 0, the latter not included."""

    name: str
    first: int
    last: int
    indent: str


def emptied(source: str, exercise: ExerciseCell) -> str:
    """The source with signatures and docstrings; where the bodies were stand hints, and an error is raised."""

    def empty(body: _Body, lines: list[str]) -> list[str]:
        return [f'raise NotImplementedError("Write {body.name} here, in place of this line.")']

    return _with_bodies(source, exercise, empty)


def marked(source: str, exercise: ExerciseCell) -> str:
    """The source with its bodies between the marks at which nbgrader cuts them out for students."""

    def mark(body: _Body, lines: list[str]) -> list[str]:
        cut = len(body.indent)
        return ["### BEGIN SOLUTION", *(line[cut:] for line in lines), "### END SOLUTION"]

    return _with_bodies(source, exercise, mark)


def _with_bodies(source: str, exercise: ExerciseCell, change: Callable[[_Body, list[str]], list[str]]) -> str:
    """The source with each body put through `change`, below the hints, which stand in the first body."""
    lines = source.splitlines()
    for position, body in reversed(list(enumerate(_bodies(source, exercise)))):
        hints = [f"# {hint}" for hint in exercise.hints] if position == 0 else []
        new = [*hints, *change(body, lines[body.first : body.last])]
        lines[body.first : body.last] = [body.indent + line if line else "" for line in new]
    return "\n".join(lines)


def _bodies(source: str, exercise: ExerciseCell) -> list[_Body]:
    """The bodies to be written, in the order of the source."""
    lines, found = source.splitlines(), []
    for node in ast.parse(source).body:
        if not isinstance(node, _DEFINITIONS) or node.name not in exercise.names:
            continue
        if not isinstance(node, ast.ClassDef):
            found.append(_body(node, node.name, lines))
            continue
        methods = [item for item in node.body if isinstance(item, _DEFINITIONS[:2])]
        chosen = [item for item in methods if _is_wanted(item.name, exercise.methods)]
        if not chosen or (exercise.methods and len(chosen) != len(exercise.methods)):
            raise CourseError(f"The class {node.name} has not all of the methods {exercise.methods} of its exercise.")
        found += [_body(item, f"{node.name}.{item.name}", lines) for item in chosen]
    return found


def _is_wanted(method: str, methods: Sequence[str] | None) -> bool:
    return method in methods if methods is not None else method != "__init__"


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, lines: Sequence[str]) -> _Body:
    """The body of a function below its docstring."""
    has_docstring = ast.get_docstring(node, clean=False) is not None
    statements = node.body[1:] if has_docstring else node.body
    if not statements or statements[0].lineno == node.lineno:
        raise CourseError(f"{name} has no body on lines of its own that could be taken out.")
    start = statements[0].lineno - 1
    decorators = getattr(statements[0], "decorator_list", [])
    start = min([start, *(decorator.lineno - 1 for decorator in decorators)])
    while lines[start - 1].lstrip().startswith("#"):
        start -= 1  # comments above the first statement belong to the body
    begin = node.body[0].end_lineno if has_docstring else start
    return _Body(name, begin or start, node.end_lineno or start, " " * statements[0].col_offset)


def introduction(exercise: ExerciseCell, count: int, level: int) -> NotebookNode:
    """The cell above an exercise: which it is, how long it takes, what to write."""
    heading = f"{'#' * level} Exercise {exercise.number} of {count}: {exercise.title}"
    facts = f"About {exercise.minutes} minutes, {exercise.difficulty}."
    return _markdown(f"exercise-{exercise.number}", f"{heading}\n\n{facts} {exercise.task}")


def stuck_cell(exercise: ExerciseCell) -> NotebookNode:
    """The folded cell that brings in the course's own function, once its last lines lose their marks."""
    imports = [f"# from {name.rpartition('.')[0]} import {name.rpartition('.')[2]}" for name in exercise.functions]
    lines = "the next line" if len(imports) == 1 else "the next lines"
    text = f"# @title Stuck? Use the reference\n# Take the # away from {lines} and run this cell and the check."
    folded = {"cellView": "form", "jupyter": {"source_hidden": True}}
    return _code(f"stuck-{exercise.number}", "\n".join([text, *imports]), folded)


def check_cell(exercise: ExerciseCell) -> NotebookNode:
    """The cell that checks an exercise; nbgrader grades it."""
    grading = {"grade": True, "points": POINTS[exercise.difficulty], "locked": True, "solution": False}
    metadata = {"nbgrader": _grading(f"check_{exercise.grade_id}", grading)}
    return _code(
        f"check-{exercise.number}", f"from utils.check import check\n\ncheck({', '.join(exercise.names)})", metadata
    )


def solution_metadata(exercise: ExerciseCell) -> dict:
    """What nbgrader wants to know of a cell that students write."""
    return _grading(exercise.grade_id, {"grade": False, "locked": False, "solution": True})


def _grading(grade_id: str, facts: dict) -> dict:
    return {**facts, "grade_id": grade_id, "schema_version": 3, "task": False}


def _markdown(name: str, source: str, metadata: dict | None = None) -> NotebookNode:
    cell = new_markdown_cell(source, metadata=metadata or {})
    cell.id = name
    return cell


def _code(name: str, source: str, metadata: dict | None = None) -> NotebookNode:
    cell = new_code_cell(source, metadata=metadata or {})
    cell.id = name
    return cell


def progress_cells(notebook: str) -> list[NotebookNode]:
    """Heading and cell that show how far the learner is."""
    text = "## How far you are\n\nWhat was right once stays done, also when you come back tomorrow."
    code = f'from utils.check import show_progress\n\nshow_progress("{notebook}")'
    return [_markdown("exercises-progress", text), _code("exercises-progress-list", code)]


def opening_cell(notebook: str, exercises: Sequence[ExerciseCell]) -> NotebookNode:
    """What a learner must know before the first exercise."""
    minutes = sum(exercise.minutes for exercise in exercises)
    text = _OPENING_TEXT.read_text(encoding="utf-8").strip()
    return _markdown("exercises-opening", text.format(notebook=notebook, count=len(exercises), minutes=minutes))


def moved_links(text: str, notebook: str, here: Sequence[str], folder: str = "notebooks/exercises") -> str:
    """Markdown of a lesson as it must stand in a folder that is two levels deep.

    Args:
        text: Markdown of a notebook in `notebooks/`.
        notebook: the name of that notebook.
        here: names of the notebooks that have an exercise copy, which stands beside this one.
        folder: where the copies for learners are.
    """

    def moved(match: re.Match) -> str:
        path = posixpath.normpath(posixpath.join("notebooks", match[2]))
        if posixpath.dirname(path) == "notebooks" and path.removesuffix(".ipynb").rpartition("/")[2] in here:
            return match[1] + posixpath.basename(path)
        return f"{match[1]}../../{path}"

    return _LINK.sub(moved, text).replace(f"/notebooks/{notebook}.ipynb", f"/{folder}/{notebook}.ipynb")
