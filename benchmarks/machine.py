"""What the machine is, and what it can do at most."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from say_what_you_see.evaluation.speed import memory_bandwidth, peak_gflops

_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "openvino", "jax", "torch", "numpy", "ray")


def describe_machine() -> dict[str, Any]:
    """The machine, the versions of what runs on it, and its measured limits."""
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
