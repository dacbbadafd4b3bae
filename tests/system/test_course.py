"""The files that the steps of the course hand on to each other."""

import zipfile
from unittest.mock import Mock

import numpy as np
import pytest

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json
from say_what_you_see.core.pickles import save_pickle
from say_what_you_see.core.settings import REPOSITORY, Settings
from say_what_you_see.course.captions import load_examples, load_vocabulary, prepare_captions
from say_what_you_see.course.features import load_embeddings

pytestmark = pytest.mark.backends


def test_the_model_folder_can_be_given_away(finished_course):
    """It knows the encoder's file by its name, and holds no path of this computer."""
    settings = finished_course.settings
    facts = read_json(settings.model_folder / "model.json")
    assert (facts["dataset"], facts["pictures"], facts["captions"]) == ("scenes", 48, 240)
    assert facts["encoder"]["encoder_setting"] == "tiny.keras"
    for path in settings.model_folder.iterdir():
        content = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = b"".join(archive.read(name) for name in archive.namelist())
        for folder in (settings.data_folder, settings.data_folder.parent, REPOSITORY):
            assert str(folder).encode() not in content, path.name


def test_arrays_beside_another_vocabulary_are_refused(copied_course, monkeypatch):
    """What a preparation leaves that was stopped between its files, after the settings had changed."""
    monkeypatch.setattr(Settings, "min_count", copied_course.min_count + 8)
    with monkeypatch.context() as patch:
        patch.setattr("say_what_you_see.course.captions.write_caption_arrays", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare_captions(copied_course)
    for split in ("train", "val"):
        with pytest.raises(CourseError, match=rf"{split}_captions\.npz was not made with.*03_prepare_captions"):
            load_examples(copied_course, split)
    prepare_captions(copied_course)
    assert load_examples(copied_course, "train").captions.matrix.max() < len(load_vocabulary(copied_course))


def test_arrays_of_earlier_versions_are_read(copied_course):
    path = copied_course.work_folder / "val_captions.npz"
    with np.load(path) as arrays:
        np.savez(path, matrix=arrays["matrix"], first=arrays["first"])
    assert load_examples(copied_course, "val").captions.n_images == 24


@pytest.mark.parametrize("names", [["a.jpg"], {"a": 1}])
def test_embeddings_with_the_names_of_others_are_refused(names, copied_course):
    save_pickle(names, copied_course.work_folder / "train_img_fns.pickle")
    with pytest.raises(CourseError, match=r"train_img_embeds\.npy.*\(48, .*train_img_fns.*02_extract_embeddings"):
        load_embeddings(copied_course, "train")
