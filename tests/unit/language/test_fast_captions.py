"""The quick way to prepare captions gives what the lessons' functions give, on whatever there is."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_arrays, sha256_of, write_json
from say_what_you_see.language import fast_captions as fast
from say_what_you_see.language import json_lists
from say_what_you_see.language.captions import (
    PAD,
    caption_tokens_to_indices,
    generate_vocabulary,
    get_captions_for_fns,
    pack_captions,
)
from say_what_you_see.language.captions import split_sentence as split_plainly
from say_what_you_see.language.fast_captions import index_captions, split_captions, write_caption_rows
from say_what_you_see.language.json_lists import Unusual, read_lists

MEMBER = "annotations/captions.json"
HARD = [
    "ΟΔΟΣ",
    "Σ",
    "ΑΣ.",
    "İstanbul",
    "ǅ ǈ",
    "Straße ﬁn",
    "K\u212a\u00b5",
    "naïve café",
    "a\u0301",
    "x\ud800y",
    "\ufdd0",
]
signs = st.characters(codec=None) | st.sampled_from(
    "Σσςİıẞ'.:·\u00ad\u0301\uffff\ufffe\ud800\n\r\t\x00\x1c\x85\u2028_ "
)
texts = st.text(signs, max_size=30) | st.sampled_from(HARD)
groups = st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=8)
quick = settings(max_examples=150, deadline=None, database=None)


def pack(path: Path, text: str | bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(MEMBER, text)
    return path


def write(path: Path, captions: list[list[str]], **more) -> list[str]:
    """A zip with these captions, in turn one of each picture; returns the names of the pictures."""
    names = [f"{number * 7919 % 10_007:05d}.jpg" for number in range(len(captions))]
    ids = [10**12 - 17 * number for number in range(len(captions))]
    images = [{"file_name": name, "id": own} for name, own in zip(names, ids, strict=True)]
    longest = max(map(len, captions))
    annotations = [
        {"image_id": own, "id": turn, "caption": group[turn]}
        for turn in range(longest)
        for own, group in zip(ids, captions, strict=True)
        if turn < len(group)
    ]
    pack(path, json.dumps({"info": {"a": [{}]}, "images": images, "licenses": [], "annotations": annotations, **more}))
    return names


def plainly(names, path, min_count=5, vocab=None):
    captions = get_captions_for_fns(names, path, MEMBER)
    vocab = vocab or generate_vocabulary(captions, min_count)
    return vocab, pack_captions(caption_tokens_to_indices(captions, vocab), vocab[PAD])


def check_same(found, expected):
    (vocab, rows), (plain_vocab, packed) = found, expected
    assert list(vocab.items()) == list(plain_vocab.items())
    blocks = list(rows.blocks())
    np.testing.assert_array_equal(np.concatenate(blocks), packed.matrix, strict=True)
    np.testing.assert_array_equal(rows.first, packed.first, strict=True)
    assert (rows.shape, rows.dtype) == (packed.matrix.shape, packed.matrix.dtype)


@pytest.fixture
def never_plainly(monkeypatch):
    def fail(*_):
        pytest.fail("a usual file was left to the plain functions")

    monkeypatch.setattr(fast, "_index_plainly", fail)


@quick
@given(st.lists(texts, max_size=6))
def test_words_are_those_of_the_lesson_whatever_the_text(captions):
    found = " ".join(word.decode() for word in split_captions(captions)).split("\uffff")
    assert [part.split() for part in found[:-1]] == [split_plainly(caption) for caption in captions]


@pytest.mark.parametrize("text", HARD)
def test_hard_words_next_to_each_other(text):
    found = [word.decode() for word in split_captions([text, "plain Words, here", text])]
    assert found == [*split_plainly(text), "\uffff", "plain", "words", "here", "\uffff", *split_plainly(text), "\uffff"]


@quick
@given(groups, st.integers(0, 4), st.sampled_from([2**16, 64, 7]))
def test_vocabulary_and_matrix_are_those_of_the_lesson(tmp_path_factory, captions, min_count, piece):
    path = tmp_path_factory.getbasetemp() / "fast_captions.zip"
    names = write(path, captions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lists, "PIECE", piece)
        check_same(index_captions(names, path, MEMBER, min_count=min_count), plainly(names, path, min_count))
        part = sorted(names)[::2]
        check_same(index_captions(part, path, MEMBER, min_count=min_count), plainly(part, path, min_count))


def test_usual_files_are_read_the_quick_way(tmp_path, never_plainly, monkeypatch):
    monkeypatch.setattr(json_lists, "PIECE", 1000)
    rng = np.random.default_rng(0)
    words = ["a", "red", "ball", "naïve", "Kite,", "fish.", "ΣΑΣ", "}", '"', "{", "\\", "]"]
    captions = [
        [" ".join(rng.choice(words, rng.integers(0, 25))) for _ in range(rng.integers(1, 6))] for _ in range(90)
    ]
    names = write(tmp_path / "captions.zip", captions, more={"text": "x" * 5000, "numbers": [1, 2.5e3, None]})
    found = index_captions(names[::-1], tmp_path / "captions.zip", MEMBER, min_count=3)
    check_same(found, plainly(names[::-1], tmp_path / "captions.zip", 3))
    other = write(tmp_path / "others.zip", [["A purple ball.", "the red kite", ""]])
    known = index_captions(other, tmp_path / "others.zip", MEMBER, found[0])
    check_same(known, plainly(other, tmp_path / "others.zip", vocab=found[0]))


@pytest.mark.parametrize("last", ["zebra", "ant"])
def test_long_captions_are_cut_as_in_the_lesson(tmp_path, never_plainly, last):
    """The type of the matrix is that of the largest index in it: a word that is cut off everywhere does not count."""
    many = " ".join(f"w{number:03d}" for number in range(300))
    names = write(tmp_path / "captions.zip", [[f"{many} {last}"], ["a b"], [many * 2]])
    check_same(
        index_captions(names, tmp_path / "captions.zip", MEMBER, min_count=1),
        plainly(names, tmp_path / "captions.zip", 1),
    )


def test_more_words_than_two_bytes_can_number(tmp_path, never_plainly):
    captions = [[" ".join(f"w{word}" for word in range(first, first + 40))] for first in range(0, 68_000, 40)]
    names = write(tmp_path / "captions.zip", captions)
    check_same(
        index_captions(names, tmp_path / "captions.zip", MEMBER, min_count=1),
        plainly(names, tmp_path / "captions.zip", 1),
    )


def usual(**changes) -> dict:
    return {
        "images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "b"}],
        "annotations": [
            {"image_id": 1, "caption": "A cat"}, {"image_id": 2, "caption": "A dog"}, {"image_id": 1, "caption": "A"},
        ],
        **changes,
    }  # fmt: skip


UNUSUAL = {
    "captions first": json.dumps(dict(reversed(usual().items()))),
    "ids that are texts": json.dumps(usual()).replace(": 1", ': "1"').replace(": 2", ': "2"'),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(usual()).encode(),
    "utf-16": json.dumps(usual()).encode("utf-16"),
    "the last of two lists counts": json.dumps(usual())[:-1]
    + ', "annotations": '
    + json.dumps(usual()["annotations"][:2])
    + "}",
    "the last of two pictures of an id counts": json.dumps(
        usual(images=[{"id": 1, "file_name": "c"}, *usual()["images"]])
    ),
    "a key in other signs": json.dumps(usual()).replace("images", "im\\u0061ges"),
    "very large ids": json.dumps(usual()).replace(": 1", ": 99999999999999999999"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_files_are_read_as_in_the_lesson(name, tmp_path):
    path = pack(tmp_path / "captions.zip", UNUSUAL[name])
    check_same(index_captions(["b", "a"], path, MEMBER, min_count=1), plainly(["b", "a"], path, 1))


def test_a_picture_that_is_named_twice_counts_twice(tmp_path):
    path = pack(tmp_path / "captions.zip", json.dumps(usual()))
    check_same(index_captions(["b", "a", "b"], path, MEMBER, min_count=2), plainly(["b", "a", "b"], path, 2))


@pytest.mark.parametrize("names", [["a", "nobody.jpg"], ["nobody.jpg"]])
def test_a_picture_without_captions_is_named(names, tmp_path):
    path = pack(tmp_path / "captions.zip", json.dumps(usual()))
    with pytest.raises(CourseError, match=r"captions\.zip.*nobody\.jpg"):
        index_captions(names, path, MEMBER)
    with pytest.raises(CourseError, match="no captions"):
        index_captions([], path, MEMBER)


DAMAGED = [
    "", "[]", "{}", '{"images": []', '{"images": [], "annotations": []} more', '{"images": [{}], "annotations": [{}]}',
    '{"images": [{"id": 1, "file_name": "a"},], "annotations": []}', '{"images": 3, "annotations": []}',
    '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 2, "caption": "x"}]}',
    '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": 4}]}',
    '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": "x"}}',
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_files_end_as_in_the_lesson(text, tmp_path):
    path = pack(tmp_path / "captions.zip", text)
    with pytest.raises(Exception) as expected:  # noqa: B017, PT011  whatever it is
        plainly(["a"], path)
    with pytest.raises(type(expected.value)) as found:
        index_captions(["a"], path, MEMBER)
    assert str(found.value) == str(expected.value)


def test_a_damaged_zip_ends_as_in_the_lesson(tmp_path):
    path = pack(tmp_path / "captions.zip", json.dumps(usual()), zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"A cat", b"A bat"))
    with pytest.raises(zipfile.BadZipFile):
        index_captions(["a", "b"], path, MEMBER)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
objects = st.lists(
    st.dictionaries(st.sampled_from(["a", "}", '"', "]"]) | st.text(max_size=3), values, max_size=3), max_size=9
)


@quick
@given(objects, objects, values, st.booleans(), st.sampled_from([None, 1]), st.sampled_from([1, 5, 64, 2**16]))
def test_lists_come_in_pieces_as_they_are(first, second, other, ascii_only, indent, piece):
    data = {"first": first, "other": other, "second": second}
    text = json.dumps(data, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    found = {"first": [], "second": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lists, "PIECE", piece)
        for name, elements in read_lists(io.BytesIO(text), ("first", "second")):
            found[name] += elements
    assert found == {"first": first, "second": second}


@quick
@given(st.binary(max_size=40) | st.text('{}[]":,a1 \\', max_size=40).map(str.encode))
def test_what_is_no_json_gives_no_lists(text):
    try:
        expected = json.loads(text)["x"]
    except Exception:
        expected = None
    try:
        found = [element for _, elements in read_lists(io.BytesIO(text), ("x",)) for element in elements]
    except Unusual:
        return
    assert found == expected


def test_rows_are_written_as_numpy_writes_them(tmp_path):
    vocab, rows = index_captions(["a", "b"], pack(tmp_path / "captions.zip", json.dumps(usual())), MEMBER, min_count=1)
    write_json(vocab, tmp_path / "vocabulary.json")
    write_caption_rows(rows, tmp_path / "quick.npz", tmp_path / "vocabulary.json")
    matrix, first, checksum = read_arrays(tmp_path / "quick.npz", ("matrix", "first", "vocabulary"))
    assert checksum.tobytes().hex() == sha256_of(tmp_path / "vocabulary.json")
    np.savez(tmp_path / "numpy.npz", matrix=matrix, first=first, vocabulary=checksum)
    assert (tmp_path / "quick.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()
