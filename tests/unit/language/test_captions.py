"""Captions become words, words become indices, indices become matrices, and all the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from say_what_you_see.core.errors import CourseError
from say_what_you_see.language.captions import (
    END,
    PAD,
    START,
    UNK,
    caption_tokens_to_indices,
    generate_vocabulary,
    indices_to_sentence,
    invert_vocabulary,
    pack_captions,
    split_sentence,
)


@pytest.mark.parametrize(("sentence", "words"), [
    ("A red ball, below a kite.", ["a", "red", "ball", "below", "a", "kite"]),
    ("  Hello -- WORLD!? ", ["hello", "world"]),
    ("Über den Dächern", ["über", "den", "dächern"]),
    ("2 dogs", ["2", "dogs"]),
    ("...", []),
])  # fmt: skip
def test_split_sentence(sentence, words):
    assert split_sentence(sentence) == words


def test_unknown_words_become_unk():
    vocab = generate_vocabulary([["A red ball.", "a kite"]], min_count=1)
    [[indices]] = caption_tokens_to_indices([["a purple ball"]], vocab)
    assert indices == [vocab[START], vocab["a"], vocab[UNK], vocab["ball"], vocab[END]]
    for written in (indices, indices[:-1], [*indices, vocab[PAD], vocab["kite"]]):
        assert indices_to_sentence(written, invert_vocabulary(vocab)) == f"a {UNK} ball"


@pytest.mark.parametrize(("largest", "dtype"), [(200, np.uint8), (300, np.uint16), (70_000, np.uint32)])
def test_packed_captions_take_the_smallest_type_that_holds_them(largest, dtype):
    packed = pack_captions([[[0, largest, 5]], [[1]]], pad_idx=1)
    assert packed.matrix.dtype == dtype
    np.testing.assert_array_equal(packed.matrix, [[0, largest, 5], [1, 1, 1]])


@pytest.mark.parametrize(("captions", "named"), [([[[1, 2]], []], "number 1"), ([], "no captions")])
def test_a_picture_without_captions_is_not_packed(captions, named):
    with pytest.raises(CourseError, match=named):
        pack_captions(captions, 0)


# What holds for every caption


words = st.lists(st.sampled_from(["a", "red", "ball", "kite", "été", "狗", "two2", "under_score"]), max_size=8)
indexed = st.lists(st.lists(st.integers(0, 5000), min_size=1, max_size=20), min_size=1, max_size=12)


@given(st.lists(st.lists(words.map(" ".join), min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_caption_comes_back_from_its_indices(groups):
    vocab = generate_vocabulary(groups, 1)
    words = invert_vocabulary(vocab)
    for group, found in zip(groups, caption_tokens_to_indices(groups, vocab), strict=True):
        for caption, indices in zip(group, found, strict=True):
            assert indices[0] == vocab[START] and indices[-1] == vocab[END]
            assert indices_to_sentence(indices, words) == " ".join(split_sentence(caption))
            assert indices_to_sentence([*indices, *indices], words) == " ".join(split_sentence(caption))


@given(st.lists(indexed, min_size=1, max_size=5), st.integers(0, 9), st.none() | st.integers(1, 25))
def test_packed_captions_are_those_of_each_picture(groups, pad_idx, max_len):
    packed = pack_captions(groups, pad_idx, max_len)
    assert packed.n_images == len(groups) and np.diff(packed.first).tolist() == [len(group) for group in groups]
    assert packed.matrix.max() <= np.iinfo(packed.matrix.dtype).max
    for number, group in enumerate(groups):
        rows = packed.matrix[packed.first[number] : packed.first[number + 1]]
        for row, caption in zip(rows.tolist(), group, strict=True):
            assert row[: len(caption)] == caption[: len(row)] and set(row[len(caption) :]) <= {pad_idx}
    chosen = packed.choose(np.arange(len(groups)), np.random.default_rng(0))
    for row, group in zip(chosen.tolist(), groups, strict=True):
        assert any(row[: len(caption)] == caption[: len(row)] for caption in group)
