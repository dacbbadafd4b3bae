"""Downloads that are killed (kill -9) while they write and at each operation on files, and then run again."""

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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("count", [8, pytest.param(1000, marks=pytest.mark.full)])
@pytest.mark.parametrize("ranges", [True, False])
def test_killed_at_any_step_the_same_bytes_come_and_nothing_is_left_behind(tmp_path, ranges, count):
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"seed {seed}; the same again: KILL_SEED={seed}")
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with running_server() as server:
        server.files, server.etags, server.faults.knows_ranges = {"/file": CONTENT}, {"/file": ['"one"']}, ranges
        command = [sys.executable, str(KILLER), f"{server.url}/file", str(tmp_path / "downloads"), CHECKSUM]
        done = subprocess.run(
            [*command, str(seed), str(count)], env=environ, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["faults"] == [] and result["kills"] >= min(count, result["steps"])
