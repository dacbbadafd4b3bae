"""Downloads that are killed (kill -9), at random moments and at each operation on files, and then run again."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from download_server import running_server

CONTENT = random.Random(6).randbytes(400_000)
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
KILLER = Path(__file__).parents[1].joinpath("helpers", "download_killer.py")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def server():
    with running_server() as server:
        server.files, server.etags = {"/file": CONTENT}, {"/file": ['"one"']}
        yield server


def kill(server, way: str, folder: Path, count: int) -> dict:
    """Have downloads killed; what the killer found."""
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"seed {seed}; the same again: KILL_SEED={seed}")
    command = [sys.executable, str(KILLER), way, f"{server.url}/file", str(folder), CHECKSUM, str(seed), str(count)]
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("count", [3, pytest.param(20, marks=pytest.mark.full)])
@pytest.mark.parametrize("ranges", [True, False])
def test_killed_at_random_moments_the_same_bytes_come(server, tmp_path, ranges, count):
    server.faults.knows_ranges = ranges
    server.faults.bytes_per_second = len(CONTENT) / 4 if ranges else len(CONTENT)
    found = kill(server, "moments", tmp_path / "downloads", count)
    assert found["kills"] == count and found["faults"] == [] and found["downloads"] >= 1
    if ranges:
        asked = [span.removeprefix("bytes=").split("-") for _, span, _ in server.requests]
        asked = sum(min(int(last) + 1, len(CONTENT)) - int(first) for first, last in asked)
        print(f"{asked / len(CONTENT) / found['downloads']:.2f} times the file was asked for in each download")


@pytest.mark.parametrize("count", [6, pytest.param(1000, marks=pytest.mark.full)])
def test_killed_at_any_operation_on_files_nothing_is_lost_or_left_behind(server, tmp_path, count):
    found = kill(server, "operations", tmp_path / "downloads", count)
    assert found["faults"] == []
    assert found["kills"] >= min(count, found["operations"]) // 2, "some come later than the last operation of this run"
    print(f"killed at {found['kills']} of {found['operations']} operations")
