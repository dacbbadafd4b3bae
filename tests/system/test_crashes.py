"""The course's steps are killed (kill -9) and run again: in the end there is what an undisturbed run leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1] / "helpers" / "crash_harness.py"
STAGES = ("resources", "embed", "prepare", "train", "records", "train-records")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("kills", "stages"), [
    (1, STAGES), pytest.param(20, (*STAGES, "show-and-tell", "attention"), marks=pytest.mark.full),
])  # fmt: skip
def test_a_killed_stage_leaves_what_it_leaves_undisturbed(kills, stages):
    seed = os.environ.get("KILL_SEED", "0")
    command = [sys.executable, str(HARNESS), "--kills", str(kills), "--seed", seed, "--stages", *stages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["stage"] for each in findings] == list(stages), done.stderr
    for each in findings:
        assert each["faults"] == [] and each["kills"] == kills and each["ends"] >= 1, each
