"""The stage of the benchmark that prepares captions: its contenders agree, and the captions are like COCO's."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.made_captions import make_captions, write_captions
from benchmarks.runner import run_stage
from benchmarks.stages.preparing import STAGES
from say_what_you_see.data.coco_format import read_captions
from say_what_you_see.language.captions import split_sentence


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_both_prepare_the_same(stage, tmp_path):
    found = run_stage(stage, tmp_path, repetitions=1, small=True)
    assert [result.trouble for result in found.results] == ["", ""]
    assert found.disagreements() == []
    (words, captions, _), other = (result.samples[0].check for result in found.results)
    assert captions == 7_500 and words > 500 and other[:2] == [words, captions]
    assert all(result.median > 0 for result in found.results)


def test_made_captions_have_the_lengths_and_the_words_of_a_large_data_set():
    made = make_captions()
    counts = np.bincount(made.drawn, minlength=len(made.words))
    assert (len(made.lengths), len(made.names)) == (414_113, 82_783)
    assert made.lengths.mean() == pytest.approx(10.5, abs=0.05)
    assert 40 < made.lengths.max() < 60 and made.lengths.min() == 7
    assert 20_000 < (counts > 0).sum() < 30_000
    assert (counts >= 5).sum() == pytest.approx(8_769, rel=0.03)
    assert np.unique(made.picture).size == len(made.names)
    assert len(set(made.words)) == len(made.words)


def test_made_captions_can_be_read_again(tmp_path):
    made = make_captions(40, 200)
    write_captions(made, tmp_path / "captions.zip")
    captions = read_captions(tmp_path / "captions.zip", "annotations/captions_train2014.json")
    assert set(captions) == set(made.names) and sum(map(len, captions.values())) == 200
    ends = np.cumsum(made.lengths)
    own = [number for number in range(200) if made.picture[number] == 3]
    spoken = [[made.words[word] for word in made.drawn[ends[n] - made.lengths[n] : ends[n]]] for n in own]
    assert [split_sentence(caption) for caption in captions[made.names[3]]] == spoken
