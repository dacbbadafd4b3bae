"""A model folder comes back as it was saved, and is refused when its parts do not belong together."""

import json
from unittest.mock import Mock

import numpy as np
import pytest
from caption_samples import (
    ENCODER,
    FEATURES,
    VOCAB,
    fit_checksums,
    opinionated_decoder,
    tiny_decoder,
    write_tiny_encoder,
)

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.language.captions import PAD, UNK
from say_what_you_see.serving.model_choice import read_metadata, read_vocabulary
from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model, save_caption_model
from say_what_you_see.training.loop import TrainingConfig, compile_decoder

METADATA = {"dataset": "scenes", "pictures": 48, "captions": 240, "scores": {"val_loss": 1.23456}}


@pytest.fixture(scope="module")
def model() -> CaptionModel:
    decoder = opinionated_decoder()
    compile_decoder(decoder, TrainingConfig(1), VOCAB[PAD], 1)
    return CaptionModel(decoder, VOCAB, ENCODER, METADATA)


@pytest.fixture
def folder(model, tmp_path):
    save_caption_model(model, tmp_path / "model")
    return tmp_path / "model"


def predictions(model: CaptionModel) -> np.ndarray:
    features = np.random.default_rng(0).normal(size=(3, FEATURES)).astype(np.float32)
    return model.decoder.predict_on_batch([features, np.arange(9).reshape(3, 3)])


def test_a_model_comes_back(model, folder):
    loaded = load_caption_model(folder)
    np.testing.assert_allclose(predictions(loaded), predictions(model), atol=1e-5)
    assert (loaded.vocab, loaded.encoder, loaded.metadata) == (model.vocab, ENCODER, METADATA)
    assert not getattr(loaded.decoder, "compiled", False), "the loss, which needs code of ours, stays behind"
    assert model.decoder.compiled and model.decoder.optimizer is not None, "the trained decoder is as it was"


def test_the_card_explains_the_model_and_its_encoder(model, folder, tmp_path):
    assert {path.name for path in folder.iterdir()} == {"decoder.keras", "vocabulary.json", "model.json", "README.md"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(text in card for text in ("random ones", f"{len(VOCAB) - 4} words and", "1.235", "comes automatically"))
    encoder = {**ENCODER, "encoder_setting": "mine.keras"}
    save_caption_model(CaptionModel(model.decoder, VOCAB, encoder, {"training_seconds": 90.0}), tmp_path / "own")
    card = (tmp_path / "own" / "README.md").read_text(encoding="utf-8")
    assert all(text in card for text in ("file `mine.keras`", "0" * 64, "--encoder PATH", "1.5 minutes"))


def test_a_new_model_replaces_the_old_one_or_nothing_is_left(model, folder, monkeypatch):
    save_caption_model(CaptionModel(tiny_decoder(seed=5), VOCAB, {**ENCODER, "name": "new"}), folder)
    assert load_caption_model(folder).encoder["name"] == "new" and load_caption_model(folder).metadata == {}

    interrupt = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr("say_what_you_see.serving.model_folder.model_card", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_caption_model(model, folder)
    with pytest.raises(CourseError, match="no finished caption model in .*--model"):
        load_caption_model(folder)


@pytest.mark.parametrize("name", ["decoder.keras", "vocabulary.json"])
@pytest.mark.parametrize("damage", ["missing", "longer", "cut"])
def test_parts_that_are_missing_or_changed_are_named(name, damage, folder):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content + b" ")
    with pytest.raises(CourseError, match=rf"{name} is missing or does not belong"):
        load_caption_model(folder)


@pytest.mark.parametrize(("change", "message"), [
    (lambda words: [*words, "zebra"], rf"knows {len(VOCAB)} words.*has {len(VOCAB) + 1}"),
    (lambda words: ["zebra" if word == UNK else word for word in words], f"lacks {UNK}"),
    *((lambda _, other=other: other, r"vocabulary\.json") for other in (
        {"a": 1}, "text", None, [1], ["a", "a"], [""], ["a b"], ["\x1b[2J"], ["a\u202e"], ["w" * 2000], ["\ud800"],
    )),
])  # fmt: skip
def test_a_vocabulary_of_another_model_or_of_no_words_is_refused(change, message, folder):
    """Even with a checksum that fits."""
    path = folder / "vocabulary.json"
    path.write_text(json.dumps(change(read_json(path))))
    fit_checksums(folder)
    with pytest.raises(CourseError, match=message):
        load_caption_model(folder)


def test_a_model_that_is_no_decoder_is_refused(folder):
    write_tiny_encoder(folder / "decoder.keras")
    fit_checksums(folder)
    with pytest.raises(CourseError, match=r"decoder\.keras is not a decoder"):
        load_caption_model(folder)


@pytest.mark.parametrize(("change", "wrong"), [
    *((change, r"model\.json has a format") for change in (
        {"format": 2}, {"format": None}, {"checksums": []}, {"encoder": {"name": "tiny"}},
        {"encoder": ENCODER | {"encoder_setting": 5}}, {"scores": {"loss": "low"}}, None,
    )),
    ({"checksums": {}}, r"decoder\.keras is missing or does not belong"),
], ids=str)  # fmt: skip
def test_metadata_of_another_format_or_without_checksums_are_refused(change, wrong, folder):
    metadata = read_json(folder / "model.json")
    write_json([metadata] if change is None else metadata | change, folder / "model.json")
    with pytest.raises(CourseError, match=wrong):
        load_caption_model(folder)


def test_a_description_or_vocabulary_of_many_megabytes_is_refused(folder, monkeypatch):
    monkeypatch.setattr("say_what_you_see.serving.model_choice.MAX_MODEL_JSON", 9)
    with pytest.raises(CourseError, match="model.json is too large"):
        read_metadata(folder)
    with pytest.raises(CourseError, match="vocabulary.json is too large"):
        read_vocabulary(folder / "vocabulary.json")
