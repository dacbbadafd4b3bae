"""What answers page and widget: captions with their steps, pictures in memory, requests that make no sense."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from demo_samples import drawn, example, save_random_attention_model, two_models
from hostile_files import picture

from say_what_you_see.core.errors import CourseError
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.decoding.samplers import Greedy, Sampling
from say_what_you_see.page.demo import KEPT_UPLOADS, MAX_UPLOAD_BYTES, Demo, ExamplePicture, encode_png
from say_what_you_see.page.examples import load_demo_model, trained_models, validation_pictures
from say_what_you_see.page.steps import explain_caption
from say_what_you_see.serving.familiarity import UNFAMILIAR, Familiarity
from say_what_you_see.vision.pictures import crop_and_resize


@pytest.fixture(scope="module")
def demo(finished_course, tmp_path_factory) -> Demo:
    return two_models(finished_course.settings, tmp_path_factory.mktemp("attention"))


@pytest.fixture(scope="module")
def features(demo) -> dict[str, np.ndarray]:
    """Of one picture, for each model."""
    shape = demo.models["Looks"].captioner.input_shape
    square = crop_and_resize(encode_png(drawn(3)), shape)[None]
    return {name: model.captioner.embed(square) for name, model in demo.models.items()}


@pytest.mark.parametrize("name", ["Looks", "Decoder"])
@pytest.mark.parametrize("sampler", [Greedy(), Greedy(3), BeamSearch(3), BeamSearch(2, max_len=4)], ids=str)
def test_the_steps_lead_to_the_caption_and_its_probability(demo, features, name, sampler):
    caption = explain_caption(demo.models[name], features[name], sampler)
    sentence, probability = caption.captions[0]
    words = [step.word for step in caption.steps]
    assert " ".join(words[:-1] if caption.finished else words) == sentence
    assert (words[-1] == "END") == caption.finished
    assert math.prod(step.probability for step in caption.steps) == pytest.approx(probability, rel=1e-3)
    assert len(caption.captions) == getattr(sampler, "k", 1)
    if name == "Looks":
        assert caption.attention.shape == (len(caption.steps), 7, 7)
        assert caption.attention.sum(axis=(1, 2)) == pytest.approx(1, abs=1e-5)
    else:
        assert caption.attention is None


def test_a_temperature_shows_the_probabilities_that_words_were_drawn_from(demo, features):
    model, seen = demo.models["Decoder"], features["Decoder"]
    plain = explain_caption(model, seen, Greedy(1)).steps[0].likely
    flat = explain_caption(model, seen, Sampling(3.0, max_len=1), np.random.default_rng(0)).steps[0].likely
    ratio, flatter = plain[0][1] / plain[1][1], flat[0][1] / flat[1][1]
    assert flatter == pytest.approx(ratio ** (1 / 3), rel=1e-3) and flatter != pytest.approx(ratio)


def test_an_upload_gets_the_caption_of_the_command_line(demo):
    photo, captioner = picture("JPEG", (400, 300)), demo.models["Decoder"].captioner
    embeds = captioner.embed(crop_and_resize(photo, captioner.input_shape)[None])
    (expected,) = generate_sentences(captioner.model, embeds, captioner.vocab, Greedy(no_repeat_ngram_size=3))
    added = demo.answer("add", photo)
    answer = demo.answer("caption", {"picture": added["id"], "model": "Decoder", "method": "greedy"})
    assert answer["captions"][0][0] == expected
    assert answer["square"].startswith("data:image/jpeg;base64,") and added["thumbnail"].startswith("data:image/jpeg")


@pytest.mark.parametrize(("greatest_distance", "doubts"), [(2.0, []), (-1.0, [UNFAMILIAR])])
def test_a_caption_that_is_not_to_be_believed_comes_with_the_reason(demo, features, greatest_distance, doubts):
    model = demo.models["Decoder"]
    familiarity = Familiarity(np.eye(features["Decoder"].shape[1], dtype="float32"), greatest_distance, -99.0)
    marking = replace(model, captioner=replace(model.captioner, familiarity=familiarity))
    shown = Demo([marking], [ExamplePicture("one", encode_png(drawn(1)))])
    answer = shown.answer("caption", {"picture": "example-0", "model": "Decoder", "method": "greedy"})
    assert answer["doubts"] == doubts


def test_the_overview_says_what_there_is(demo):
    overview = json.loads(json.dumps(demo.answer("overview", {})))
    assert [(model["name"], model["looks"]) for model in overview["models"]] == [("Looks", True), ("Decoder", False)]
    assert all("knows only the course's drawn scenes" in model["note"] for model in overview["models"])
    assert [one["people"] for one in overview["examples"]] == [[f"A drawing, number {i}."] for i in range(3)]
    assert overview["limits"]["bytes"] == MAX_UPLOAD_BYTES
    assert overview["method"] == "greedy"
    photographer = replace(demo.models["Looks"].captioner, pictures_kind="photographs")
    assert Demo([replace(demo.models["Looks"], captioner=photographer)]).overview()["method"] == "beam"


def test_no_more_than_a_few_uploads_are_kept(demo):
    ids = [demo.add_picture(example(index).data)["id"] for index in range(KEPT_UPLOADS + 1)]
    request = {"model": "Decoder", "method": "greedy"}
    for kept in ("example-0", *ids[1:]):
        assert demo.caption({**request, "picture": kept})["captions"]
    with pytest.raises(CourseError, match="no longer in memory"):
        demo.caption({**request, "picture": ids[0]})


@pytest.mark.parametrize("change", [
    {"picture": "example-9"}, {"picture": "../../etc/passwd"}, {"picture": None}, {"model": "none"},
    {"method": "guess"}, {"method": ["beam"]}, {"method": "sample", "temperature": 0},
    {"method": "sample", "temperature": float("nan")}, {"method": "sample", "temperature": "1"}, {"seed": -1},
    {"method": "beam", "beams": 1000},
], ids=str)  # fmt: skip
def test_requests_that_make_no_sense_are_refused(demo, change):
    with pytest.raises(CourseError):
        demo.caption({"picture": "example-0", "model": "Decoder", "method": "greedy"} | change)


# Models and pictures to offer


def test_the_trained_models_are_offered_and_share_an_encoder(finished_course, tmp_path, capsys):
    settings = replace(finished_course.settings, data_folder=tmp_path)
    (settings.work_folder / "show_and_tell" / "model").mkdir(parents=True)
    (settings.work_folder / "show_and_tell" / "model" / "model.json").write_text("{}")
    save_random_attention_model(finished_course.settings, settings.work_folder / "visual_attention" / "model")
    shutil.copytree(finished_course.settings.model_folder, settings.model_folder)
    models = trained_models(settings)
    assert [(model.name, model.attention is not None) for model in models] == [
        ("Visual attention", True), ("Decoder", False),
    ]  # fmt: skip
    assert "Left out: Show and tell" in capsys.readouterr().err

    looks, decoder = (model.captioner for model in models)
    weights = {id(weight) for weight in looks.encoder.model.weights}
    assert weights == {id(weight) for weight in decoder.encoder.model.weights} != set()
    assert looks.encoder.features == "grid" and decoder.encoder.features == "mean"
    alone = load_demo_model("Decoder", settings.model_folder, settings).captioner
    square = crop_and_resize(encode_png(drawn(1)), alone.input_shape)[None]
    np.testing.assert_allclose(decoder.embed(square), alone.embed(square), rtol=1e-5, atol=1e-6)


def test_photographs_are_validation_pictures_if_they_are_there(finished_course, tmp_path):
    pictures = validation_pictures(finished_course.settings)
    assert len(pictures) == 12 and pictures[0].name.endswith(".jpg")
    crop_and_resize(pictures[0].data, (8, 8))
    assert validation_pictures(replace(finished_course.settings, data_folder=tmp_path)) == []
