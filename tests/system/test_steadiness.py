"""Long runs hold no more memory and no more open files as they go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1].joinpath("helpers", "steadiness_harness.py")
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not show what is held")

GROWTH = {"extraction": 5.0, "training": 15.0, "records": 15.0}  # MB, less than keeping every batch would take


@pytest.mark.parametrize(("way", "count"), [
    ("extraction", 1600), ("records", 200), pytest.param("extraction", 20_000, marks=pytest.mark.full),
    pytest.param("training", 5_000, marks=pytest.mark.full), pytest.param("records", 4_000, marks=pytest.mark.full),
])  # fmt: skip
def test_memory_and_open_files_stay_flat(way, count):
    command = [sys.executable, str(HARNESS), way, "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    samples = json.loads(done.stdout.splitlines()[-1])
    print(samples)
    half = len(samples) // 2
    assert half >= 8
    memory, files = [held for _, held, _ in samples[4:]], [held for _, _, held in samples[4:]]
    assert min(memory[-4:]) - min(memory[:4]) < GROWTH[way]
    assert min(files[-4:]) <= min(files[:4]) and max(files) <= min(files) + 4
