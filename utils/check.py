"""`check(your_function)` says whether an exercise is right, and what is wrong with it: offline, at once.

The learner's function and the course's run on the same cases. What is done is kept in `exercises.json`
in the course's data folder, for `show_progress`.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import textwrap
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any, NoReturn

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.exercises.cases import Case, Exercise, Mistake
from say_what_you_see.exercises.compare import Difference, copy_of, first_difference, short, shorten
from say_what_you_see.exercises.facts import Facts
from say_what_you_see.exercises.progress import Progress, keep_progress, read_progress

MODULES = {
    "03_prepare_captions": "captions",
    "04_train_decoder": "decoder",
    "05_generate_captions": "generation",
    "06_evaluate_captions": "evaluation",
    "08_visual_attention": "attention",
}
"""For each notebook the module of `say_what_you_see.exercises` that holds its exercises."""

_SEED = 0  # the drawn cases are the same at every try, so that a learner can follow one


class CheckFailed(CourseError):
    """An exercise is not right yet. The report has been printed by then, so a notebook shows this line alone."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows in the place of a traceback: the learner's own lines stand in the report."""
        return textwrap.wrap(f"CheckFailed: {self}", width=80)  # nbgrader cuts longer lines


@dataclass(frozen=True)
class Outcome:
    """What a function did with a case: the value that it returned, or the error that it raised."""

    value: Any = None
    error: BaseException | None = None
    changed: str = ""


@dataclass(frozen=True)
class Failure:
    """The first case in which a candidate does not do what the reference does."""

    number: int
    case: Case
    wanted: Outcome
    outcome: Outcome


def check(*candidates: Callable) -> int | None:
    """Try a learner's functions or classes on all cases of their exercises, and print what comes out.

    Args:
        candidates: one or several, under the names that they have in the notebook.

    Returns:
        None when they are right. 0 if one of them is the course's own, which nbgrader reads as no points.

    Raises:
        CheckFailed: if one is not right; the report has been printed. Also if no exercise has this name.
    """
    own = [_is_learners(find_exercise(candidate), candidate) for candidate in candidates]
    return None if all(own) else 0


def _is_learners(exercise: Exercise, candidate: Callable) -> bool:
    """Check one candidate; whether it is the learner's, and not the course's own."""
    if candidate is exercise.reference:
        print(
            f"{exercise.name}: this is the course's own. Go on with the notebook; it does not count and has no points."
        )
        return False
    cases = exercise.cases(np.random.default_rng(_SEED))
    try:
        failure = _first_failure(exercise, cases, candidate)
        if failure is not None:
            _explain(exercise, cases, failure, candidate)
    except KeyboardInterrupt:
        raise CheckFailed(f"{exercise.name} was stopped. Does it hold a loop that never ends?") from None
    keep_progress(exercise, Progress(done=True))
    drawn = sum(case.drawn for case in cases)
    print(f"{exercise.name}: right. {len(cases)} cases, {drawn} of them random.")
    return True


def _explain(exercise: Exercise, cases: list[Case], failure: Failure, candidate: Callable) -> NoReturn:
    """Print a report on what is wrong, and raise the error."""
    name, error = exercise.name, failure.outcome.error
    if isinstance(error, NotImplementedError):
        raise CheckFailed(f"{name} is not written yet. It raises NotImplementedError: {error}")
    mistake = _recognise(exercise, cases, candidate)
    print(_report(exercise, len(cases), failure, candidate, mistake))
    print(_next_hint(exercise, mistake))
    what = mistake.name if mistake else f"case {failure.number} of {len(cases)}, {failure.case.name}"
    raise CheckFailed(f"{name} is not right yet: {what}.")


def show_progress(notebook: str) -> None:
    """Print how many exercises of a notebook are done, and which.

    Args:
        notebook: its name, such as "03_prepare_captions".

    Raises:
        CourseError: if the notebook has no exercises.
    """
    exercises = exercises_of(notebook)
    kept = {exercise.name: read_progress(exercise) for exercise in exercises}
    print(f"{sum(progress.done for progress in kept.values())} of {len(kept)} done")
    for name, progress in kept.items():
        print(f"  {'done' if progress.done else 'open'}  {name}")


