"""Runs a command on one core, as a stand-in for a machine of its own: `python -m benchmarks.pinned COMMAND ...`.

Several workers that know of each other by TF_CONFIG get a core each.
"""

from __future__ import annotations

import json
import os
import sys


def main(command: list[str]) -> None:
    """Become the command, on the core with the worker's number."""
    index = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index", 0)
    if hasattr(os, "sched_setaffinity"):  # Linux; elsewhere the system does as it likes
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[index % len(cores)]})
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
