"""Runs one command of `say-what-you-see COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from say_what_you_see.commands.parser import build_parser

_ENVIRONMENT = {
    "dataset": "DATASET",
    "encoder": "ENCODER",
    "size": "COURSE_SIZE",
    "seed": "COURSE_SEED",
    "split": "COURSE_SPLIT",
}
"""Options that come before environment variables."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for what went wrong, 130 after Ctrl-C."""
    options = build_parser().parse_args(arguments)
    from say_what_you_see.core.errors import CourseError

    try:
        return _run(options)
    except CourseError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where it was.", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    from say_what_you_see.core.settings import read_settings

    given = {name: getattr(options, option) for option, name in _ENVIRONMENT.items()}
    settings = read_settings({**os.environ, **{name: str(value) for name, value in given.items() if value is not None}})
    module = import_module(f"say_what_you_see.commands.{options.command.replace('-', '_')}")
    return module.run(settings, options)
