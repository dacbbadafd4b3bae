"""`check(your_function)` says whether an exercise is right, and if not, what is wrong: offline and at once.

The learner's function and the course's run on the same cases. Progress is kept in `exercises.json` in the course's
data folder, for `show_progress`.
"""

from __future__ import annotations

import inspect
import linecache
import re
import textwrap
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.core.settings import read_settings
from say_what_you_see.exercises.compare import Properties, copy_of, first_difference, short, shorten
from say_what_you_see.exercises.exercise import MODULES, Cases, Exercise, Mistake, exercises_of


class CheckFailed(CourseError):
    """An exercise is not right yet. The report has been printed by then, so a notebook only shows this line."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows instead of a traceback: the report already quotes the learner's own line."""
        return textwrap.wrap(f"CheckFailed: {self}", width=80)  # nbgrader cuts longer lines


@dataclass(frozen=True)
class Outcome:
    """What a function did with a case: the value it returned, the error it raised, the argument it changed."""

    value: Any = None
    error: BaseException | None = None
    changed: str = ""

    def __str__(self) -> str:
        """A value, or "the error KeyError: 'kite'"."""
        if self.error is None:
            return short(self.value)
        message = " ".join(re.sub("\x1b\\[[0-9;]*m", "", str(self.error)).split())  # Keras prints in bold
        return f"the error {type(self.error).__name__}" + (f": {shorten(message)}" if message else "")

    def equals(self, other: Outcome) -> bool:
        """Whether two functions did the same: returned the same value, or raised an error of the same type."""
        if self.error is not None or other.error is not None:
            return self.error is not None and isinstance(other.error, type(self.error))
        return self.changed == other.changed and first_difference(self.value, other.value) is None


def check(*candidates: Callable) -> int | None:
    """Try a learner's functions or classes on all cases of their exercises, and print the result.

    Args:
        candidates: one or several, under the names that they have in the notebook.

    Returns:
        None if they are right. 0 if one of them is the course's own, which nbgrader reads as no points.

    Raises:
        CheckFailed: if one is not right; the report has been printed. Also if no exercise has this name.
    """
    learners = [_check_one(find_exercise(candidate), candidate) for candidate in candidates]
    return None if all(learners) else 0


def _check_one(exercise: Exercise, candidate: Callable) -> bool:
    """Check one candidate; returns whether it is the learner's, and not the course's own."""
    name = exercise.name
    if candidate is exercise.reference:
        print(f"{name}: this is the course's own version, which earns no points. You can go on with the notebook.")
        return False
    cases = _cases(exercise)
    try:
        for case in cases:
            outcome = _run(exercise, case, candidate)
            if not _course_outcome(exercise, exercise.reference, case).equals(outcome):
                _explain(exercise, case, outcome, candidate)
    except KeyboardInterrupt:
        raise CheckFailed(f"{name} was stopped. Does it contain a loop that never ends?") from None
    _keep_progress(exercise, Progress(done=True))
    drawn = sum(case.startswith("random") for case in cases)
    print(f"{name}: right. {len(cases)} cases, {drawn} of them random.")
    return True


def show_progress(notebook: str) -> None:
    """Print how many exercises of a notebook are done, and which; a CourseError if it has none."""
    done = {exercise.name: _progress_of(exercise).done for exercise in exercises_of(notebook)}
    print(f"{sum(done.values())} of {len(done)} done")
    for name, is_done in done.items():
        print(f"  {'done' if is_done else 'open'}  {name}")


def find_exercise(candidate: Callable) -> Exercise:
    """The exercise that a function or class belongs to, by its name.

    Raises:
        CheckFailed: if there is none.
    """
    name = getattr(candidate, "__name__", None)
    if not callable(candidate) or name is None:
        raise CheckFailed(f"check takes a function, without brackets after its name, but got {short(candidate, 60)}.")
    names = []
    for notebook in MODULES:  # one module at a time: those of later notebooks import Keras
        for exercise in exercises_of(notebook):
            if exercise.name == name:
                return exercise
            names.append(exercise.name)
    raise CheckFailed(f"There is no exercise {name!r}. Keep the function's name, one of: {', '.join(names)}.")


@cache
def _cases(exercise: Exercise) -> Cases:
    """An exercise's cases; the random ones are the same at every try, so that a learner can follow one."""
    return exercise.cases(np.random.default_rng(0))


@cache
def _course_outcome(exercise: Exercise, function: Callable, case: str) -> Outcome:
    """What the course's function, or a typical mistake, does with a case: always the same."""
    return _run(exercise, case, function)


def _run(exercise: Exercise, case: str, function: Callable) -> Outcome:
    """Call a function with copies of a case's arguments, and see whether it changes them."""
    arguments = _named_arguments(exercise, case)
    copies = copy_of(arguments.values())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbgrader treats output to stderr as a failure
            value = exercise.observe(function, *copies) if exercise.observe else function(*copies)
    except (Exception, SystemExit) as error:
        return Outcome(error=error)
    for (name, before), after in zip(arguments.items(), copies, strict=True):
        if first_difference(before, after, 0.0):
            return Outcome(value=value, changed=name)
    return Outcome(value=value)


def _named_arguments(exercise: Exercise, case: str) -> dict[str, Any]:
    """A case's arguments by the names that the signature gives them."""
    names = list(inspect.signature(exercise.observe or exercise.reference).parameters)[bool(exercise.observe) :]
    if names == ["arguments"]:  # `observe` passes them on unchanged
        names = list(inspect.signature(exercise.reference).parameters)
    return dict(zip(names, _cases(exercise)[case], strict=False))


