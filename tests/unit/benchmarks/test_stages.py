"""The stages: all that can run here finds the same, on work of the right kind."""

from __future__ import annotations

import mmap
import os
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.__main__ import all_stages
from benchmarks.decoder_work import MEAN_LENGTH, caption_lengths, make_work, read_work
from benchmarks.machine import anonymous_mb, file_mb, peak_mb
from benchmarks.stage import agree
from benchmarks.stages import extraction, first_caption
from benchmarks.stages.decoder_training import CHECKED_LOSSES, END, MAX_LEN, PAD, START, draw_captions
from say_what_you_see.core.errors import CourseError

STAGES = all_stages()
IN_PROCESSES_OF_THEIR_OWN = ("first_caption", "two_processes")
KEEP_NO_CHECK = ("bf16", "prepare")


@pytest.mark.parametrize("name", [name for name in STAGES if name not in IN_PROCESSES_OF_THEIR_OWN])
def test_every_contender_of_this_process_finds_the_same(name, tmp_path):
    stage = STAGES[name]
    work, checks = stage.make_work(tmp_path, True), {}
    for contender in stage.contenders:
        if not contender.missing() and not contender.environ:
            sample = contender.prepare(work)()
            assert sample.seconds > 0
            checks[contender.key] = sample.check
    first = next(iter(checks.values()))
    assert len(checks) >= 2 and first is not None
    assert [key for key, check in checks.items() if not agree(first, check, stage.agreement)] == []
    assert all(checks[key] is not None for key in checks if key not in KEEP_NO_CHECK)


def test_every_function_of_a_contender_is_there_and_every_goal_names_contenders():
    for stage in STAGES.values():
        keys = [contender.key for contender in stage.contenders]
        assert len(keys) == len(set(keys))
        assert all({goal.key, *goal.against} <= set(keys) for goal in stage.goals)
        assert all(find_spec(contender.function.split(":")[0]) for contender in stage.contenders)


def test_captions_to_train_on_are_as_long_as_those_of_coco():
    captions = draw_captions(20_000, 8769, np.random.default_rng(1))
    lengths = (captions > END).sum(axis=1)
    assert lengths.mean() == pytest.approx(10.5, abs=0.1) and lengths.std() == pytest.approx(2.3, abs=0.15)
    assert lengths.min() == 6 and lengths.max() == MAX_LEN - 1 and captions.max() < 8769
    assert (captions[:, 0] == START).all()
    assert ((captions == PAD).sum(axis=1) == MAX_LEN - 1 - lengths - (captions == END).any(axis=1)).all()


def test_losses_of_training_are_noted_step_by_step(tmp_path):
    stage = STAGES["decoder_training"]
    losses = stage.contender("keras_fit").prepare(stage.make_work(tmp_path, True))().check
    assert len(losses) == CHECKED_LOSSES == len(set(losses))


def test_captions_to_decode_have_the_mean_length_asked_for_and_differ(tmp_path):
    work = read_work(make_work(tmp_path, small=True))
    lengths = caption_lengths(work.weights, work.features)
    assert lengths.mean() == pytest.approx(MEAN_LENGTH, abs=1) and lengths.std() > 0.5


def test_pictures_pack_as_photographs_do(tmp_path):
    extraction.write_zip(tmp_path / "a.zip", 3, extraction.SIZE)
    assert 130_000 < (tmp_path / "a.zip").stat().st_size / 3 < 180_000


def test_a_command_is_timed_and_its_caption_read(tmp_path):
    code = "import os, json; print(json.dumps({'pictures': [{'caption': os.environ['COURSE_DATA']}]}))"
    sample = first_caption.timed(["-c", code], {"folder": str(tmp_path)}, first_caption.caption_in_json)
    assert sample.check == str(tmp_path) and sample.amount > 0 and sample.extra["processor time (s)"] > 0
    with pytest.raises(CourseError, match="it went wrong"):
        first_caption.timed(["-c", "raise SystemExit('it went wrong')"], {"folder": str(tmp_path)}, str)


@pytest.mark.skipif(anonymous_mb() is None, reason="this system tells only peaks")
def test_own_memory_and_pages_of_files_are_told_apart(tmp_path):
    own, pages = anonymous_mb(), file_mb()
    with mmap.mmap(-1, 30_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as kept:  # pages that nobody had before
        for first in range(0, len(kept), mmap.PAGESIZE):
            kept[first] = 1
        assert anonymous_mb() - own == pytest.approx(30, abs=3) and file_mb() - pages < 3 and peak_mb() >= 30
    (tmp_path / "pages").write_bytes(os.urandom(1000) * 20_000)
    own, pages = anonymous_mb(), file_mb()
    with open(tmp_path / "pages", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) > 0
        assert file_mb() - pages == pytest.approx(20, abs=3) and anonymous_mb() - own < 3
