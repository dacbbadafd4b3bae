"""Runs one command of `say-what-you-see COMMAND`."""

import argparse
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from say_what_you_see.commands.parser import build_parser
from say_what_you_see.core.errors import CourseError

_ENVIRONMENT = {
    "dataset": "DATASET",
    "encoder": "ENCODER",
    "size": "COURSE_SIZE",
    "seed": "COURSE_SEED",
    "split": "COURSE_SPLIT",
}
"""Options that come before environment variables."""

_MODULES = {
    "prepare": "embed",
    "mirror": "resources",
    "train-records": "records",
    "evaluate-records": "records",
    "run-inference": "records",
}
"""The modules of commands that share one; others have one of their own name."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for what went wrong, 130 after Ctrl-C."""
    try:
        with _output():
            return _run(build_parser().parse_args(arguments))
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where it was.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who read the output has seen enough
        return 1
    except (CourseError, OSError) as error:
        print(f"Error: {error if isinstance(error, CourseError) else _explained(error)}", file=sys.stderr)
        return 1


@contextmanager
def _output() -> Iterator[None]:
    """Let people have any text in the letters of their terminal, and all of it be written in the end.

    Raises:
        OSError: if it cannot be written.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it is closed; what is printed for it must not end up elsewhere
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  it stays open
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        try:
            print(end="", flush=True)
        except OSError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  or Python would complain again when it ends
            raise


def _explained(error: OSError) -> CourseError:
    """What the system did not let us do, where nobody has found better words."""
    name = error.filename or ("the output" if error.errno == errno.ENOSPC else "")
    return CourseError(f"{error.strerror or error}" + (f" ({os.fsdecode(name)})." if name else "."))


def _run(options: argparse.Namespace) -> int:
    from say_what_you_see.core.settings import read_settings

    given = {name: getattr(options, option) for option, name in _ENVIRONMENT.items()}
    settings = read_settings({**os.environ, **{name: str(value) for name, value in given.items() if value is not None}})
    module = import_module(f"say_what_you_see.commands.{_MODULES.get(options.command, options.command)}")
    return getattr(module, options.command.replace("-", "_"))(settings, options)
