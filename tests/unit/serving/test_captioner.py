"""An encoder and a decoder that belong together caption a picture; others are refused."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from caption_samples import write_tiny_encoder
from PIL import Image

from say_what_you_see.core.errors import CourseError
from say_what_you_see.course.features import encoder_metadata, load_embeddings
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.serving.captioner import encoder_of, generate_caption, load_captioner, read_picture
from say_what_you_see.serving.model_folder import load_caption_model
from say_what_you_see.vision.encoders import encoder_for


@pytest.fixture(scope="module")
def settings(finished_course):
    return finished_course.settings


@pytest.fixture(scope="module")
def captioner(settings):
    return load_captioner(settings.model_folder, settings)


@pytest.fixture(scope="module")
def picture(settings, tmp_path_factory):
    """The file of a validation picture, and its embedding."""
    embeds, fns = load_embeddings(settings, "val")
    path = tmp_path_factory.mktemp("picture") / fns[3]
    with zipfile.ZipFile(settings.dataset_folder / "val_scenes.zip") as archive:
        path.write_bytes(archive.read(f"val/{fns[3]}"))
    return path, embeds[3]


def test_a_picture_is_read_in_the_shape_of_the_encoder(captioner, picture):
    image = read_picture(picture[0], captioner)
    assert image.shape == (24, 24, 3) and image.dtype == np.uint8


def test_a_file_is_embedded_as_in_the_extraction(captioner, picture):
    path, expected = picture
    found = captioner.embed(read_picture(path, captioner)[None])
    np.testing.assert_allclose(found, expected[None], rtol=1e-4, atol=1e-5)


def test_only_who_goes_on_pays_for_compiling_the_encoder(settings, picture):
    captioner = load_captioner(settings.model_folder, settings)
    image = read_picture(picture[0], captioner)[None]
    found = [captioner.embed(image)]
    assert captioner.encoder.model.predict_function is None
    found += [captioner.embed(image), captioner.embed(image)]
    assert captioner.encoder.model.predict_function is not None
    for features in found:
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, picture[1][None], rtol=1e-4, atol=1e-5)


def test_the_caption_is_that_of_the_embedding(captioner, picture):
    path, embed = picture
    image = read_picture(path, captioner)
    caption = generate_caption(captioner, image)
    assert [caption] == generate_sentences(captioner.model, embed[None], captioner.vocab)
    assert generate_caption(captioner, image, max_len=3) == " ".join(caption.split()[:3])


def test_sampled_captions_follow_the_seed(captioner, picture):
    image = read_picture(picture[0], captioner)

    def sampled(seed: int, t: float = 1.0) -> str:
        return generate_caption(captioner, image, t, sample=True, max_len=10, rng=np.random.default_rng(seed))

    assert sampled(1) == sampled(1)
    assert len({sampled(seed) for seed in range(6)}) > 1
    assert sampled(1, t=1e-4) == generate_caption(captioner, image, max_len=10)


@pytest.mark.parametrize("name", ["missing.jpg", "text.jpg", "folder"])
def test_what_is_no_picture_is_named(name, captioner, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CourseError, match=name):
        read_picture(tmp_path / name, captioner)


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA"])
def test_pictures_of_any_mode_are_read(mode, captioner, tmp_path):
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    Image.new("RGB", (50, 40), (200, 30, 30)).convert(mode).save(path)
    assert read_picture(path, captioner).shape == (24, 24, 3)


def test_the_models_own_encoder_is_used_whatever_the_settings_say(settings, captioner, picture):
    other = load_captioner(settings.model_folder, replace(settings, dataset="coco"))
    assert other.encoder.weights_checksum == captioner.encoder.weights_checksum
    image = read_picture(picture[0], captioner)
    assert generate_caption(other, image) == generate_caption(captioner, image)


@pytest.mark.parametrize("dataset", ["scenes", "coco", "/home/someone/holiday"])
def test_an_encoder_of_keras_is_that_of_the_models_pictures(dataset, settings, monkeypatch):
    """ImageNet weights for photographs, those of the course for scenes, whatever the settings say."""
    trained = replace(settings, dataset=dataset, encoder="inception_v3")
    tiny = encoder_for(settings)
    model = load_caption_model(settings.model_folder)
    model = replace(model, encoder=encoder_metadata(tiny, trained))
    asked = []
    monkeypatch.setattr(
        "say_what_you_see.serving.captioner.encoder_for", lambda settings, features: asked.append(settings) or tiny
    )
    for chosen in ("scenes", "flickr8k"):
        encoder_of(model, replace(settings, dataset=chosen, encoder="vgg16"))
    assert {(asking.pictures_kind, asking.encoder) for asking in asked} == {(trained.pictures_kind, "inception_v3")}


@pytest.fixture
def model_folder(settings, tmp_path):
    """A copy of the model, as if it had been brought from another computer."""
    shutil.copytree(settings.model_folder, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("dataset", ["scenes", "coco"])
def test_an_encoder_of_ones_own_has_to_be_given(dataset, model_folder, settings):
    with pytest.raises(
        CourseError, match=r"trained with the encoder tiny\.keras, a file of your own.*--encoder .*tiny"
    ):
        load_captioner(model_folder, replace(settings, dataset=dataset, encoder="inception_v3"))


def test_an_encoder_that_was_moved_and_renamed_is_known_by_its_weights(model_folder, settings, tmp_path):
    moved = shutil.copy(settings.encoder, tmp_path / "moved.keras")
    assert load_captioner(model_folder, replace(settings, encoder=str(moved))).vocab


def test_an_encoder_with_other_weights_is_refused(model_folder, settings, tmp_path):
    other = write_tiny_encoder(tmp_path / "tiny.keras", seed=1)
    with pytest.raises(CourseError, match=r"trained with .*tiny.* other weights \(tiny\.keras\).*train"):
        load_captioner(model_folder, replace(settings, encoder=str(other)))
