"""Notebooks 07 and 08 without the notebooks: each step leaves its files, is not done twice, and says what it lacks."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import say_what_you_see.core.files
import say_what_you_see.course.tables
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json
from say_what_you_see.core.settings import Settings, read_settings
from say_what_you_see.course.captions import load_vocabulary
from say_what_you_see.course.cider import train_lesson_for_cider
from say_what_you_see.course.features import (
    check_space_for_features,
    extract_grids,
    features_path,
    load_embeddings,
    load_features,
)
from say_what_you_see.course.lessons import ATTENTION, SHOW_AND_TELL, TRANSFORMER, train_lesson
from say_what_you_see.course.tables import features_to_use, load_table
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.serving.captioner import generate_caption, load_captioner
from say_what_you_see.serving.model_folder import load_caption_model, save_caption_model
from say_what_you_see.vision.encoders import encoder_for
from say_what_you_see.vision.pictures import random_crop, read_pictures


@pytest.fixture(scope="module")
def settings(finished_course, tmp_path_factory):
    """A copy of the small course."""
    settings = replace(finished_course.settings, data_folder=tmp_path_factory.mktemp("lessons") / "data")
    shutil.copytree(finished_course.settings.data_folder, settings.data_folder)
    return settings


@pytest.fixture(scope="module")
def histories(settings):
    """The notebooks 08 and 07 trained: the history of each."""
    return {lesson: train_lesson(lesson, settings) for lesson in (ATTENTION, SHOW_AND_TELL)}


@pytest.mark.parametrize("lesson", [ATTENTION, SHOW_AND_TELL])
def test_training_leaves_a_model_folder_that_captions(lesson, settings, histories):
    history = histories[lesson]
    assert len(history) == settings.epochs
    metadata = read_json(lesson.model_folder(settings) / "model.json")
    assert metadata["captions"] == 5 * metadata["pictures"] == 5 * settings.scene_counts["train"]
    assert metadata["scores"]["val_loss"] == history[-1]["val_loss"]
    assert metadata["plan"]["schedule"] == ("exponential" if lesson is SHOW_AND_TELL else "cosine")
    captioner = load_captioner(lesson.model_folder(settings), settings)
    assert captioner.encoder.features == ("mean" if lesson is SHOW_AND_TELL else "grid")
    assert isinstance(generate_caption(captioner, np.zeros((24, 24, 3), "uint8")), str)


def test_nothing_is_done_twice(settings, histories, monkeypatch):
    monkeypatch.setattr(say_what_you_see.course.tables, "write_caption_table", None)
    files = [features_path(settings, "train", "grid"), *SHOW_AND_TELL.checkpoints(settings).iterdir()]
    before = {path: path.stat().st_mtime_ns for path in files}
    for lesson, history in histories.items():
        reported = []
        assert train_lesson(lesson, settings, reported.append) == history
        assert len(reported) == 1, "only the history of the training before"
    assert {path: path.stat().st_mtime_ns for path in files} == before


# Notebook 08


def test_the_mean_over_the_stored_regions_is_the_embedding_of_notebook_02(settings, histories):
    for split in ("train", "val"):
        grids, fns = load_features(settings, split, "grid")
        embeds, embed_fns = load_embeddings(settings, split)
        assert isinstance(grids, np.memmap) and grids.dtype == np.float16
        assert grids.shape == (len(embeds), 49, embeds.shape[1]) and fns == embed_fns
        assert np.asarray(grids, dtype=np.float32).mean(axis=1) == pytest.approx(embeds, abs=2e-3)


def test_a_full_disk_is_noticed_before_the_work(settings, histories, tmp_path, monkeypatch):
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


def test_the_tables_hold_every_caption_with_its_pictures_features(settings, histories):
    features, captions = load_table(settings, "val")
    embeds, _ = load_embeddings(settings, "val")
    assert features.shape == (5 * len(embeds), embeds.shape[1]) == (len(captions), embeds.shape[1])
    np.testing.assert_array_equal(features[::5], embeds)


# Notebook 11


def test_photographs_are_seen_in_four_views(settings, histories, monkeypatch):
    monkeypatch.setattr(Settings, "pictures_kind", "photographs")
    TRANSFORMER.prepare(settings)
    _, train, validation = TRANSFORMER.load(settings)
    count, encoder = settings.scene_counts["train"], encoder_for(settings, "grid")
    assert len(train.image_embeds) == train.captions.n_images == 4 * count
    assert len(validation.image_embeds) == len(load_features(settings, "val", "grid")[1])
    names = load_features(settings, "train", "grid")[1][:2]
    pictures = np.stack(read_pictures(get_dataset(settings).train_zip, names, encoder.input_shape[0]))
    cropped = np.stack([random_crop(picture) for picture in pictures])
    cropped_mirrored = np.stack([random_crop(picture) for picture in pictures[:, :, ::-1]])
    for number, seen in enumerate((pictures, pictures[:, :, ::-1], cropped, cropped_mirrored)):
        first = number * count
        expected = encoder.model.predict_on_batch(encoder.preprocess_for_model(seen))
        assert train.image_embeds[first : first + 2].astype("float32") == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("lesson", [SHOW_AND_TELL, TRANSFORMER])
def test_training_for_cider_leaves_a_model_beside_the_first(lesson, settings, histories):
    train_lesson(lesson, settings)
    first = lesson.model_folder(settings)
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    history = train_lesson_for_cider(lesson, settings, 1)
    assert len(history) == 1 and history[0]["reward"] >= 0
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    folder = lesson.model_folder(settings, for_cider=True)
    metadata = read_json(folder / "model.json")
    assert metadata["cider_training"]["epochs"] == 1 and metadata["scores"]["reward"] == history[0]["reward"]
    assert isinstance(generate_caption(load_captioner(folder, settings), np.zeros((24, 24, 3), "uint8")), str)


def test_a_model_of_another_vocabulary_is_not_trained_for_cider(settings, histories):
    train_lesson(TRANSFORMER, settings)
    folder = TRANSFORMER.model_folder(settings)
    model = load_caption_model(folder)
    one, other, *_ = (word for word in model.vocab if not word.startswith("#"))
    swapped = model.vocab | {one: model.vocab[other], other: model.vocab[one]}
    save_caption_model(replace(model, vocab=swapped), folder)
    with pytest.raises(CourseError, match="another vocabulary.*Train it from the start first"):
        train_lesson_for_cider(TRANSFORMER, settings, 1)
    save_caption_model(model, folder)


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
