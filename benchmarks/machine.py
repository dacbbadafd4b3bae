"""What the machine is, the most that it can do, and how much memory a process holds, in MB (10**6 bytes)."""

import os
import platform
import resource
from datetime import date
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

_PACKAGES = {"keras", "tensorflow", "tensorflow-cpu", "openvino", "jax", "torch", "numpy", "ray"}


def describe_machine() -> dict[str, Any]:
    """The machine, the versions of the packages on it, and its measured limits."""
    from benchmarks.speed import memory_bandwidth, peak_gflops

    return {
        "date": date.today().isoformat(),
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {each.name: each.version for each in distributions() if each.name in _PACKAGES},
        "peak (GFLOP/s)": round(peak_gflops(), 1),
        "memory (GB/s)": round(memory_bandwidth(), 1),
    }


def peak_mb() -> float:
    """The most memory that this process has held so far."""
    kilobytes = _field("/proc/self/status", "VmHWM")  # getrusage's figure starts from the parent process's
    return int(kilobytes.split()[0] if kilobytes else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024 / 1e6


def _field(path: str, name: str) -> str:
    """A field of one of Linux's files about itself; "" elsewhere."""
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
