"""An encoder and a decoder that belong together caption a picture; others are refused."""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from caption_samples import write_tiny_encoder

from say_what_you_see.core.errors import CourseError
from say_what_you_see.course.features import encoder_metadata, load_embeddings
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.serving.captioner import encoder_of, generate_caption, load_captioner, read_picture
from say_what_you_see.serving.model_folder import load_caption_model
from say_what_you_see.vision.encoders import encoder_for


@pytest.fixture(scope="module")
def settings(finished_course):
    return finished_course.settings


def test_a_file_is_embedded_and_captioned_as_in_the_extraction_and_only_many_pay_for_compiling(settings, tmp_path):
    captioner, (embeds, fns) = load_captioner(settings.model_folder, settings), load_embeddings(settings, "val")
    with zipfile.ZipFile(settings.dataset_folder / "val_scenes.zip") as archive:
        image = read_picture(Path(archive.extract(f"val/{fns[3]}", tmp_path)), captioner)
    assert image.shape == (24, 24, 3) and image.dtype == np.uint8
    features = [captioner.embed(image[None])]
    assert captioner.encoder.model.predict_function is None
    features += [captioner.embed(image[None]), captioner.embed(image[None])]
    assert captioner.encoder.model.predict_function is not None
    for each in features:
        np.testing.assert_allclose(each, embeds[3:4], rtol=1e-4, atol=1e-5)
    caption = generate_caption(captioner, image)
    assert [caption] == generate_sentences(captioner.model, embeds[3:4], captioner.vocab)
    assert generate_caption(captioner, image, max_len=3) == " ".join(caption.split()[:3])


@pytest.mark.parametrize("dataset", ["scenes", "coco", "/home/someone/holiday"])
def test_an_encoder_of_keras_is_that_of_the_models_pictures(dataset, settings, monkeypatch):
    """ImageNet weights for photographs, those of the course for scenes, whatever the settings say."""
    trained = replace(settings, dataset=dataset, encoder="inception_v3")
    tiny = encoder_for(settings)
    model = replace(load_caption_model(settings.model_folder), encoder=encoder_metadata(tiny, trained))
    monkeypatch.setattr("say_what_you_see.serving.captioner.encoder_for", find := Mock(return_value=tiny))
    for chosen in ("scenes", "flickr8k"):
        encoder_of(model, replace(settings, dataset=chosen, encoder="vgg16"))
    asked = [call.args[0] for call in find.call_args_list]
    assert {(asking.pictures_kind, asking.encoder) for asking in asked} == {(trained.pictures_kind, "inception_v3")}


def test_an_encoder_of_ones_own_is_known_by_its_weights(settings, tmp_path):
    """Wherever the model and its encoder are brought."""
    folder = shutil.copytree(settings.model_folder, tmp_path / "model")
    for dataset in ("scenes", "coco"):
        with pytest.raises(CourseError, match=r"trained with the encoder tiny\.keras, which is a file.*--encoder "):
            load_captioner(folder, replace(settings, dataset=dataset, encoder="inception_v3"))
    moved = shutil.copy(settings.encoder, tmp_path / "moved.keras")
    assert load_captioner(folder, replace(settings, encoder=str(moved))).vocab
    other = write_tiny_encoder(tmp_path / "tiny.keras", seed=1)
    with pytest.raises(CourseError, match=r"trained with .*tiny.* other weights \(tiny\.keras\).*train"):
        load_captioner(folder, replace(settings, encoder=str(other)))
