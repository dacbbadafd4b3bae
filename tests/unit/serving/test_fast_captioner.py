"""Captioners without Keras, from weights or exported: the same captions, and a plain way on where there are none."""

import io
import json
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
import sklearn.datasets
from attention_samples import REGIONS, opinionated_attention
from caption_samples import FEATURES, VOCAB, opinionated_decoder

from say_what_you_see.commands.main import main
from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.core.settings import read_settings
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import Greedy, Sampling
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.saved_decoder import read_saved_decoder
from say_what_you_see.models.transformer import build_transformer
from say_what_you_see.serving import export
from say_what_you_see.serving.caption_photos import doubts_of
from say_what_you_see.serving.captioner import load_captioner
from say_what_you_see.serving.export import export_captioner
from say_what_you_see.serving.familiarity import FAMILIARITY_FILE, UNFAMILIAR
from say_what_you_see.serving.fast_captioner import (
    METADATA_FILE,
    NetworkStepModel,
    exported_folder,
    load_fast_captioner,
)
from say_what_you_see.serving.model_choice import PHOTO_MODEL
from say_what_you_see.serving.model_folder import load_caption_model, save_caption_model
from say_what_you_see.vision.openvino import export_network, openvino_is_installed

PHOTO = str(Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg")
SAMPLERS = [Greedy(), Sampling(0.8), BeamSearch(3)]
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


@pytest.fixture(scope="module")
def exported(finished_course, tmp_path_factory):
    """A trained captioner, its folder, and the data folder of its export."""
    settings, data = finished_course.settings, tmp_path_factory.mktemp("data")
    captioner = load_captioner(settings.model_folder, settings)
    assert export_captioner(captioner, settings.model_folder, data) is None
    return captioner, settings.model_folder, data


@pytest.mark.parametrize("kind", ["shipped", "transformer", "exported"])
def test_it_says_what_keras_says(kind, transformer_folder, exported, tmp_path):
    captioner, folder, data = exported
    if kind != "exported":
        folder, data = PHOTO_MODEL if kind == "shipped" else transformer_folder, tmp_path
        captioner = load_captioner(folder, read_settings({}))
    fast = load_fast_captioner(folder, data)
    images = np.random.default_rng(1).integers(256, size=(5, *fast.input_shape, 3), dtype="uint8")
    features = captioner.embed(images)
    np.testing.assert_allclose(fast.embed(images), features, atol=1e-3 * np.abs(features).max())
    for sampler in SAMPLERS:
        found, expected = (
            generate(each.model, features, each.vocab, sampler, np.random.default_rng(2)) for each in (fast, captioner)
        )
        np.testing.assert_array_equal(found.indices, expected.indices)
        assert doubts_of(fast, features, expected, sampler) == doubts_of(captioner, features, expected, sampler)
    for name in ("vocab", "input_shape", "pictures_kind"):
        assert getattr(fast, name) == getattr(captioner, name)
    assert sys.modules.get("openvino_telemetry") is None, "an export sends no statistics"


# From weights


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
    ran = run_python(program, PHOTO, COURSE_DATA=str(tmp_path))
    [picture] = json.loads(ran.stdout)["pictures"]
    assert len(picture["caption"].split()) > 2 and UNFAMILIAR in picture["doubts"]
    assert not list(tmp_path.rglob("exported.json"))


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


# Exported


def test_networks_write_what_their_keras_model_writes(tmp_path):
    model = step_model_of(opinionated_attention(seed=3))
    features = np.random.default_rng(5).normal(size=(9, REGIONS, FEATURES)).astype("float32")
    export_network(model.start_model, tmp_path / "start.xml")
    export_network(model.step_model, tmp_path / "step.xml")
    networks = NetworkStepModel(tmp_path, len(model.step_model.outputs) - 1)
    for sampler in SAMPLERS:
        expected, found = (
            generate(each, features, VOCAB, sampler, np.random.default_rng(7)) for each in (model, networks)
        )
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, rtol=1e-2)


@pytest.mark.parametrize("before", ["", "import openvino; "])
def test_the_converter_sends_no_statistics(before, run_python):
    program = (
        f"{before}import sys; from say_what_you_see.vision.openvino import import_openvino; import_openvino(); "
        "import openvino.tools.ovc; print(sys.modules['openvino_telemetry']); "
        "print(sys.modules['openvino.tools.ovc.telemetry_utils'].tm.__name__)"
    )
    assert run_python(program).stdout.split() == ["None", "openvino.tools.ovc.telemetry_stub"]


