"""What an exercise consists of: the course's function, cases to try it with, hints, and typical mistakes.

Each notebook has a TOML file of hints and mistakes. A mistake is a small change to the course's function:

    [split_sentence."capital letters are kept, so A and a are different words"]
    change = { "sentence.lower()" = "sentence" }
    hint = "The network sees only indices. Should it have to learn Ball and ball separately?"

`change` replaces parts of the source, as `ast.unparse` writes it, without docstrings; `returns` is made from what the
function returns, `right`. Without a `hint`, a mistake has the hint of the mistake above.
"""

import ast
import importlib
import inspect
import math
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.errors import CourseError

MODULES = {
    "03_prepare_captions": "captions",
    "04_train_decoder": "decoder",
    "05_generate_captions": "generation",
    "06_evaluate_captions": "evaluation",
    "08_visual_attention": "attention",
    "11_attention_is_all_you_need": "transformer",
}
"""The module beside this one that holds each notebook's exercises."""


Cases = dict[str, tuple]
"""The arguments that a function is tried with, by what is special about them, such as "fewer words than the limit"; the
names of randomly drawn ones begin with "random".
"""


@dataclass(frozen=True, eq=False)
class Mistake:
    """A typical wrong answer, recognised by giving the same wrong results."""

    name: str  # tells the learner what happened: "END is missing at the end of each caption"
    hint: str  # what to think about; never the solution
    reference: Callable  # the function that the mistake is made in
    change: Mapping[str, str] = field(default_factory=dict)  # text in the source, and its replacement
    returns: str = ""  # an expression of the result, `right`, to be returned instead of it

    @cached_property
    def wrong(self) -> Callable:
        """The function or class with this mistake.

        Raises:
            ValueError: if the source does not contain a text to replace.
        """
        namespace: dict[str, Any] = {"np": np, "math": math, "Counter": Counter}
        namespace |= vars(inspect.getmodule(self.reference))
        if self.returns:
            return lambda *args, **options: eval(self.returns, namespace | {"right": self.reference(*args, **options)})
        source = _bare_source(self.reference)
        for old, new in self.change.items():
            if old not in source:
                raise ValueError(f"{self.reference.__name__} does not contain {old!r}:\n{source}")
            source = source.replace(old, new)
        source = f"from __future__ import annotations\n{source}"  # some types are imported for type checkers only
        exec(compile(source, f"<{self.name}>", "exec"), namespace)
        return namespace[self.reference.__name__]


def _bare_source(function: Callable) -> str:
    """The source of a function or class without docstrings and decorators."""
    tree = ast.parse(inspect.getsource(function))
    (definition,) = tree.body
    assert isinstance(definition, (ast.FunctionDef, ast.ClassDef))
    definition.decorator_list.clear()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@dataclass(frozen=True, eq=False)
class Exercise:
    """A function or class of the course that learners write themselves."""

    reference: Callable  # the course's own, as the notebook shows it
    # makes the cases, fixed ones first, then those that it draws with the generator
    cases: Callable[[np.random.Generator], Cases]
    # `observe(function_or_class, *arguments)` returns what is compared; by default it calls the function
    observe: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """The name by which learners know it."""
        return self.reference.__name__

    @property
    def notebook(self) -> str:
        """The name of the notebook that it belongs to, such as "03_prepare_captions"."""
        return next(name for name, module in MODULES.items() if self.cases.__module__.endswith(f".{module}"))

    @property
    def hints(self) -> list[str]:
        """Shown one at a time, the next one after the next failed try."""
        return _read_texts(self.notebook)[self.name]["hints"]

    @cached_property
    def mistakes(self) -> tuple[Mistake, ...]:
        """Typical wrong answers."""
        mistakes, hint = [], ""
        for name, table in _read_texts(self.notebook)[self.name].items():
            if name != "hints":
                hint = table.get("hint", hint)
                mistakes.append(Mistake(name, reference=self.reference, **table | {"hint": hint}))
        return tuple(mistakes)


@cache
def _read_texts(notebook: str) -> dict[str, dict[str, Any]]:
    """Hints and mistakes of a notebook's exercises, by the names of the functions."""
    return tomllib.loads(Path(__file__).with_name(f"{notebook}.toml").read_text(encoding="utf-8"))


def random_cases(name: str, count: int, draw: Callable[[int], tuple]) -> Cases:
    """Cases whose arguments `draw(number)` draws, called "random NAME, number 1" and so on."""
    return {f"random {name}, number {number}": draw(number) for number in range(1, count + 1)}


def drawn_cases(rng: np.random.Generator, draw: Callable[..., tuple], table: Cases) -> Cases:
    """Cases whose arguments `draw(generator, *row)` draws; `rng` draws those whose names begin with "random"."""
    fixed = np.random.default_rng(7)
    return {name: draw(rng if name.startswith("random") else fixed, *row) for name, row in table.items()}


def exercises_of(notebook: str) -> tuple[Exercise, ...]:
    """The exercises of a notebook, in its order."""
    if notebook not in MODULES:
        raise CourseError(f"{notebook!r} has no exercises. The notebooks that have some are: {', '.join(MODULES)}.")
    return importlib.import_module(f"say_what_you_see.exercises.{MODULES[notebook]}").EXERCISES
