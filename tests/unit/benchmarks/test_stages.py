"""The stages: all that can run here finds the same, on work of the right kind."""

import numpy as np
import pytest

from benchmarks.__main__ import all_stages
from benchmarks.decoder_work import make_work, vocabulary
from benchmarks.stage import agree
from benchmarks.stages import extraction, first_caption
from benchmarks.stages.decoder_training import END, MAX_LEN, draw_matrix
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import Greedy
from say_what_you_see.models.saved_decoder import read_saved_decoder

STAGES = all_stages()
FOLDERS, PROGRAMS = ("folder_greedy", "folder_beam"), ("first_caption",)


@pytest.mark.parametrize("name", [name for name in STAGES if name not in FOLDERS + PROGRAMS])
def test_every_contender_of_this_process_finds_the_same(name, tmp_path):
    stage = STAGES[name]
    work, checks = stage.make_work(tmp_path, True), {}
    for contender in stage.contenders:
        if not contender.missing() and not contender.environ:
            sample = contender.prepare(work)()
            assert sample.amount > 0
            checks[contender.key] = sample.known()
    first = next(iter(checks.values()))
    assert len(checks) >= 2 and all(check for key, check in checks.items() if "bf16" not in key)
    assert [key for key, check in checks.items() if not agree(first, check, stage.agreement)] == []


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_captioned_as_a_whole(name, tmp_path):
    work = STAGES[name].make_work(tmp_path, True)
    for contender in STAGES[name].contenders:
        assert contender.missing() or contender.prepare(work)().amount == 4


def test_captions_are_as_long_as_those_of_coco(tmp_path):
    matrix = draw_matrix(20_000, 8769, np.random.default_rng(1))
    lengths = (matrix > END).sum(axis=1)
    assert lengths.mean() == pytest.approx(10.5, abs=0.1) and lengths.std() == pytest.approx(2.3, abs=0.15)
    assert lengths.min() == 6 and lengths.max() == MAX_LEN - 1

    vocab = vocabulary(make_work(tmp_path, small=True)["words"])
    decoder, features = read_saved_decoder(tmp_path / "decoder.keras"), np.load(tmp_path / "features.npy")
    lengths = (generate(decoder, features, vocab, Greedy(MAX_LEN)).indices[:, 0] != vocab["#END#"]).sum(axis=1)
    assert lengths.mean() == pytest.approx(10.5, abs=1) and lengths.std() > 0.5


def test_pictures_pack_as_photographs_do(tmp_path):
    extraction.write_zip(tmp_path / "a.zip", 3, extraction.SIZE)
    assert 130_000 < (tmp_path / "a.zip").stat().st_size / 3 < 180_000


def test_a_command_runs_with_the_data_of_its_work():
    assert first_caption.run(["-c", "import os; print(os.environ['COURSE_DATA'])"], {"folder": "here"}) == "here\n"
