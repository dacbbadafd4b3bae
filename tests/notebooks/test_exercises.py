"""Every exercise: the reference is right, the cases are sound, typical mistakes are recognised."""

import inspect
import re

import numpy as np
import pytest
from exercise_samples import assert_right, report_on

from say_what_you_see.exercises.exercise import MODULES, exercises_of

EXERCISES = [exercise for notebook in MODULES for exercise in exercises_of(notebook)]
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]
pytestmark = pytest.mark.usefixtures("data_folder")
each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
each_mistake = pytest.mark.parametrize(
    ("exercise", "mistake"), MISTAKES, ids=[f"{exercise.name}: {mistake.name}" for exercise, mistake in MISTAKES]
)


@each_exercise
def test_the_reference_is_right(exercise, capsys):
    assert_right(exercise.reference, exercise.name)
    assert re.fullmatch(rf"{exercise.name}: right\. \d+ cases, \d of them random\.\n", capsys.readouterr().out)


@each_exercise
def test_cases_are_fixed_first_and_then_drawn_with_the_seed(exercise):
    cases, others = (exercise.cases(np.random.default_rng(seed)) for seed in (0, 1))
    drawn = [case.startswith("random") for case in cases]
    assert any(drawn) and not all(drawn) and drawn == sorted(drawn) and list(cases) == list(others)
    with np.printoptions(threshold=100_000):
        assert [str(cases[case]) != str(others[case]) for case in cases] == drawn


@each_exercise
def test_nothing_is_said_twice_and_no_text_holds_the_solution(exercise):
    names = [mistake.name for mistake in exercise.mistakes]
    assert len(set(names)) == len(names) and len(exercise.hints) > 1
    source = inspect.getsource(exercise.reference).split('"""')[-1]
    body = {line.strip() for line in source.splitlines() if len(line.strip()) > 16}
    texts = [*exercise.hints, *(mistake.hint + mistake.name for mistake in exercise.mistakes)]
    assert body and not [line for line in body for text in texts if line in text]


@each_mistake
def test_a_typical_mistake_is_recognised_by_name(exercise, mistake, capsys):
    report, message = report_on(mistake.wrong, exercise.name, capsys)
    assert message == f"{exercise.name} is not right yet: {mistake.name}."
    assert f"It looks like this: {mistake.name}." in report and f"Hint: {mistake.hint}" in report
