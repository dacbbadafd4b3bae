"""Notebook 08 without the notebook: each step leaves its files, is not done twice, and says what it lacks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import say_what_you_see.core.files
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json
from say_what_you_see.course.attention import (
    attention_config,
    attention_folder,
    attention_model_folder,
    check_space_for_grids,
    extract_grids,
    grid_path,
    load_attention_examples,
    load_attention_vocabulary,
    load_grids,
    prepare_attention_captions,
    save_attention_model,
    train_attention,
)
from say_what_you_see.course.decoder import load_captions, load_embeddings
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.language.captions import (
    END,
    PAD,
    START,
    UNK,
    indices_to_sentence,
    invert_vocabulary,
    split_sentence,
)
from say_what_you_see.models.attention import get_caption
from say_what_you_see.serving.captioner import generate_caption, load_captioner
from say_what_you_see.serving.model_folder import load_caption_model
from say_what_you_see.vision.encoders import encoder_for


@pytest.fixture(scope="module")
def trained(finished_course, tmp_path_factory):
    """A copy of the small course with grids, captions and a trained model; and the history of its training."""
    settings = replace(finished_course.settings, data_folder=tmp_path_factory.mktemp("attention") / "data")
    shutil.copytree(finished_course.settings.data_folder, settings.data_folder)
    extract_grids(settings)
    prepare_attention_captions(settings)
    return settings, train_attention(settings)


def test_the_mean_over_the_stored_regions_is_the_embedding_of_notebook_02(trained):
    settings, _ = trained
    for split in ("train", "val"):
        grids, fns = load_grids(settings, split)
        embeds, embed_fns = load_embeddings(settings, split)
        assert isinstance(grids, np.memmap) and grids.dtype == np.float16
        assert grids.shape == (len(embeds), 49, embeds.shape[1]) and fns == embed_fns
        assert np.asarray(grids, dtype=np.float32).mean(axis=1) == pytest.approx(embeds, abs=2e-3)


def test_captions_are_those_of_the_pictures_padded_to_the_longest(trained):
    settings, _ = trained
    vocab, examples = load_attention_vocabulary(settings), load_attention_examples(settings, "train")
    captions = [caption for group in load_captions(settings, get_dataset(settings), "train") for caption in group]
    words = invert_vocabulary(vocab)
    assert [indices_to_sentence(row, words).split() for row in examples.captions.matrix] == [
        split_sentence(caption) for caption in captions
    ]
    assert set(vocab) == {*(word for caption in captions for word in split_sentence(caption)), PAD, UNK, START, END}
    longest = max(len(split_sentence(caption)) for caption in captions) + 2
    assert examples.captions.matrix.shape[1] == longest == attention_config(settings, examples).max_len


def test_a_smaller_vocabulary_has_unknown_words(trained, tmp_path):
    settings, _ = trained
    elsewhere = replace(settings, data_folder=tmp_path / "data")
    folder = attention_folder(elsewhere)
    elsewhere.dataset_folder.mkdir(parents=True)
    for path in (*settings.dataset_folder.glob("*.zip"), settings.dataset_folder / "made_from.json"):
        (elsewhere.dataset_folder / path.name).write_bytes(path.read_bytes())
    folder.mkdir(parents=True)
    for path in attention_folder(settings).glob("*_grids.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    prepare_attention_captions(elsewhere, limit=5)
    vocab = load_attention_vocabulary(elsewhere)
    assert len(vocab) == 9 and (load_attention_examples(elsewhere, "train").captions.matrix == vocab[UNK]).any()


def test_nothing_is_done_twice(trained, monkeypatch):
    settings, history = trained
    before = {path: path.stat().st_mtime_ns for path in attention_folder(settings).glob("*_grids.npy")}
    extract_grids(settings)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    watched = []
    again = train_attention(settings, watched.append)
    assert again == history and len(watched) == 1  # only the history of the training before


def test_the_model_folder_captions_pictures(trained):
    settings, history = trained
    model = load_caption_model(attention_model_folder(settings))
    captioner = load_captioner(attention_model_folder(settings), settings)
    assert model.encoder["features"] == captioner.encoder.features == "grid"
    assert model.facts["scores"]["val_loss"] == history[-1]["val_loss"] and model.facts["pictures"] == 48
    picture = np.random.default_rng(0).integers(256, size=(24, 24, 3), dtype="uint8")
    caption = get_caption(model.decoder, captioner.embed(picture[None])[0], captioner.vocab)
    assert caption.sentence == generate_caption(captioner, picture)
    assert caption.attention.shape == (len(caption.words), 7, 7)


def test_the_plan_is_that_of_notebook_04_with_half_the_epochs_on_the_scenes(trained):
    from say_what_you_see.course.decoder import training_config

    settings, _ = trained
    examples = load_attention_examples(settings, "train")
    longest = examples.captions.matrix.shape[1]
    for chosen, share in ((replace(settings, size="full"), 2), (replace(settings, size="full", dataset="coco"), 1)):
        config = training_config(chosen)
        assert attention_config(chosen, examples) == replace(config, epochs=config.epochs // share, max_len=longest)


def test_a_full_disk_is_noticed_before_the_work(trained, tmp_path, monkeypatch):
    settings, _ = trained
    files, encoder = get_dataset(settings), encoder_for(settings, "grid")
    needed = (48 + 24) * 49 * 8 * 2
    assert check_space_for_grids(settings, files, encoder) == needed
    elsewhere = replace(settings, data_folder=tmp_path)
    for free in (needed - 1, needed):
        monkeypatch.setattr(
            say_what_you_see.core.files.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free)
        )
        if free == needed:
            check_space_for_grids(elsewhere, files, encoder)
        else:
            with pytest.raises(CourseError, match="train_grids.npy"):
                check_space_for_grids(elsewhere, files, encoder)
    monkeypatch.setattr(say_what_you_see.core.files.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    check_space_for_grids(settings, files, encoder)  # all of it is there already


def test_what_is_missing_is_named_with_what_makes_it(trained, tmp_path):
    settings = replace(trained[0], data_folder=tmp_path)
    for load in (
        lambda: load_grids(settings, "train"),
        lambda: load_attention_vocabulary(settings),
        lambda: load_attention_examples(settings, "val"),
    ):
        with pytest.raises(CourseError, match="not there yet.*08_visual_attention"):
            load()


def test_the_encoder_is_remembered_with_the_model(trained):
    settings, history = trained
    facts = read_json(attention_folder(settings) / "encoder.json")
    model = load_caption_model(attention_model_folder(settings))
    assert facts["features"] == "grid" and model.encoder == facts
    save_attention_model(settings, model.decoder, model.vocab, history)
    assert grid_path(settings, "val").name == "val_grids.npy"
