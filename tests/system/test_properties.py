"""What holds for every caption, vocabulary, matrix, zip and folder, tried on what Hypothesis comes up with."""

from __future__ import annotations

import csv
import io
import os
import string
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hostile_files import picture, write_zip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.pickles import read_pickle
from say_what_you_see.data.archives import image_members
from say_what_you_see.data.coco_format import images_by_name, read_captions, split_by_seed
from say_what_you_see.data.folders import get_folder_dataset
from say_what_you_see.language.captions import (
    END,
    START,
    caption_tokens_to_indices,
    generate_vocabulary,
    indices_to_sentence,
    invert_vocabulary,
    pack_captions,
    split_sentence,
)

# Every run tries the same, and HYPOTHESIS_RANDOM=1 something else each time.
settings.register_profile(
    "course", max_examples=60, deadline=None, derandomize=not os.environ.get("HYPOTHESIS_RANDOM"),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], database=None,
)  # fmt: skip
settings.load_profile("course")
FEW = settings(max_examples=20)

written = st.text(max_size=60).filter(
    lambda text: text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)
)
words = st.lists(st.sampled_from(["a", "red", "ball", "kite", "été", "狗", "two2", "under_score"]), max_size=8)
indexed = st.lists(st.lists(st.integers(0, 5000), min_size=1, max_size=20), min_size=1, max_size=12)
names = st.text(string.ascii_lowercase + string.digits + " _-éß狗", min_size=1, max_size=12).map(str.strip).filter(bool)


# Captions and vocabularies


@given(st.lists(st.lists(words.map(" ".join), min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_caption_comes_back_from_its_indices(groups):
    vocab = generate_vocabulary(groups, 1)
    words = invert_vocabulary(vocab)
    for group, found in zip(groups, caption_tokens_to_indices(groups, vocab), strict=True):
        for caption, indices in zip(group, found, strict=True):
            assert indices[0] == vocab[START] and indices[-1] == vocab[END]
            assert indices_to_sentence(indices, words) == " ".join(split_sentence(caption))
            assert indices_to_sentence([*indices, *indices], words) == " ".join(split_sentence(caption))


# Padding


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


# Files


@given(st.binary(max_size=200))
def test_bytes_are_a_pickle_or_refused(tmp_path, data):
    (tmp_path / "data.pickle").write_bytes(data)
    try:
        read_pickle(tmp_path / "data.pickle")
    except CourseError as error:
        assert "data.pickle" in str(error)


# Zips and folders


@given(st.text(min_size=1, max_size=20).filter(lambda name: "\0" not in name and name.isprintable()))
def test_a_zip_is_listed_whatever_the_names_in_it(tmp_path, name):
    path = write_zip(tmp_path / "names.zip", {f"{name}.png": b"x", "fine.png": b"x"})
    assert "fine.png" in [member.filename for member in image_members(path)]


@given(st.sets(names, min_size=2, max_size=30), st.integers(0, 5))
def test_a_split_leaves_out_nobody_and_is_the_same_again(pictures, seed):
    train, val = split_by_seed(pictures, seed)
    assert train and val and sorted([*train, *val]) == sorted(pictures)
    assert (train, val) == split_by_seed(reversed(sorted(pictures)), seed)


@FEW
@given(st.dictionaries(names, st.lists(names, min_size=1, max_size=3), min_size=2, max_size=5), st.booleans())
def test_a_folder_becomes_a_data_set_with_all_its_captions(groups, deeper):
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        place = source / "deeper" if deeper else source
        place.mkdir(parents=True)
        rows = io.StringIO(newline="")
        for name, group in groups.items():
            (place / f"{name}.png").write_bytes(picture(size=(4, 4)))
            written_as = f"deeper/{name}.png" if deeper else f"{name}.png"
            csv.writer(rows).writerows([written_as, text] for text in group)
        (source / "captions.csv").write_bytes(rows.getvalue().encode())
        before = sorted(path.name for path in source.rglob("*"))
        if "caption" in rows.getvalue().splitlines()[0].lower():
            pytest.skip("the first line could be a header")
        files = get_folder_dataset(source, Path(folder) / "made", "mine", seed=0)
        found = {}
        for zip_path, member in files.splits:
            found |= read_captions(files.captions_zip, member)
            assert set(images_by_name(zip_path)) <= set(found)
        assert found == {f"{name}.png": group for name, group in groups.items()}
        assert sorted(path.name for path in source.rglob("*")) == before, "nothing is written into the folder"
