"""The kinds of numbers and names that options take, and which options were given."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from say_what_you_see.core.errors import CourseError


def whole_number(smallest: int, largest: int) -> Callable[[str], int]:
    """A reader of whole numbers in a range, for the `type` of an option."""

    def read(text: str) -> int:
        is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(largest))
        if not is_number or not smallest <= int(text) <= largest:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from {smallest} to {largest}")
        return int(text)

    return read


def number(smallest: float, largest: float) -> Callable[[str], float]:
    """A reader of numbers in a range."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not smallest <= value <= largest:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from {smallest:g} to {largest:g}")
        return value

    return read


def path(text: str) -> Path:
    """A reader of paths; an empty text would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("it must not be empty")
    return Path(text)


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The values that are not None, as those of options are that were left out."""
    return {name: value for name, value in values.items() if value is not None}


def refuse_options(options: argparse.Namespace, names: Sequence[str], message: str) -> None:
    """Raise a CourseError about the first of these options that was given; `message` follows its name."""
    for name in names:
        if getattr(options, name, None) is not None:
            raise CourseError(f"--{name.replace('_', '-')} {message}")


count = whole_number(1, 1_000_000)
workers = whole_number(1, 1000)
seed = whole_number(0, 2**32 - 1)
caption_length = whole_number(1, 1000)
beam_width = whole_number(1, 100)
batch_size = whole_number(1, 4096)
