"""Runs one command of `say-what-you-see COMMAND`."""

import argparse
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from say_what_you_see.commands.parser import VARIABLES, build_parser
from say_what_you_see.core.errors import CourseError

_MODULES = {
    "prepare": "embed",
    "mirror": "resources",
    "train-records": "records",
    "evaluate-records": "records",
    "run-inference": "records",
}
"""The modules of commands that share one; every other command has a module of its own name."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 after an error, 130 after Ctrl-C."""
    try:
        with _output():
            return _run(build_parser().parse_args(arguments))
    except KeyboardInterrupt:
        print(
            "\nStopped. Run the same command again: what is finished and on the disk is not done again.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader of the output has seen enough
        return 1
    except (CourseError, OSError) as error:
        print(f"Error: {error if isinstance(error, CourseError) else _explained(error)}", file=sys.stderr)
        return 1


@contextmanager
def _output() -> Iterator[None]:
    """Escape characters that the terminal cannot show, and make sure that all output is written in the end.

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
    """An error of the system, for the user, where no other code has explained it."""
    name = error.filename or ("the output" if error.errno == errno.ENOSPC else "")
    return CourseError(f"{error.strerror or error}" + (f" ({os.fsdecode(name)})." if name else "."))


def _run(options: argparse.Namespace) -> int:
    from say_what_you_see.core.settings import read_settings

    given = {name: str(value) for name, value in vars(options).items() if name in VARIABLES and value is not None}
    settings = read_settings({**os.environ, **given})
    module = import_module(f"say_what_you_see.commands.{_MODULES.get(options.command, options.command)}")
    return getattr(module, options.command.replace("-", "_"))(settings, options)