def exercises_of(notebook: str) -> tuple[Exercise, ...]:
    """The exercises of a notebook.

    Raises:
        CourseError: if it has none.
    """
    if notebook not in MODULES:
        raise CourseError(f"{notebook!r} has no exercises. Those that have are: {', '.join(MODULES)}.")
    return importlib.import_module(f"say_what_you_see.exercises.{MODULES[notebook]}").EXERCISES


def find_exercise(candidate: Callable) -> Exercise:
    """The exercise that a function or class belongs to, by its name; notebooks are looked through in their order.

    Raises:
        CheckFailed: if there is none.
    """
    name = getattr(candidate, "__name__", None)
    if not callable(candidate) or name is None:
        raise CheckFailed(f"check takes a function, without brackets behind it, and got {short(candidate, 60)}.")
    names = []
    for notebook in MODULES:  # one module at a time: those of later notebooks import Keras
        for exercise in exercises_of(notebook):
            if exercise.name == name:
                return exercise
            names.append(exercise.name)
    raise CheckFailed(f"There is no exercise {name!r}. There are: {', '.join(names)}. Do not rename the function.")


def _first_failure(exercise: Exercise, cases: list[Case], candidate: Callable) -> Failure | None:
    for number, case in enumerate(cases, start=1):
        wanted = _run(exercise, case, exercise.reference)
        outcome = _run(exercise, case, candidate)
        if not _agree(wanted, outcome, exercise.tolerance):
            return Failure(number, case, wanted, outcome)
    return None


def _run(exercise: Exercise, case: Case, function: Callable) -> Outcome:
    """Call a function with copies of a case's arguments, and see whether it leaves them as they are."""
    arguments, keywords = copy_of(tuple(case.arguments)), copy_of(dict(case.keywords))
    observe = exercise.observe or _call
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbgrader takes what is written to stderr for a failure
            value = observe(function, *arguments, **keywords)
    except (Exception, SystemExit) as error:
        return Outcome(error=error)
    names = _argument_names(exercise, case)
    before, after = (*case.arguments, *case.keywords.values()), (*arguments, *keywords.values())
    for name, old, new in zip(names, before, after, strict=True):
        if not isinstance(old, np.random.Generator) and first_difference(old, new, 0.0):
            return Outcome(value=value, changed=name)
    return Outcome(value=value)


def _call(function: Callable, *arguments: Any, **keywords: Any) -> Any:
    return function(*arguments, **keywords)


def _agree(wanted: Outcome, outcome: Outcome, tolerance: float) -> bool:
    """Whether two functions did the same: the same value, or an error of the same type."""
    if wanted.error is not None or outcome.error is not None:
        return wanted.error is not None and isinstance(outcome.error, type(wanted.error))
    if wanted.changed != outcome.changed:
        return False
    return first_difference(wanted.value, outcome.value, tolerance) is None


def _recognise(exercise: Exercise, cases: list[Case], candidate: Callable) -> Mistake | None:
    """The mistake that does the same as the candidate in every case."""
    outcomes = [_run(exercise, case, candidate) for case in cases]
    for mistake in exercise.mistakes:
        pairs = zip(cases, outcomes, strict=True)
        if all(_agree(_run(exercise, case, mistake.wrong), outcome, exercise.tolerance) for case, outcome in pairs):
            return mistake
    return None


