"""How much memory a process holds, in MB (10**6 bytes): its own, and pages of files, which the system may take back."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_mb() -> float:
    """The most memory that this program has held so far.

    Where the system tells only what the process has held, that of the program that started it may count, too.
    """
    if _STATUS.exists():
        return _field("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def anonymous_mb() -> float | None:
    """Memory that belongs to this process and to no file; None where the system does not tell."""
    return _field("RssAnon") if _STATUS.exists() else None


def file_mb() -> float | None:
    """Pages of mapped files that are in memory: libraries and arrays; None where the system does not tell."""
    return _field("RssFile") if _STATUS.exists() else None


def _field(name: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6