def test_an_exported_captioner_needs_no_keras(exported, run_python):
    _, folder, data = exported
    program = (
        "import sys; from say_what_you_see.commands.main import main\n"
        "assert main(['caption', '--model', *sys.argv[1:]]) == 0\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    run_python(program, folder, PHOTO, COURSE_DATA=str(data))


def test_another_training_in_the_same_folder_takes_the_place_of_the_older_and_shares_the_encoder(exported, tmp_path):
    captioner, folder, data = exported
    model, copy = Path(shutil.copytree(folder, tmp_path / "model")), Path(shutil.copytree(data, tmp_path / "data"))
    [encoder_folder] = (copy / "exported").glob("encoder_*")
    made = (encoder_folder / "encoder.xml").stat().st_mtime_ns
    assert export_captioner(captioner, model, copy) is None
    assert load_fast_captioner(model, copy) is not None
    metadata = read_json(model / "model.json")
    write_json({**metadata, "metrics": {"scored_on": "all"}}, model / "model.json")
    assert load_fast_captioner(model, copy) is not None, "an evaluation is no training"
    write_json({**metadata, "encoder": {**metadata["encoder"], "weights": "others"}}, model / "model.json")
    assert load_fast_captioner(model, copy) is None
    assert export_captioner(captioner, model, copy) is None
    assert load_fast_captioner(model, copy) is not None and load_fast_captioner(folder, copy) is not None
    assert len(list((copy / "exported").iterdir())) == 3, "two models, one encoder"
    assert (encoder_folder / "encoder.xml").stat().st_mtime_ns == made


@pytest.mark.parametrize("part", [METADATA_FILE, "encoder.xml", "encoder.bin"])
def test_a_damaged_export_counts_as_none_and_is_made_again(exported, tmp_path, part):
    captioner, folder, data = exported
    copy = Path(shutil.copytree(data, tmp_path / "data", ignore=shutil.ignore_patterns("compiled")))
    [damaged] = copy.rglob(part)
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    assert load_fast_captioner(folder, copy) is None
    assert export_captioner(captioner, folder, copy) is None and load_fast_captioner(folder, copy) is not None


def test_a_decoder_that_was_changed_is_not_used_and_nothing_without_openvino(exported, tmp_path, monkeypatch):
    _, folder, data = exported
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    shutil.copytree(exported_folder(folder, data), exported_folder(copy, data))
    assert load_fast_captioner(copy, data) is not None
    (copy / "decoder.keras").write_bytes((copy / "decoder.keras").read_bytes()[:-9])
    assert load_fast_captioner(copy, data) is None
    monkeypatch.setattr("say_what_you_see.serving.fast_captioner.openvino_is_installed", lambda: False)
    assert load_fast_captioner(folder, data) is None


@pytest.mark.parametrize("failure", ["disagrees", "raises"])
def test_a_failed_export_is_thrown_away_and_not_tried_again(exported, tmp_path, failure):
    captioner, folder, _ = exported
    # a preprocessing that is no scale and shift
    other = {"encoder": replace(captioner.encoder, preprocess_for_model=lambda images: images**1.5)}
    broken = replace(captioner, **(other if failure == "disagrees" else {"model": None}))
    reason = export_captioner(broken, folder, tmp_path)
    assert reason if failure == "raises" else reason == "OpenVINO gives other numbers than Keras"
    assert load_fast_captioner(folder, tmp_path) is None and export_captioner(captioner, folder, tmp_path) == reason
    assert [path.name for path in exported_folder(folder, tmp_path).iterdir()] == [METADATA_FILE]


def test_an_export_that_a_full_disk_prevented_is_tried_again(exported, tmp_path, monkeypatch, capsys):
    captioner, folder, _ = exported
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: Mock(free=0))
        assert export_captioner(captioner, folder, tmp_path) == "the encoder could not be exported"
    assert "Make room" in capsys.readouterr().err
    assert export_captioner(captioner, folder, tmp_path) is None and load_fast_captioner(folder, tmp_path)


# The command


@pytest.fixture
def own_data(course_environ, copied_course, monkeypatch) -> Path:
    """The finished course in a data folder without exports."""
    shutil.rmtree(copied_course.data_folder / "exported", ignore_errors=True)
    monkeypatch.setenv("COURSE_DATA", str(copied_course.data_folder))
    return copied_course.data_folder


def test_the_first_call_makes_the_copy_and_the_next_one_uses_it(own_data, capsys, monkeypatch):
    assert main(["caption", PHOTO, "--with-keras"]) == 0
    assert "quick copy" not in capsys.readouterr().err and not (own_data / "exported").exists()
    assert main(["caption", PHOTO, "--beam", "2"]) == 0
    first = capsys.readouterr()
    assert "Making a quick copy" in first.err and list((own_data / "exported").iterdir())
    monkeypatch.setattr("say_what_you_see.serving.captioner.load_captioner", None)  # nobody calls it
    assert main(["caption", PHOTO, "--beam", "2"]) == 0
    second = capsys.readouterr()
    assert second.out == first.out and "quick copy" not in second.err


def test_stopping_the_copy_costs_nothing(own_data, capsys, monkeypatch):
    monkeypatch.setattr(export, "load_or_export", Mock(side_effect=KeyboardInterrupt))
    assert main(["caption", PHOTO]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(PHOTO) and "No quick copy was made (stopped)" in said.err
    assert not list((own_data / "exported").glob("*/exported.json"))
