"""The stages on decoding: what they work on, and that all contenders find the same captions."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.decoder_work import MEAN_LENGTH, caption_lengths, make_work
from benchmarks.peers.decoding import read_work
from benchmarks.runner import run_stage
from benchmarks.stage import find_function
from benchmarks.stages import beam, greedy

STAGES = [*greedy.STAGES, *beam.STAGES]


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> dict:
    return make_work(tmp_path_factory.mktemp("work"), small=True)


def test_captions_have_the_mean_length_asked_for_and_differ(work):
    weights, features, _ = read_work(work)
    lengths = caption_lengths(weights, features)
    assert lengths.mean() == pytest.approx(MEAN_LENGTH, abs=1) and lengths.std() > 0.5


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_contender_of_this_process_finds_the_same(stage, work):
    checks = []
    for contender in stage.contenders:
        if not contender.missing() and not contender.environ:
            sample = find_function(contender.prepare)(work)()
            assert sample.amount > 0 and sample.seconds > 0
            checks.append(sample.check)
    assert len(checks) >= 5
    for check in checks[1:]:
        np.testing.assert_allclose(check, checks[0], rtol=stage.agreement)


def test_goals_name_contenders():
    for stage in STAGES:
        keys = {contender.key for contender in stage.contenders}
        assert all({goal.key, *goal.against} <= keys for goal in stage.goals)


def test_the_runner_runs_them(tmp_path, monkeypatch):
    stage = greedy.STAGES[0]
    kept = tuple(contender for contender in stage.contenders if contender.key in ("exported", "torch"))
    found = run_stage(type(stage)(**{**vars(stage), "contenders": kept}), tmp_path, repetitions=1, small=True)
    assert found.of("exported") and not found.disagreements()
