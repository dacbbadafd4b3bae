"""What the tests of the exercises have in common: answers under the right name, and what every exercise must keep."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType

import numpy as np
import pytest

from utils.checks import CheckFailed, check, exercises_of
from utils.exercises.cases import Case, Exercise, Mistake


def each_exercise(notebook: str) -> pytest.MarkDecorator:
    """A test for each exercise of a notebook."""
    return pytest.mark.parametrize("exercise", exercises_of(notebook), ids=lambda exercise: exercise.name)


def each_mistake(notebook: str) -> pytest.MarkDecorator:
    """A test for each typical mistake of each exercise."""
    pairs = [(exercise, mistake) for exercise in exercises_of(notebook) for mistake in exercise.mistakes]
    ids = [f"{exercise.name}: {mistake.name}" for exercise, mistake in pairs]
    return pytest.mark.parametrize(("exercise", "mistake"), pairs, ids=ids)


def named(answer: Callable, name: str) -> Callable:
    """A learner's function or class under the name of an exercise; it is a new one, and `answer` keeps its name."""
    if isinstance(answer, type):
        return type(name, (answer,), {})

    def renamed(*arguments, **keywords):
        return answer(*arguments, **keywords)

    renamed.__name__ = name
    return renamed


def assert_right(answer: Callable, name: str) -> None:
    """The check accepts an answer."""
    assert check(named(answer, name)) is None


def report_on(answer: Callable, name: str, capsys) -> tuple[str, str]:
    """What is printed about a wrong answer, and the message of the error."""
    capsys.readouterr()
    with pytest.raises(CheckFailed) as caught:
        check(named(answer, name))
    return capsys.readouterr().out, str(caught.value)


def assert_recognised(exercise: Exercise, mistake: Mistake, capsys) -> None:
    """The check recognises a mistake by name, and gives its hint."""
    report, message = report_on(mistake.wrong, exercise.name, capsys)
    assert message == f"{exercise.name} is not right yet: {mistake.name}."
    assert f"It looks like this: {mistake.name}." in report and f"Hint: {mistake.hint}" in report


def assert_sound(exercise: Exercise) -> None:
    """Cases that the reference is right in, the drawn ones last and with the seed; nothing said twice, no solution."""
    cases, others = (exercise.cases(np.random.default_rng(seed)) for seed in (0, 1))
    drawn = [case.drawn for case in cases]
    assert any(drawn) and not all(drawn) and drawn == sorted(drawn)
    changed = [_text(one) != _text(other) for one, other in zip(cases, others, strict=True)]
    assert changed == drawn
    names = [mistake.name for mistake in exercise.mistakes]
    assert len(set(names)) == len(names) and len(exercise.hints) > 1
    source = inspect.getsource(exercise.reference).split('"""')[-1]
    body = {line.strip() for line in source.splitlines() if len(line.strip()) > 16}
    texts = [*exercise.hints, *(mistake.hint + mistake.name for mistake in exercise.mistakes)]
    assert body and not [line for line in body for text in texts if line in text]


def raising_cases(exercise: Exercise) -> list[str]:
    """The names of the cases in which the reference raises an error."""
    observe = exercise.observe or FunctionType.__call__
    raising = []
    for case in exercise.cases(np.random.default_rng(0)):
        try:
            observe(exercise.reference, *case.arguments, **case.keywords)
        except Exception:
            raising.append(case.name)
    return raising


def _text(case: Case) -> str:
    """All that is drawn of a case, as text; what is a model says nothing of its weights."""
    with np.printoptions(threshold=100_000):
        return f"{case.arguments} {case.keywords}"
