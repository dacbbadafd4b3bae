"""What the machine is, what it can do at most, and how much memory a process holds, in MB (10**6 bytes)."""

from __future__ import annotations

import os
import platform
import resource
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "openvino", "jax", "torch", "numpy", "ray")
_STATUS = Path("/proc/self/status")


def describe_machine() -> dict[str, Any]:
    """The machine, the versions of what runs on it, and its measured limits."""
    from benchmarks.speed import memory_bandwidth, peak_gflops

    return {
        "date": date.today().isoformat(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "peak (GFLOP/s)": round(peak_gflops(), 1),
        "memory (GB/s)": round(memory_bandwidth(), 1),
    }


def processor_name() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def peak_mb() -> float:
    """The most memory that this process has held so far."""
    if _STATUS.exists():
        return _field("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def anonymous_mb() -> float | None:
    """Memory that belongs to this process and to no file; None where the system does not tell."""
    return _field("RssAnon") if _STATUS.exists() else None


def _field(name: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6
