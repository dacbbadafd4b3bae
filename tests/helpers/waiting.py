"""Waiting for programs that a test has started."""

import subprocess
import time
from collections.abc import Callable
from typing import Any


def wait_until(ready: Callable[[], Any], process: subprocess.Popen, seconds: float) -> Any:
    """Wait for a program that has been started."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := ready():
            return value
        assert process.poll() is None, f"{process.args[0]} ended with status {process.returncode}"
        time.sleep(0.1)
    raise AssertionError(f"{process.args[0]} is not ready after {seconds} s")
