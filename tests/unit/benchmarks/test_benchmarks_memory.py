"""The stages of the benchmark about training's memory and the first caption, and what they measure with."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from benchmarks.memory import anonymous_mb, file_mb, peak_mb
from benchmarks.runner import run_stage
from benchmarks.stages import first_caption, training_memory
from say_what_you_see.core.errors import CourseError

needs_status = pytest.mark.skipif(anonymous_mb() is None, reason="this system tells only peaks")


@needs_status
def test_own_memory_and_pages_of_files_are_told_apart(tmp_path):
    own, pages = anonymous_mb(), file_mb()
    kept = np.ones(30_000_000, "uint8")
    assert anonymous_mb() - own == pytest.approx(30, abs=3)
    assert file_mb() - pages < 3
    assert peak_mb() > 30 + own
    del kept
    path = tmp_path / "pages"
    path.write_bytes(bytes(20_000_000))
    own, pages = anonymous_mb(), file_mb()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) == 0
        assert file_mb() - pages == pytest.approx(20, abs=3)
        assert anonymous_mb() - own < 3


def test_both_train_alike(tmp_path):
    (stage,) = training_memory.STAGES
    found = run_stage(stage, tmp_path, repetitions=1, small=True)
    assert [result.trouble for result in found.results] == ["", ""]
    assert found.disagreements() == []
    (loss,) = found.results[0].samples[0].check
    assert 0 < loss < 20


def test_a_command_is_timed_and_its_caption_read(tmp_path):
    work = {"folder": str(tmp_path)}
    code = "import os, json; print(json.dumps({'pictures': [{'caption': os.environ['COURSE_DATA']}]}))"
    sample = first_caption.timed(["-c", code], work, first_caption.caption_in_json)
    assert sample.check == str(tmp_path)
    assert 0 < sample.amount < 60 and 0 < sample.facts["processor time (s)"] < 60


def test_a_command_that_fails_is_told(tmp_path):
    with pytest.raises(CourseError, match="SystemExit|it went wrong"):
        first_caption.timed(["-c", "raise SystemExit('it went wrong')"], {"folder": str(tmp_path)}, str)


@pytest.mark.full
def test_all_say_the_same_of_a_picture(tmp_path):
    (stage,) = first_caption.STAGES
    found = run_stage(stage, tmp_path, repetitions=1, small=True)
    assert [result.trouble for result in found.results] == ["", "", ""]
    assert found.disagreements() == []
    assert len(found.results[0].samples[0].check.split()) > 3
