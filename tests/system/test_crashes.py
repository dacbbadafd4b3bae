"""The course's steps are killed (kill -9), run on a full disk and where nobody may write, and then run again.

In the end there is what an undisturbed run leaves.
"""

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

HARNESS = Path(__file__).parents[1] / "helpers" / "crash_harness.py"
DOWNLOADS = ("download_0", "download_1")
STAGES = (*DOWNLOADS, "resources", "embed", "prepare", "train", "records", "train-records")
NAMESPACE = ["unshare", "--mount"]
FILE = random.Random(6).randbytes(400_000)


def may_mount() -> bool:
    """Whether this process may mount things in a namespace of its own, as root in most containers may."""
    try:
        command = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("kills", "stages"), [
    (1, STAGES), pytest.param(20, (*STAGES, "show-and-tell", "attention"), marks=pytest.mark.full),
])  # fmt: skip
def test_a_disturbed_stage_leaves_what_it_leaves_undisturbed(kills, stages):
    start, troubles = (NAMESPACE, ["--troubles"]) if may_mount() else ([], [])
    command = [*start, sys.executable, str(HARNESS), *troubles, "--kills", str(kills), "--stages", *stages]
    with running_server() as server, running_server() as without_ranges:
        without_ranges.faults.knows_ranges = False
        for each in (server, without_ranges):
            each.files, each.etags = {"/file": FILE}, {"/file": ['"one"']}
        environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environ["URLS"] = f"{server.url}/file {without_ranges.url}/file"
        environ["CHECKSUM"] = f"sha256:{hashlib.sha256(FILE).hexdigest()}"
        seed = ["--seed", os.environ.get("KILL_SEED", "0")]
        done = subprocess.run([*command, *seed], env=environ, capture_output=True, text=True, check=False)
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["stage"] for each in findings] == list(stages), done.stderr
    for each in findings:
        assert each["faults"] == [] and each["kills"] >= kills and each["ends"] >= 1, each
        assert len(each["said"]) == 2 * bool(troubles)
