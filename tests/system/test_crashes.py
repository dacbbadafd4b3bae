"""The course's steps are killed (kill -9) and run again: in the end there is what an undisturbed run leaves."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1].joinpath("helpers", "crash_harness.py")
STAGES = ("resources", "embed", "prepare", "train", "records", "train-records")
ADVANCED = ("show-and-tell", "attention")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def findings(kills: int, stage: str) -> dict[str, dict]:
    """What the harness finds about the stages up to this one."""
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"seed {seed}; the same again: KILL_SEED={seed}")
    command = [sys.executable, str(HARNESS), "--upto", stage, "--kills", str(kills), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * 3600, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert found, done.stderr
    return {facts["stage"]: facts for facts in found}


@pytest.fixture(scope="module")
def three_kills() -> dict[str, dict]:
    return findings(3, STAGES[-1])


@pytest.fixture(scope="module")
def twenty_kills() -> dict[str, dict]:
    return findings(20, ADVANCED[-1])


def check(facts: dict, kills: int) -> None:
    print(facts)
    assert facts["faults"] == []
    assert facts["kills"] == kills and facts["ends"] >= 1 and facts["at_operations"] >= 1


@pytest.mark.parametrize("stage", STAGES)
def test_killed_three_times_a_stage_leaves_what_it_leaves_undisturbed(stage, three_kills):
    check(three_kills[stage], 3)


@pytest.mark.full
@pytest.mark.parametrize("stage", [*STAGES, *ADVANCED])
def test_killed_twenty_times_a_stage_leaves_what_it_leaves_undisturbed(stage, twenty_kills):
    check(twenty_kills[stage], 20)
