"""The course's steps are killed (kill -9), run on a full disk and where nobody may write, and then run again.

In the end there is what an undisturbed run leaves.
"""

import hashlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from download_server import Server, running

HARNESS = Path(__file__).parents[1] / "helpers" / "crash_harness.py"
STAGES = ("download", "resources", "embed", "prepare", "train", "records", "train-records")
NAMESPACE = ["unshare", "--mount"]
FILE = random.Random(6).randbytes(400_000)


def may_mount() -> bool:
    """Whether this process may mount things in a namespace of its own, as root in most containers may."""
    command = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return bool(shutil.which("unshare")) and not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("kills", "stages"), [
    (1, STAGES), pytest.param(20, (*STAGES, "show-and-tell", "attention"), marks=pytest.mark.full),
])  # fmt: skip
def test_a_disturbed_stage_leaves_what_it_leaves_undisturbed(kills, stages, no_proxy):
    start, what = (NAMESPACE, "troubles") if may_mount() else ([], "kills")
    command = [*start, sys.executable, str(HARNESS), str(kills), what, *stages]
    with running(Server()) as server:
        server.files, server.etags = {"/file": FILE}, {"/file": '"one"'}
        own = {"URL": f"{server.url}/file", "CHECKSUM": f"sha256:{hashlib.sha256(FILE).hexdigest()}"}
        done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.split() == list(stages), done.stderr
