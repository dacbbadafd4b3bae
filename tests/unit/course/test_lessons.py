"""Notebooks 07 and 08 without the notebooks: each step leaves its files, is not done twice, and says what it lacks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import say_what_you_see.core.files
import say_what_you_see.course.tables
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json
from say_what_you_see.core.settings import read_settings
from say_what_you_see.course.captions import load_captions, load_examples, load_vocabulary
from say_what_you_see.course.features import (
    check_space_for_features,
    extract_grids,
    features_path,
    load_embeddings,
    load_features,
)
from say_what_you_see.course.lessons import ATTENTION, SHOW_AND_TELL, train_lesson
from say_what_you_see.course.tables import features_to_use, load_table
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.language.captions import END, PAD, START, UNK, split_sentence
from say_what_you_see.serving.captioner import generate_caption, load_captioner
from say_what_you_see.vision.encoders import encoder_for


@pytest.fixture(scope="module")
def settings(finished_course, tmp_path_factory):
    """A copy of the small course."""
    settings = replace(finished_course.settings, data_folder=tmp_path_factory.mktemp("lessons") / "data")
    shutil.copytree(finished_course.settings.data_folder, settings.data_folder)
    return settings


@pytest.fixture(scope="module")
def attention(settings):
    """The history of notebook 08's training."""
    return train_lesson(ATTENTION, settings)


@pytest.fixture(scope="module")
def show_and_tell(settings):
    """The history of notebook 07's training."""
    return train_lesson(SHOW_AND_TELL, settings)


@pytest.mark.parametrize("lesson", [ATTENTION, SHOW_AND_TELL])
def test_training_leaves_a_model_folder_that_captions(lesson, settings, attention, show_and_tell):
    history = {ATTENTION: attention, SHOW_AND_TELL: show_and_tell}[lesson]
    assert len(history) == settings.epochs
    metadata = read_json(lesson.model_folder(settings) / "model.json")
    assert metadata["captions"] == 5 * metadata["pictures"] == 5 * settings.n_train_scenes
    assert metadata["scores"]["val_loss"] == history[-1]["val_loss"]
    assert metadata["plan"]["schedule"] == ("exponential" if lesson is SHOW_AND_TELL else "cosine")
    captioner = load_captioner(lesson.model_folder(settings), settings)
    assert captioner.encoder.features == ("mean" if lesson is SHOW_AND_TELL else "grid")
    assert isinstance(generate_caption(captioner, np.zeros((24, 24, 3), "uint8")), str)


def test_nothing_is_done_twice(settings, attention, show_and_tell, monkeypatch):
    def must_not_be_called(*_):
        raise AssertionError

    monkeypatch.setattr(say_what_you_see.course.tables, "write_caption_table", must_not_be_called)
    files = [features_path(settings, "train", "grid"), *SHOW_AND_TELL.checkpoints(settings).iterdir()]
    before = {path: path.stat().st_mtime_ns for path in files}
    for lesson, history in ((ATTENTION, attention), (SHOW_AND_TELL, show_and_tell)):
        reported = []
        assert train_lesson(lesson, settings, reported.append) == history
        assert len(reported) == 1, "only the history of the training before"
    assert {path: path.stat().st_mtime_ns for path in files} == before


# Notebook 08


def test_the_mean_over_the_stored_regions_is_the_embedding_of_notebook_02(settings, attention):
    for split in ("train", "val"):
        grids, fns = load_features(settings, split, "grid")
        embeds, embed_fns = load_embeddings(settings, split)
        assert isinstance(grids, np.memmap) and grids.dtype == np.float16
        assert grids.shape == (len(embeds), 49, embeds.shape[1]) and fns == embed_fns
        assert np.asarray(grids, dtype=np.float32).mean(axis=1) == pytest.approx(embeds, abs=2e-3)


def test_captions_are_those_of_the_pictures_padded_to_the_longest(settings, attention):
    vocab, examples = load_vocabulary(settings, "grid"), load_examples(settings, "train", "grid")
    captions = [caption for group in load_captions(settings, get_dataset(settings), "train") for caption in group]
    words = [[START, *split_sentence(caption), END] for caption in captions]
    matrix = examples.captions.matrix
    assert [[index for index in row if index != vocab[PAD]] for row in matrix.tolist()] == [
        [vocab[word] for word in caption] for caption in words
    ]
    assert set(vocab) == {*(word for caption in words for word in caption), PAD, UNK}
    assert matrix.shape[1] == max(map(len, words)) == ATTENTION.config(settings, examples).max_len


def test_a_full_disk_is_noticed_before_the_work(settings, attention, tmp_path, monkeypatch):
    files, encoder = get_dataset(settings), encoder_for(settings, "grid")
    needed = (48 + 24) * 49 * 8 * 2
    assert check_space_for_features(settings, files, encoder) == needed
    elsewhere, free = replace(settings, data_folder=tmp_path), needed - 1
    monkeypatch.setattr(say_what_you_see.core.files.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(CourseError, match="train_grids.npy"):
        check_space_for_features(elsewhere, files, encoder)
    extract_grids(settings)  # all of it is there already
    free = needed
    check_space_for_features(elsewhere, files, encoder)


# Notebook 07


def test_the_tables_hold_every_caption_with_its_pictures_features(settings, show_and_tell):
    features, captions = load_table(settings, "val")
    embeds, _ = load_embeddings(settings, "val")
    assert features.shape == (5 * len(embeds), embeds.shape[1]) == (len(captions), embeds.shape[1])
    np.testing.assert_array_equal(features[::5], embeds)


@pytest.mark.parametrize(("dataset", "file", "features"), [
    ("flickr30k", "vgg16_weights_tf_dim_ordering_tf_kernels.h5", "fc2"),
    ("flickr30k", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "mean"),
    ("flickr30k", None, "mean"),
    ("scenes", "vgg16_weights_tf_dim_ordering_tf_kernels.h5", "mean"),
])  # fmt: skip
@pytest.mark.parametrize("where", ["data", "keras/models"])
def test_fc2_is_used_for_photographs_where_its_weights_are(tmp_path, monkeypatch, dataset, file, features, where):
    (tmp_path / where).mkdir(parents=True)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    if file:
        (tmp_path / where / file).touch()
    settings = read_settings({"COURSE_DATA": str(tmp_path / "data"), "DATASET": dataset})
    assert features_to_use(settings) == features


@pytest.mark.parametrize(("load", "message"), [
    (lambda settings: load_features(settings, "train", "grid"), r"train_grids\.npy.*08_visual_attention"),
    (lambda settings: load_vocabulary(settings, "grid"), r"vocabulary\.json.*08_visual_attention"),
    (lambda settings: load_features(settings, "val", "fc2"), r"val_fc2\.npy.*07_show_and_tell"),
    (lambda settings: load_table(settings, "val"), r"val\.token.*07_show_and_tell"),
])  # fmt: skip
def test_what_is_missing_is_named_with_what_makes_it(load, message, tmp_path):
    settings = read_settings({"COURSE_DATA": str(tmp_path), "COURSE_SIZE": "small"})
    with pytest.raises(CourseError, match=message):
        load(settings)
