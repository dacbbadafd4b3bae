"""Entry point of `say-what-you-see` and `python -m say_what_you_see`."""

from __future__ import annotations

import sys

from say_what_you_see.commands.main import main


def run() -> None:
    """Run the command line and exit with its status."""
    sys.exit(main())


if __name__ == "__main__":
    run()
