"""What the tools have in common that write parts of the project anew, or with `--check` only list what is stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from say_what_you_see.core.errors import CourseError


def check_parser(name: str, description: str | None, what: str) -> argparse.ArgumentParser:
    """A parser that knows `--check`.

    Args:
        name: the tool's module.
        description: its text.
        what: the tool looks after, in the plural.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=(description or "").strip())
    parser.add_argument("--check", action="store_true", help=f"write nothing; list the {what} that differ")
    return parser


def write_or_check(update: Callable[[], int], what: str, done: str, remedy: str | None) -> int:
    """Run such a tool, and say what came of it; the result is the exit status.

    Args:
        update: brings everything up to date, or lists what differs; returns how much it was.
        what: it counts, in the singular.
        done: what is said of them behind their number: "written anew", or "differ from the lessons".
        remedy: the command that brings them up to date; None if that was just done.
    """
    try:
        count = update()
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{count} {what}{'s' * (count != 1)} {done}.")
    if remedy and count:
        print(f"To bring them up to date: {remedy}")
    return int(bool(remedy) and count > 0)
