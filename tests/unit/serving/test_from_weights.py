"""The model of photographs captions without Keras, straight from its weights, on an installation that is new."""

import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import sklearn.datasets
from caption_samples import opinionated_decoder

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import read_settings
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import Greedy
from say_what_you_see.models.saved_decoder import read_saved_decoder
from say_what_you_see.models.transformer import build_transformer
from say_what_you_see.serving.caption_photos import doubts_of
from say_what_you_see.serving.captioner import load_captioner
from say_what_you_see.serving.familiarity import FAMILIARITY_FILE, UNFAMILIAR
from say_what_you_see.serving.fast_captioner import load_fast_captioner
from say_what_you_see.serving.model_choice import PHOTO_MODEL
from say_what_you_see.serving.model_folder import load_caption_model, save_caption_model
from say_what_you_see.vision.openvino import openvino_is_installed

PHOTOGRAPHS = Path(sklearn.datasets.__file__).parent / "images"
pytestmark = pytest.mark.skipif(not openvino_is_installed(), reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def transformer_folder(tmp_path_factory) -> Path:
    """A model that looks at regions, in half precision; its captions mean nothing."""
    shipped, rng = load_caption_model(PHOTO_MODEL), np.random.default_rng(0)
    decoder = build_transformer(len(shipped.vocab), units=16, heads=2)
    decoder.set_weights([w + rng.normal(0, 0.5, w.shape).astype("f") for w in decoder.get_weights()])
    model = replace(shipped, decoder=decoder, encoder=shipped.encoder | {"features": "grid"})
    folder = tmp_path_factory.mktemp("transformer")
    save_caption_model(model, folder, half_precision=True)
    return folder


def test_the_first_caption_and_the_page_need_neither_keras_nor_an_export(tmp_path, run_python):
    program = (
        "import sys; from say_what_you_see.commands.main import main\n"
        "assert main(['caption', '--json', '--model', 'photos', sys.argv[1]]) == 0\n"
        "from say_what_you_see.page.examples import make_demo\n"
        "from say_what_you_see.core.settings import read_settings\n"
        "demo = make_demo(read_settings())\n"
        "picture = demo.answer('add', open(sys.argv[1], 'rb').read())['id']\n"
        "request = {'picture': picture, 'model': 'Photographs', 'method': 'beam'}\n"
        "assert len(demo.answer('caption', request)['captions']) == 3\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    ran = run_python(program, PHOTOGRAPHS / "flower.jpg", COURSE_DATA=str(tmp_path))
    [picture] = json.loads(ran.stdout)["pictures"]
    assert len(picture["caption"].split()) > 2 and UNFAMILIAR in picture["doubts"]
    assert not list(tmp_path.rglob("exported.json"))


@pytest.mark.parametrize("kind", ["shipped", "transformer"])
def test_it_says_what_keras_says(kind, transformer_folder, tmp_path):
    folder = PHOTO_MODEL if kind == "shipped" else transformer_folder
    fast, captioner = load_fast_captioner(folder, tmp_path), load_captioner(folder, read_settings({}))
    images = np.random.default_rng(0).integers(256, size=(3, *fast.input_shape, 3), dtype="uint8")
    features = captioner.embed(images)
    np.testing.assert_allclose(fast.embed(images), features, atol=1e-3 * np.abs(features).max())
    for sampler in (Greedy(), BeamSearch(3)):
        found, expected = (generate(each.model, features, each.vocab, sampler) for each in (fast, captioner))
        np.testing.assert_array_equal(found.indices, expected.indices)
    assert doubts_of(fast, features, expected, BeamSearch(3)) == doubts_of(captioner, features, expected, BeamSearch(3))
    assert (fast.vocab, fast.input_shape) == (captioner.vocab, captioner.input_shape)


def test_a_decoder_with_another_layer_is_left_to_keras(tmp_path):
    decoder = opinionated_decoder()
    longer = keras.Model(decoder.inputs, keras.layers.Softmax()(decoder.outputs[0]), name="decoder")
    longer.save(tmp_path / "longer.keras")
    assert read_saved_decoder(tmp_path / "longer.keras") is None


@pytest.mark.parametrize("part", ["decoder.keras", "vocabulary.json", FAMILIARITY_FILE, "model.json"])
def test_a_damaged_model_is_left_to_keras(part, tmp_path):
    folder = Path(shutil.copytree(PHOTO_MODEL, tmp_path / "model"))
    (folder / part).write_bytes((folder / part).read_bytes()[:50])
    assert load_fast_captioner(folder, tmp_path) is None
    with pytest.raises(CourseError, match=part):
        load_captioner(folder, read_settings({}))


def test_weights_that_are_not_in_the_file_are_never_made(tmp_path):
    whole, bomb = tmp_path / "whole.keras", tmp_path / "bomb.keras"
    opinionated_decoder().save(whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(bomb, "w") as target:
        weights = io.BytesIO(source.read("model.weights.h5"))
        with h5py.File(weights, "a") as file:
            file.create_dataset("layers/more", (10**12,), "f4", chunks=(1024,))
        target.writestr("config.json", source.read("config.json"))
        target.writestr("model.weights.h5", weights.getvalue())
    with pytest.raises(CourseError, match="claims"):
        read_saved_decoder(bomb)
