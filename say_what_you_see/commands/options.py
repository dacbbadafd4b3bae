"""What the commands have in common: the options of every command, and kinds of numbers that options take."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from say_what_you_see.core.settings import SPLITS

NumberReader = Callable[[str], float]


def add_settings(command: argparse.ArgumentParser) -> None:
    """The options that every command has."""
    command.add_argument("--dataset", help="scenes, coco, flickr8k, flickr30k, or a folder of your own (DATASET)")
    command.add_argument("--encoder", help="inception_v3, vgg16, mobilenet …, or a .keras file (ENCODER)")
    command.add_argument("--size", choices=("full", "small"), help="small: a few dozen pictures (COURSE_SIZE)")
    command.add_argument(
        "--split", choices=SPLITS,
        help="karpathy: train, validate and test on the pictures that most papers do (COURSE_SPLIT)",
    )  # fmt: skip
    command.add_argument("--seed", type=int, help="start of all randomness (COURSE_SEED)")


def whole_number(smallest: int) -> Callable[[str], int]:
    """A reader of whole numbers, from the smallest up."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {smallest} up")
        return int(text)

    return read


def number(fits: Callable[[float], bool], kind: str) -> NumberReader:
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
share = number(lambda value: 0 < value <= 1, "number above 0 and at most 1")
share_below_1 = number(lambda value: 0 <= value < 1, "number from 0 to below 1")