def _explain(exercise: Exercise, case: str, outcome: Outcome, candidate: Callable) -> NoReturn:
    """Print a report on what is wrong with a case, and raise the error."""
    name, cases = exercise.name, list(_cases(exercise))
    if isinstance(outcome.error, NotImplementedError):
        raise CheckFailed(f"{name} is not written yet. It raises NotImplementedError: {outcome.error}")
    mistake = _recognise(exercise, candidate)
    where = f"case {cases.index(case) + 1} of {len(cases)}"
    print(f"{name}: not right yet. {where.capitalize()}: {case}.\n")
    values = _named_arguments(exercise, case).items()
    print("\n".join(f"  {argument} = {short(value)}" for argument, value in values) + "\n")
    print("\n".join(_difference_lines(exercise, case, outcome, candidate)))
    if mistake:
        print(f"\nWhat seems to be wrong: {mistake.name}.")
    if isinstance(outcome.error, NameError):
        print("\nThat name is not known: has the cell above that defines or imports it been run?")
    else:
        print(_next_hint(exercise, mistake))
    raise CheckFailed(f"{name} is not right yet: {mistake.name if mistake else f'{where}, {case}'}.")


def _recognise(exercise: Exercise, candidate: Callable) -> Mistake | None:
    """The mistake that does the same as the candidate in every case."""
    outcomes = {case: _run(exercise, case, candidate) for case in _cases(exercise)}

    def same(mistake: Mistake) -> bool:
        return all(_course_outcome(exercise, mistake.wrong, case).equals(own) for case, own in outcomes.items())

    return next(filter(same, exercise.mistakes), None)


def _difference_lines(exercise: Exercise, case: str, outcome: Outcome, candidate: Callable) -> list[str]:
    """What was expected and received, and where they first differ, unless that is the results as a whole."""
    wanted = _course_outcome(exercise, exercise.reference, case)
    both = [f"  expected  {wanted}", f"  received  {outcome}"]
    if outcome.error is not None:
        return both[wanted.error is None :] + _learners_line(outcome.error, candidate)
    if wanted.error is not None:
        return both
    if outcome.changed:
        return [f"It changes its argument {outcome.changed}, which belongs to the caller. Work on a copy."]
    first = first_difference(wanted.value, outcome.value)
    assert first is not None
    if isinstance(wanted.value, Properties):
        expected, received = (wanted.value.line(first.where, text) for text in (first.expected, first.received))
        return [f"  expected  {expected}", f"  received  {received}"]
    if first.where:
        place = f"  The first difference is at result{first.where}: "
        return [*both, f"{place}expected {first.expected}, received {first.received}."]
    nothing = ["  Nothing is returned. Does every path through the function end in a return?"] * (outcome.value is None)
    return [f"  expected  {first.expected}", f"  received  {first.received}", *nothing]


def _learners_line(error: BaseException, candidate: Callable) -> list[str]:
    """The line of the learner's code that an error came from."""
    members = vars(candidate).values() if inspect.isclass(candidate) else [inspect.unwrap(candidate)]
    files = {member.__code__.co_filename for member in members if hasattr(member, "__code__")}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    if not frames:
        return []
    line = linecache.getline(frames[-1].filename, frames[-1].lineno or 0).strip()
    return [f"  The error came from line {frames[-1].lineno} of your code" + (f": {line}" if line else "")]


def _next_hint(exercise: Exercise, mistake: Mistake | None) -> str:
    """The hint for a mistake; the exercise's next one if there is none, or if the mistake is made again."""
    progress = _progress_of(exercise)
    about_mistake = f"\nHint: {mistake.hint}" if mistake else ""
    if mistake and mistake.name != progress.mistake:
        _keep_progress(exercise, replace(progress, mistake=mistake.name))
        return about_mistake
    total = len(exercise.hints)
    given = min(progress.hints + 1, total)
    _keep_progress(exercise, replace(progress, hints=given, mistake=mistake.name if mistake else ""))
    end = "\nThere are no more hints. The folded cell above has the course's code." if given == progress.hints else ""
    return f"{about_mistake}\nHint {given} of {total}: {exercise.hints[given - 1]}{end}"


@dataclass(frozen=True)
class Progress:
    """How far a learner has got with one exercise."""

    done: bool = False  # whether it was right once
    hints: int = 0  # how many hints have been given since
    mistake: str = ""  # the mistake that was recognised last


def _progress_of(exercise: Exercise) -> Progress:
    """How far a learner has got with an exercise; what is missing or damaged counts as not begun."""
    try:
        return Progress(**_kept_progress()[exercise.notebook][exercise.name])
    except (LookupError, TypeError):
        return Progress()


def _keep_progress(exercise: Exercise, progress: Progress) -> None:
    """Save how far a learner has got; what was done once stays done. If saving fails, say so and go on."""
    kept, done = _kept_progress(), progress.done or _progress_of(exercise).done
    kept.setdefault(exercise.notebook, {})[exercise.name] = asdict(replace(progress, done=done))
    try:
        write_json(kept, _progress_path())
    except (CourseError, OSError) as error:
        print(f"(Your progress could not be saved in {_progress_path().parent}: {error})")


def _kept_progress() -> dict[str, dict[str, Any]]:
    """The entries of each notebook; none if the file is missing or damaged."""
    try:
        return {notebook: own for notebook, own in read_json(_progress_path()).items() if isinstance(own, dict)}
    except (AttributeError, CourseError):
        return {}


def _progress_path() -> Path:
    return read_settings().data_folder / "exercises.json"
