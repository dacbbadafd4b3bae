"""What tests of several packages need."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from say_what_you_see.core.settings import REPOSITORY


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess]:
    """Runs a program in a process of its own, in the repository's root, with arguments and further variables."""

    def run(program: str, *arguments: object, check: bool = True, **environ: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        options = {"capture_output": True, "text": True, "cwd": REPOSITORY, "env": {**os.environ, **environ}}
        return subprocess.run(command, check=check, **options)

    return run
