"""The kinds of numbers that options take."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole_number(smallest: int, largest: float = float("inf")) -> Callable[[str], int]:
    """A reader of whole numbers in a range, for the `type` of an option."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or not smallest <= int(text) <= largest:
            upper = f"to {largest}" if largest < float("inf") else "up"
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {smallest} {upper}")
        return int(text)

    return read


def number(fits: Callable[[float], bool], kind: str) -> Callable[[str], float]:
    """A reader of numbers for which `fits` holds; `kind` names them in the complaint about others."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not fits(value):
            raise argparse.ArgumentTypeError(f"{text!r} is no {kind}")
        return value

    return read


count = whole_number(1)
positive = number(lambda value: 0 < value < float("inf"), "number above 0")
from_0 = number(lambda value: 0 <= value < float("inf"), "number from 0 up")
probability = number(lambda value: 0 < value <= 1, "number above 0 and at most 1")
fraction = number(lambda value: 0 <= value < 1, "number from 0 to below 1")
