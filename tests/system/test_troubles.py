"""Steps in trouble: what they say, and that going on works when the trouble is over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1] / "helpers" / "trouble_harness.py"
NAMESPACE = ["unshare", "--mount"]
QUICK = ("resources", "embed", "prepare", "records")
TROUBLES = ("full", "readonly", "folder", "vanished", "clock")


def may_mount() -> bool:
    """Whether this process may mount things in a namespace of its own, as root in most containers may."""
    try:
        command = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("stages", "options"), [
    (QUICK, []), pytest.param((*QUICK, "train", "train-records"), ["--all"], marks=pytest.mark.full),
])  # fmt: skip
def test_a_step_in_trouble_names_the_file_and_goes_on_afterwards(stages, options):
    troubles, start = (TROUBLES, NAMESPACE) if may_mount() else (TROUBLES[2:], [])
    command = [*start, sys.executable, str(HARNESS), *troubles, *options, "--stages", *stages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    findings = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(findings) >= len(troubles) * len(stages) - 2  # the first stage needs no file of another
    assert [each for each in findings if each["faults"]] == []
