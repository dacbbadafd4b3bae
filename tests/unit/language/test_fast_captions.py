"""The quick way to prepare captions gives what the lessons' functions give, on whatever there is."""

import json
from pathlib import Path

import numpy as np
import pytest
from hostile_files import write_zip
from hypothesis import given
from hypothesis import strategies as st

from say_what_you_see.core.errors import CourseError
from say_what_you_see.language import fast_captions as fast
from say_what_you_see.language.captions import (
    PAD,
    caption_tokens_to_indices,
    generate_vocabulary,
    get_captions_for_fns,
    pack_captions,
    split_sentence,
)
from say_what_you_see.language.fast_captions import index_captions, split_quickly

MEMBER = "annotations/captions.json"
HARD = ["ΟΔΟΣ", "ΑΣ.", "İstanbul", "ǅ_ǈ", "Straße-ﬁn", "K\u212a\u00b5", "naïve", "a\u0301", "x\ud800y", "A\x1cB"]
letters = st.characters(codec=None) | st.sampled_from("Σσςİıẞ'.:·\u00ad\u0301\uffff\ud800\n\r\t\x00\x1c\x85\u2028_ ")
texts = st.text(letters, max_size=30) | st.text(st.characters(codec="ascii"), max_size=30) | st.sampled_from(HARD)
groups = st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=8)


def pack(path: Path, text: str | bytes) -> Path:
    return write_zip(path, {MEMBER: text})


def write(path: Path, captions: list[list[str]], **more) -> list[str]:
    """A zip with these captions, in turn one of each image; returns the names of the images."""
    names = [f"{number * 7919 % 10_007:05d}.jpg" for number in range(len(captions))]
    ids = [10**12 - 17 * number for number in range(len(captions))]
    images = [{"file_name": name, "id": own} for name, own in zip(names, ids, strict=True)]
    annotations = [
        {"image_id": own, "id": turn, "caption": group[turn]}
        for turn in range(max(map(len, captions)))
        for own, group in zip(ids, captions, strict=True)
        if turn < len(group)
    ]
    pack(path, json.dumps({"info": {"a": [{}]}, "images": images, "licenses": [], "annotations": annotations, **more}))
    return names


def plainly(names, path, min_count=5, vocab=None):
    captions = get_captions_for_fns(names, path, MEMBER)
    vocab = vocab or generate_vocabulary(captions, min_count)
    return vocab, pack_captions(caption_tokens_to_indices(captions, vocab), vocab[PAD])


def check_same(names, path, min_count=1, vocab=None):
    """Both ways give the same; returns the vocabulary."""
    plain_vocab, packed = plainly(names, path, min_count, vocab)
    vocab, captions = index_captions(names, path, MEMBER, vocab, min_count)
    assert list(vocab.items()) == list(plain_vocab.items())
    np.testing.assert_array_equal(captions.matrix, packed.matrix, strict=True)
    np.testing.assert_array_equal(captions.first, packed.first, strict=True)
    return vocab


@given(texts)
def test_words_are_those_of_the_lesson_whatever_the_text(text):
    assert split_quickly(text) == split_sentence(text)


@given(groups, st.integers(0, 4))
def test_vocabulary_and_matrix_are_those_of_the_lesson(tmp_path_factory, captions, min_count):
    path = tmp_path_factory.getbasetemp() / "fast_captions.zip"
    names = write(path, captions)
    check_same(names, path, min_count)
    check_same(sorted(names)[::2], path, min_count)


def test_usual_files_are_read_the_quick_way(tmp_path, monkeypatch):
    monkeypatch.setattr(fast, "get_captions_for_fns", lambda *_: pytest.fail("a usual file was read plainly"))
    monkeypatch.setattr(fast, "_BLOCK", 16)
    rng = np.random.default_rng(0)
    words = ["a", "red", "ball", "naïve", "Kite,", "fish.", "ΣΑΣ", "}", '"', "{", "\\", "]"]
    captions = [
        [" ".join(rng.choice(words, rng.integers(0, 25))) for _ in range(rng.integers(1, 6))] for _ in range(90)
    ]
    names = write(tmp_path / "captions.zip", captions, more={"text": "x" * 5000, "numbers": [1, 2.5e3, None]})
    vocab = check_same(names[::-1], tmp_path / "captions.zip", 3)
    others = write(tmp_path / "others.zip", [["A purple ball.", "the red kite", ""]])
    check_same(others, tmp_path / "others.zip", vocab=vocab)


def coco(**changes) -> dict:
    return {
        "images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "b"}],
        "annotations": [
            {"image_id": 1, "caption": "A cat"}, {"image_id": 2, "caption": "A dog"}, {"image_id": 1, "caption": "A"},
        ],
        **changes,
    }  # fmt: skip


UNUSUAL = {
    "captions first": json.dumps(dict(reversed(coco().items()))),
    "much space": json.dumps(coco(), indent=40),
    "ids that are texts": json.dumps(coco()).replace(": 1", ': "1"').replace(": 2", ': "2"'),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(coco()).encode(),
    "utf-16": json.dumps(coco()).encode("utf-16"),
    "the last of two images of an id counts": json.dumps(coco(images=[{"id": 1, "file_name": "c"}, *coco()["images"]])),
    "a key in other letters": json.dumps(coco()).replace("images", "im\\u0061ges"),
    "a list of the same name elsewhere": json.dumps({"info": {"images": [{"id": 9}]}, **coco()}),
    "images elsewhere, too": json.dumps({**coco(), "other": [{"id": 1, "file_name": "b"}]}),
    "very large ids": json.dumps(coco()).replace(": 1", ": 99999999999999999999"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_files_are_read_as_in_the_lesson(name, tmp_path):
    path = pack(tmp_path / "captions.zip", UNUSUAL[name])
    check_same(["b", "a"], path)
    check_same(["b", "a", "b"], path, 2)


@pytest.mark.parametrize("names", [["a", "nobody.jpg"], ["nobody.jpg"]])
def test_an_image_without_captions_is_named(names, tmp_path):
    path = pack(tmp_path / "captions.zip", json.dumps(coco()))
    with pytest.raises(CourseError, match=r"captions\.zip.*nobody\.jpg"):
        index_captions(names, path, MEMBER)
    with pytest.raises(CourseError, match="no captions"):
        index_captions([], path, MEMBER)


DAMAGED = [
    "", "[]", "{}", '{"images": []', '{"images": [{}], "annotations": [{}]}', '{"images": 3, "annotations": []}',
    '{"images": [{"id": 1, "file_name": "a"},], "annotations": []}',
    '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 2, "caption": "x"}]}',
    '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": 4}]}',
    '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": "x"}',
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_files_end_as_in_the_lesson(text, tmp_path):
    path = pack(tmp_path / "captions.zip", text)
    with pytest.raises(Exception) as expected:  # noqa: B017, PT011  whatever it is
        plainly(["a"], path)
    with pytest.raises(type(expected.value)) as raised:
        index_captions(["a"], path, MEMBER)
    assert str(raised.value) == str(expected.value)
