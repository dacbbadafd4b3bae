"""The two files of Flickr30k: read row by row, made from other data sets, and clear about what is wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import say_what_you_see.core.files
import say_what_you_see.language.caption_table
from say_what_you_see.core.errors import CourseError
from say_what_you_see.language.caption_table import get_data, open_features, read_annotations, write_caption_table
from say_what_you_see.language.captions import (
    END,
    PAD,
    START,
    generate_vocabulary,
    indices_to_sentence,
    invert_vocabulary,
)
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.examples import RandomBatches, table_examples

FNS = ["a.jpg", "b#2.jpg", "ü.jpg"]
CAPTIONS = [["A red ball.", "Ein Bällchen"], ["Two dogs"], ["x", 'He says "hi', "y"]]
EMBEDS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def paths(tmp_path) -> tuple[Path, Path]:
    return tmp_path / "captions.token", tmp_path / "features.npy"


def written(paths: tuple[Path, Path], text: str, rows: int, size: int = 4) -> tuple[Path, Path]:
    paths[0].write_text(text, encoding="utf-8", newline="")
    np.save(paths[1], np.ones((rows, size), dtype=np.float32))
    return paths


def test_every_caption_has_a_row_of_features(paths):
    features, captions = get_data(*written(paths, "a.jpg#0\tA dog .\na.jpg#1\tIt runs\nb.jpg#0\tsnow\n", 3))
    assert isinstance(features, np.memmap) and features.shape == (3, 4)
    assert captions.tolist() == ["A dog .", "It runs", "snow"]


def test_quotation_marks_and_odd_line_breaks_inside_captions_move_no_row(paths):
    lines = ['a.jpg#0\t"Stop', "a.jpg#1\tone\u2028two\x85three", "b.jpg#0\t", 'b.jpg#1\tgo" now']
    for ending in ("\n", "\r\n"):
        captions = get_data(*written(paths, "\ufeff" + ending.join(lines) + ending * 2, 4))[1]
        assert captions.tolist() == ['"Stop', "one\u2028two\x85three", "", 'go" now']


@pytest.mark.parametrize(
    "line", ["", "a.jpg\tno number", "a.jpg#0 no tab", "#0\tno name", "a.jpg#x\tno digit", "a.jpg#²\tno digit"]
)
def test_a_malformed_line_is_named_by_its_number(paths, line):
    with pytest.raises(CourseError, match=r"Line 2 of .*captions\.token"):
        get_data(*written(paths, f"a.jpg#0\tfine\n{line}\na.jpg#1\tfine\n", 3))


def test_text_that_is_not_utf8_is_named_by_its_line(paths):
    paths[0].write_bytes(b"a.jpg#0\tfine\na.jpg#1\tB\xe4r\n")
    with pytest.raises(CourseError, match=r"Line 2 of .*UTF-8"):
        read_annotations(paths[0])


@pytest.mark.parametrize("text", ["", "\n", "\ufeff\r\n"])
def test_a_file_without_captions_says_so(paths, text):
    with pytest.raises(CourseError, match="holds no captions"):
        get_data(*written(paths, text, 1))


def test_counts_that_differ_are_told_with_both_numbers(paths):
    text = "a.jpg#0\tone\na.jpg#1\ttwo\nb.jpg#0\tthree\n"
    with pytest.raises(CourseError, match="has 3 captions, but features.npy has 4 rows") as told:
        get_data(*written(paths, text, 4))
    assert "one row for each picture" not in str(told.value)
    with pytest.raises(CourseError, match="has 2 rows. That is one row for each picture"):
        get_data(*written(paths, text, 2))


def test_files_that_are_missing_or_damaged_are_named(paths):
    with pytest.raises(CourseError, match="captions.token"):
        get_data(*paths)
    with pytest.raises(CourseError, match="features.npy"):
        open_features(paths[1])
    for content in (b"", b"no array", b"\x93NUMPY"):
        paths[1].write_bytes(content)
        with pytest.raises(CourseError, match="features.npy"):
            open_features(paths[1])


def test_a_truncated_or_oddly_shaped_file_of_features_is_refused(paths):
    np.save(paths[1], np.ones((100, 50), dtype=np.float32))
    paths[1].write_bytes(paths[1].read_bytes()[:5000])
    with pytest.raises(CourseError, match="no whole NumPy file"):
        open_features(paths[1])
    for wrong in (np.ones(3), np.ones((2, 3, 4)), np.array([["a", "b"]]), np.array([[{}]], dtype=object)):
        np.save(paths[1], wrong, allow_pickle=True)
        with pytest.raises(CourseError, match="features.npy"):
            open_features(paths[1])


def test_the_converter_repeats_features_and_keeps_the_order(paths, monkeypatch):
    monkeypatch.setattr(say_what_you_see.language.caption_table, "PICTURES_AT_ONCE", 2)
    write_caption_table(FNS, CAPTIONS, EMBEDS, *paths)
    features, captions = get_data(*paths)
    assert features[:, 0].tolist() == [0, 0, 4, 8, 8, 8] and features.dtype == np.float32
    assert captions.tolist() == [caption for group in CAPTIONS for caption in group]
    annotations = read_annotations(paths[0])
    assert [(one.picture, one.number) for one in annotations] == [
        ("a.jpg", 0), ("a.jpg", 1), ("b#2.jpg", 0), ("ü.jpg", 0), ("ü.jpg", 1), ("ü.jpg", 2),
    ]  # fmt: skip


def test_tabs_and_line_breaks_in_captions_become_spaces(paths):
    write_caption_table(["a.jpg"], [["one\ttwo\r\nthree ", "\n"]], EMBEDS[:1], *paths)
    assert get_data(*paths)[1].tolist() == ["one two three", ""]


@pytest.mark.parametrize("name", ["", "a\tb.jpg", "a\nb.jpg"])
def test_names_that_break_the_format_are_refused_and_nothing_is_lost(paths, name):
    write_caption_table(FNS, CAPTIONS, EMBEDS, *paths)
    before = [path.read_bytes() for path in paths]
    with pytest.raises(CourseError, match="Rename it"):
        write_caption_table(["c.jpg", name], [["x"], ["y"]], EMBEDS[:2], *paths)
    assert [path.read_bytes() for path in paths] == before


def test_a_full_disk_or_an_interruption_leaves_the_old_files(paths, monkeypatch):
    write_caption_table(FNS, CAPTIONS, EMBEDS, *paths)
    before = [path.read_bytes() for path in paths]
    with monkeypatch.context() as patch:
        patch.setattr(say_what_you_see.core.files.shutil, "disk_usage", lambda _: SimpleNamespace(free=50))
        with pytest.raises(CourseError, match="features.npy"):
            write_caption_table(FNS[:1], CAPTIONS[:1], EMBEDS[:1], *paths)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(say_what_you_see.language.caption_table, "progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_caption_table(FNS[:1], CAPTIONS[:1], EMBEDS[:1], *paths)
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["captions.token", "features.npy"]


@pytest.mark.parametrize("cut", [(2, 3, 3), (3, 2, 3), (3, 3, 2), (0, 0, 0)])
def test_names_captions_and_features_must_be_of_as_many_pictures(paths, cut):
    with pytest.raises(CourseError, match="There are"):
        write_caption_table(FNS[: cut[0]], CAPTIONS[: cut[1]], EMBEDS[: cut[2]], *paths)
    assert not list(paths[0].parent.iterdir())


def test_examples_pair_each_caption_with_its_own_row(paths):
    write_caption_table(FNS, CAPTIONS, EMBEDS, *paths)
    features, captions = get_data(*paths)
    vocab = generate_vocabulary(CAPTIONS, 1)
    examples = table_examples(features, captions, vocab)
    assert examples.image_embeds is features
    assert examples.captions.n_images == len(captions) == 6
    assert indices_to_sentence(examples.captions.matrix[4], invert_vocabulary(vocab)) == "he says hi"
    assert examples.captions.matrix[4].tolist()[:1] == [vocab[START]] and vocab[END] in examples.captions.matrix[4]
    (embeds, words), _ = RandomBatches(examples, TrainingConfig(1, batch_size=6))[0]
    row_of = {tuple(row[:-1]): number for number, row in enumerate(examples.captions.matrix.tolist())}
    for embed, sentence in zip(embeds, words.tolist(), strict=True):
        np.testing.assert_array_equal(embed, features[row_of[tuple(sentence)]])
    assert (examples.captions.matrix == vocab[PAD]).any()
