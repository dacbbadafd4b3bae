"""The two files of Flickr30k: read row by row, made from other data sets, and clear about what is wrong."""

from pathlib import Path

import numpy as np
import pytest

from say_what_you_see.core.errors import CourseError
from say_what_you_see.language import caption_table
from say_what_you_see.language.caption_table import get_data, read_annotations, write_caption_table

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


def test_quotation_marks_and_odd_line_breaks_inside_captions_move_no_row(paths):
    lines = ['a.jpg#0\t"Stop', "a.jpg#1\tone\u2028two\x85three", "b.jpg#0\t", 'b.jpg#1\tgo" now .']
    for ending in ("\n", "\r\n"):
        features, captions = get_data(*written(paths, "\ufeff" + ending.join(lines) + ending * 2, 4))
        assert isinstance(features, np.memmap) and features.shape == (4, 4)
        assert captions.tolist() == ['"Stop', "one\u2028two\x85three", "", 'go" now .']


@pytest.mark.parametrize("line", ["a.jpg\tno number", "a.jpg#0 no tab", "#0\tno name", "a.jpg#x\tno", "a.jpg#²\tno"])
def test_a_malformed_line_is_named_by_its_number(paths, line):
    with pytest.raises(CourseError, match=r"Line 2 of .*captions\.token"):
        get_data(*written(paths, f"a.jpg#0\tfine\n{line}\na.jpg#1\tfine\n", 3))


def test_counts_that_differ_are_told_with_both_numbers(paths):
    text = "a.jpg#0\tone\na.jpg#1\ttwo\n\nb.jpg#0\tthree\n"
    with pytest.raises(CourseError, match=r"has 3 captions, but features\.npy has 4 rows\. The two"):
        get_data(*written(paths, text, 4))
    with pytest.raises(CourseError, match=r"has 2 rows\. That is one row for each picture"):
        get_data(*written(paths, text, 2))


def test_files_that_are_missing_or_damaged_are_named(paths):
    with pytest.raises(CourseError, match=r"captions\.token"):
        get_data(*paths)
    paths[0].write_bytes(b"a.jpg#0\tfine\na.jpg#1\tB\xe4r\n")
    with pytest.raises(CourseError, match=r"Line 2 of .*captions\.token is not in UTF-8"):
        read_annotations(paths[0])
    written(paths, "a.jpg#0\tfine\n", 1)
    np.save(paths[1], np.ones((1, 3, 4)))
    with pytest.raises(CourseError, match=r"features\.npy has the shape \(1, 3, 4\)"):
        get_data(*paths)


def test_the_converter_repeats_features_and_keeps_the_order(paths, monkeypatch):
    monkeypatch.setattr(caption_table, "_BLOCK", 2)
    write_caption_table(FNS, CAPTIONS, EMBEDS, *paths)
    features, captions = get_data(*paths)
    assert features[:, 0].tolist() == [0, 0, 4, 8, 8, 8] and features.dtype == np.float32
    assert captions.tolist() == [caption for group in CAPTIONS for caption in group]
    assert [line.split("\t")[0] for line in paths[0].read_text(encoding="utf-8").splitlines()] == [
        "a.jpg#0", "a.jpg#1", "b#2.jpg#0", "ü.jpg#0", "ü.jpg#1", "ü.jpg#2",
    ]  # fmt: skip
