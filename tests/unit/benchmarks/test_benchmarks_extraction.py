"""The stage on extraction: pictures of a realistic size, and contenders that find the same embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.runner import run_stage
from benchmarks.stage import Stage, find_function
from benchmarks.stages import extraction

(STAGE,) = extraction.STAGES


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> dict:
    return extraction.make_work(tmp_path_factory.mktemp("work"), small=True)


def test_pictures_pack_as_photographs_do(tmp_path):
    extraction.write_zip(tmp_path / "a.zip", 3, extraction.SIZE)
    assert 130_000 < (tmp_path / "a.zip").stat().st_size / 3 < 180_000


def test_every_contender_of_this_process_finds_the_same(work):
    checks = []
    for contender in STAGE.contenders:
        if not contender.missing() and not contender.environ:
            sample = find_function(contender.prepare)(work)()
            assert sample.amount > 0 and sample.seconds > 0
            if contender.key not in ("bf16", "prepare"):  # other numbers, and none
                checks.append(sample.check)
    assert len(checks) >= 4
    for check in checks[1:]:
        np.testing.assert_allclose(check, checks[0], rtol=STAGE.agreement)


def test_the_course_works_anew_each_time(work):
    repetition = find_function(STAGE.contender("course").prepare)(work)
    assert [repetition().amount for _ in range(2)] == [40, 40]


def test_goals_name_contenders():
    keys = {contender.key for contender in STAGE.contenders}
    assert all({goal.key, *goal.against} <= keys for goal in STAGE.goals)


def test_the_runner_runs_it(tmp_path):
    kept = tuple(contender for contender in STAGE.contenders if contender.key in ("course", "queue"))
    found = run_stage(Stage(**{**vars(STAGE), "contenders": kept}), tmp_path, repetitions=1, small=True)
    assert found.of("course") and found.of("queue") and not found.disagreements()
