"""Exercises whose mistakes are functions of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from say_what_you_see.exercises.exercise import Case

__all__ = ["Case", "Exercise", "Mistake"]


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer, recognised by doing the same wrong thing.

    Attributes:
        name: says to the learner what happened: "END is missing at the end of each caption".
        wrong: a wrong implementation with the same signature; where it raises, an error of the same type is recognised.
        hint: what to think about; never the solution.
    """

    name: str
    wrong: Callable
    hint: str


@dataclass(frozen=True)
class Exercise:
    """A function or class of the course that learners write themselves.

    Attributes:
        reference: what stands in `utils/` and in the notebook.
        notebook: the name of the notebook that it belongs to, such as "03_prepare_captions".
        cases: makes the cases, fixed ones first, then those that it draws with the generator.
        mistakes: typical wrong answers.
        hints: shown one at a time, the next one after the next failed try.
        observe: `observe(function_or_class, *arguments, **keywords)` gives what is compared; by default it calls the
            function. For classes, models, and functions with randomness.
        tolerance: how far floating-point numbers may differ, relative to the expected or to 1.
    """

    reference: Callable
    notebook: str
    cases: Callable[[np.random.Generator], list[Case]]
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, ...]
    observe: Callable[..., Any] | None = None
    tolerance: float = 1e-5

    @property
    def name(self) -> str:
        """The name by which learners know it."""
        return self.reference.__name__