def _report(exercise: Exercise, count: int, failure: Failure, candidate: Callable, mistake: Mistake | None) -> str:
    """What went wrong, as a teacher would say it."""
    case, outcome, wanted = failure.case, failure.outcome, failure.wanted
    lines = [f"{exercise.name}: not right yet. Case {failure.number} of {count}: {case.name}.", ""]
    values = (*case.arguments, *case.keywords.values())
    lines += [f"  {name} = {short(value)}" for name, value in zip(_argument_names(exercise, case), values, strict=True)]
    lines.append("")
    if outcome.error is not None:
        lines += _rows(_described(wanted), _described(outcome)) + _learners_line(outcome.error, candidate)
    elif wanted.error is not None:
        lines += _rows(_described(wanted), short(outcome.value))
    elif outcome.changed:
        lines += [f"It changes its argument {outcome.changed}, which belongs to whoever calls it. Work on a copy."]
    else:
        difference = first_difference(wanted.value, outcome.value, exercise.tolerance)
        lines += _difference_lines(difference, wanted, outcome) if difference else []
        lines += ["  Nothing comes back. Does every way through the function end in a return?"] * (
            outcome.value is None
        )
    if mistake:
        lines += ["", f"It looks like this: {mistake.name}."]
    return "\n".join(lines)


def _rows(expected: str, received: str) -> list[str]:
    return [f"  expected  {expected}", f"  received  {received}"]


def _described(outcome: Outcome) -> str:
    """A value, or "the error KeyError: 'kite'"."""
    if outcome.error is None:
        return short(outcome.value)
    message = " ".join(str(outcome.error).split())
    return f"the error {type(outcome.error).__name__}" + (f": {shorten(message)}" if message else "")


def _difference_lines(difference: Difference, wanted: Outcome, outcome: Outcome) -> list[str]:
    """The two results, and below where they differ first, unless that is the results as a whole."""
    if not difference.where:
        return _rows(difference.expected, difference.received)
    if isinstance(wanted.value, Facts):
        return _rows(*(wanted.value.line(difference.where, v) for v in (difference.expected, difference.received)))
    first = f"  The first difference is at result{difference.where}: "
    return [
        *_rows(short(wanted.value), short(outcome.value)),
        f"{first}expected {difference.expected}, received {difference.received}.",
    ]


def _learners_line(error: BaseException, candidate: Callable) -> list[str]:
    """The line of the learner's code that an error came from."""
    files = {code.co_filename for code in _codes(candidate)}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    if not frames:
        return []
    line = linecache.getline(frames[-1].filename, frames[-1].lineno or 0).strip()
    return [f"  It came from line {frames[-1].lineno} of your code" + (f": {line}" if line else "")]


def _codes(candidate: Callable) -> list[CodeType]:
    """The compiled code of a function, or of the methods of a class."""
    members = vars(candidate).values() if inspect.isclass(candidate) else [inspect.unwrap(candidate)]
    return [member.__code__ for member in members if hasattr(member, "__code__")]


def _argument_names(exercise: Exercise, case: Case) -> list[str]:
    """The names of a case's arguments, as the signature has them."""
    if exercise.observe is None:
        names = list(inspect.signature(exercise.reference).parameters)
    else:
        names = list(inspect.signature(exercise.observe).parameters)[1:]
    count = len(case.arguments)
    numbered = [f"argument {number}" for number in range(len(names) + 1, count + 1)]
    return [*names[:count], *numbered, *case.keywords]


def _next_hint(exercise: Exercise, mistake: Mistake | None) -> str:
    """The hint of a mistake; the exercise's next one where there is none, or when it is made again."""
    progress = read_progress(exercise)
    if mistake and mistake.name != progress.mistake:
        keep_progress(exercise, replace(progress, mistake=mistake.name))
        return f"\nHint: {mistake.hint}"
    again = f"\nHint: {mistake.hint}" if mistake else ""
    given, total = min(progress.hints + 1, len(exercise.hints)), len(exercise.hints)
    keep_progress(exercise, replace(progress, hints=given, mistake=mistake.name if mistake else ""))
    if not total:
        return again
    end = "\nThere are no more hints. The folded cell above has the course's own." if given == progress.hints else ""
    return f"{again}\nHint {given} of {total}: {exercise.hints[given - 1]}{end}"
