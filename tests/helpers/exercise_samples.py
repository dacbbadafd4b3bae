"""What the tests of the exercises have in common: answers under the right name, and what the check says of them."""

from collections.abc import Callable
from functools import partial

import pytest

from utils.check import CheckFailed, check


def named(answer: Callable, name: str) -> Callable:
    """A learner's function or class under the name of an exercise; it is a new one, and `answer` keeps its name."""
    own = type(name, (answer,), {}) if isinstance(answer, type) else partial(answer)
    own.__name__ = name
    return own


def report_on(answer: Callable, name: str, capsys) -> tuple[str, str]:
    """What is printed about a wrong answer, and the message of the error."""
    capsys.readouterr()
    with pytest.raises(CheckFailed) as caught:
        check(named(answer, name))
    return capsys.readouterr().out, str(caught.value)
