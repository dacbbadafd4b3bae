"""`say-what-you-see environment`: what to paste into a bug report."""

import argparse

from say_what_you_see import __version__
from say_what_you_see.core.environment import check_environment
from say_what_you_see.core.settings import Settings


def environment(settings: Settings, options: argparse.Namespace) -> int:
    """Print the checks of notebook 00; the exit status is 1 if one of them failed."""
    checks = check_environment(settings)
    print(f"Say What You See {__version__}; data set {settings.dataset}, encoder {settings.encoder}")
    print(*checks, sep="\n")
    return int(not all(check.passed for check in checks))
