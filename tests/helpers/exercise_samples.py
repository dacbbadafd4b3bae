"""What the tests of the exercises have in common: answers under the right name, and what the check says of them."""

from collections.abc import Callable

import pytest

from utils.check import CheckFailed, check


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
