"""The benchmark of training: its contenders really train alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.runner import run_stage
from benchmarks.stages.decoder_training import CHECKED_LOSSES, END, MAX_LEN, PAD, STAGES, START, draw_captions

(STAGE,) = STAGES


def test_captions_are_as_long_as_those_of_coco():
    captions = draw_captions(20_000, 8769, np.random.default_rng(1))
    lengths = (captions > END).sum(axis=1)
    assert lengths.mean() == pytest.approx(10.5, abs=0.1) and lengths.std() == pytest.approx(2.3, abs=0.15)
    assert lengths.min() == 6 and lengths.max() == MAX_LEN - 1
    whole = lengths < MAX_LEN - 1
    assert (captions[:, 0] == START).all() and captions.max() < 8769
    rows = np.arange(len(captions))[whole]
    assert (captions[rows, lengths[whole] + 1] == END).all()
    assert ((captions == PAD).sum(axis=1) == MAX_LEN - 1 - lengths - (captions == END).any(axis=1)).all()


def test_contenders_start_alike_and_learn_alike(tmp_path):
    """The course's other ways of training are held against this one elsewhere, on each backend."""
    keys = ("course", "keras_fit", "tf1", "torch")
    contenders = tuple(contender for contender in STAGE.contenders if contender.key in keys)
    found = run_stage(replace(STAGE, contenders=contenders), tmp_path, repetitions=1, small=True)
    for result in found.results:
        if result.contender.missing():
            continue
        assert not result.trouble
        losses = result.samples[0].check
        assert len(losses) == CHECKED_LOSSES and len(set(losses)) == CHECKED_LOSSES
    assert found.disagreements() == []
