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


def kill(server, moments: str, folder: Path, count: int) -> dict:
    """Have downloads killed; what the killer reports."""
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"seed {seed}; the same again: KILL_SEED={seed}")
    command = [sys.executable, str(KILLER), moments, f"{server.url}/file", str(folder), CHECKSUM, str(seed), str(count)]
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("count", [3, pytest.param(20, marks=pytest.mark.full)])
@pytest.mark.parametrize("ranges", [True, False])
def test_killed_at_random_moments_the_same_bytes_come(server, tmp_path, ranges, count):
    server.faults.knows_ranges, server.faults.bytes_per_second = ranges, len(CONTENT)
    result = kill(server, "moments", tmp_path / "downloads", count)
    assert result["kills"] == count and result["faults"] == [] and result["downloads"] >= 1


@pytest.mark.parametrize("count", [6, pytest.param(1000, marks=pytest.mark.full)])
def test_killed_at_any_operation_on_files_nothing_is_lost_or_left_behind(server, tmp_path, count):
    result = kill(server, "operations", tmp_path / "downloads", count)
    assert result["faults"] == []
    assert result["kills"] == min(count, result["operations"])
