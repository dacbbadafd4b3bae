"""Long runs hold no more memory and no more open files as they go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1] / "helpers" / "steadiness_harness.py"
GROWTH = {"extraction": 5.0, "training": 15.0}  # MB, less than keeping every batch would take


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not show what is held")
@pytest.mark.parametrize(("run", "count"), [
    ("extraction", 1600), pytest.param("extraction", 20_000, marks=pytest.mark.full),
    pytest.param("training", 5_000, marks=pytest.mark.full),
])  # fmt: skip
def test_memory_and_open_files_stay_flat(run, count):
    command = [sys.executable, str(HARNESS), run, "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    samples = json.loads(done.stdout.splitlines()[-1])[4:]
    assert len(samples) >= 12
    memory, files = [held for _, held, _ in samples], [held for _, _, held in samples]
    assert min(memory[-4:]) - min(memory[:4]) < GROWTH[run]
    assert min(files[-4:]) <= min(files[:4]) and max(files) <= min(files) + 4
