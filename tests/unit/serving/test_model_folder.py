"""A model folder comes back as it was saved, and is refused when its parts do not belong together."""

from __future__ import annotations

import numpy as np
import pytest
from caption_samples import FEATURES, VOCAB, opinionated_decoder, tiny_decoder

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, sha256_of, write_json
from say_what_you_see.language.captions import PAD, UNK
from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model, save_caption_model
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.loop import compile_decoder

ENCODER = {"name": "tiny", "weights": "random ones", "weights_checksum": "0" * 64, "input_shape": [24, 24],
           "pictures_kind": "scenes", "encoder_setting": "inception_v3"}  # fmt: skip
FACTS = {"dataset": "scenes", "pictures": 48, "captions": 240, "scores": {"val_loss": 1.23456}}


@pytest.fixture(scope="module")
def model() -> CaptionModel:
    decoder = opinionated_decoder()
    compile_decoder(decoder, TrainingConfig(1), VOCAB[PAD], 1)
    return CaptionModel(decoder, VOCAB, ENCODER, FACTS)


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
    assert loaded.vocab == model.vocab
    assert loaded.encoder == ENCODER
    assert loaded.facts == FACTS
    assert not getattr(loaded.decoder, "compiled", False), "the loss, which needs code of ours, stays behind"


def test_saving_leaves_the_trained_decoder_as_it_was(model, folder):
    assert model.decoder.compiled and model.decoder.optimizer is not None


def test_the_folder_explains_itself(folder):
    assert {path.name for path in folder.iterdir()} == {"decoder.keras", "vocabulary.json", "model.json", "README.md"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    for text in ("scenes", "tiny", "random ones", f"{len(VOCAB)} words", "1.235", "| pictures, captions | 48, 240 |"):
        assert text in card


def test_the_card_says_which_encoder_is_needed_and_where_it_goes(model, folder, tmp_path):
    assert "comes by itself" in (folder / "README.md").read_text(encoding="utf-8")
    encoder = {**ENCODER, "encoder_setting": "mine.keras"}
    facts = {**FACTS, "training_seconds": 90.0}
    save_caption_model(CaptionModel(model.decoder, VOCAB, encoder, facts), tmp_path / "own")
    card = (tmp_path / "own" / "README.md").read_text(encoding="utf-8")
    for text in ("file `mine.keras`", "0" * 64, "--encoder PATH", "encoder.keras", "| time of training | 1.5 minutes"):
        assert text in card


def test_a_model_without_facts_can_be_saved(tmp_path):
    save_caption_model(CaptionModel(tiny_decoder(), VOCAB, ENCODER), tmp_path)
    assert load_caption_model(tmp_path).facts == {}


def test_a_new_model_replaces_the_old_one(folder):
    save_caption_model(CaptionModel(tiny_decoder(seed=5), VOCAB, {**ENCODER, "name": "new"}), folder)
    assert load_caption_model(folder).encoder["name"] == "new"


def test_an_interrupted_saving_leaves_no_model(model, folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("say_what_you_see.serving.model_folder._model_card", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_caption_model(model, folder)
    with pytest.raises(CourseError, match="no finished caption model"):
        load_caption_model(folder)


@pytest.mark.parametrize("name", ["nowhere", "model.json"])
def test_what_is_no_model_folder_is_refused(name, folder, tmp_path):
    with pytest.raises(CourseError, match=rf"no finished caption model in .*{name}.*--model"):
        load_caption_model(folder / name)


@pytest.mark.parametrize("name", ["decoder.keras", "vocabulary.json"])
@pytest.mark.parametrize("damage", ["missing", "changed", "cut"])
def test_parts_that_are_missing_or_changed_are_named(name, damage, folder):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content + b" ")
    with pytest.raises(CourseError, match=rf"{name} is missing or does not belong"):
        load_caption_model(folder)


def test_a_vocabulary_of_another_model_is_refused(folder, model):
    """Even where the words are as many."""
    words = read_json(folder / "vocabulary.json")
    write_json([*words[:-2], words[-1], words[-2]], folder / "vocabulary.json")
    with pytest.raises(CourseError, match=r"vocabulary\.json"):
        load_caption_model(folder)


def change_vocabulary(folder, words: list[str]) -> None:
    """Put in another vocabulary, with a checksum that fits."""
    write_json(words, folder / "vocabulary.json")
    facts = read_json(folder / "model.json")
    facts["checksums"]["vocabulary.json"] = sha256_of(folder / "vocabulary.json")
    write_json(facts, folder / "model.json")


def test_a_vocabulary_of_another_length_is_refused(folder):
    change_vocabulary(folder, [*read_json(folder / "vocabulary.json"), "zebra"])
    with pytest.raises(CourseError, match=rf"knows {len(VOCAB)} words.*has {len(VOCAB) + 1}"):
        load_caption_model(folder)


def test_a_vocabulary_without_special_words_is_refused(folder):
    change_vocabulary(folder, ["zebra" if word == UNK else word for word in read_json(folder / "vocabulary.json")])
    with pytest.raises(CourseError, match=f"lacks {UNK}"):
        load_caption_model(folder)


@pytest.mark.parametrize("change", [
    lambda facts: facts | {"format": 2},
    lambda facts: {key: value for key, value in facts.items() if key != "format"},
    lambda facts: {key: value for key, value in facts.items() if key != "checksums"},
    lambda facts: {key: value for key, value in facts.items() if key != "encoder"},
    lambda facts: facts | {"encoder": {key: value for key, value in ENCODER.items() if key != "pictures_kind"}},
    lambda facts: [facts],
], ids=["format", "no format", "no checksums", "no encoder", "other encoder facts", "list"])  # fmt: skip
def test_facts_of_another_format_are_refused(change, folder):
    write_json(change(read_json(folder / "model.json")), folder / "model.json")
    with pytest.raises(CourseError, match=r"model\.json is of a format"):
        load_caption_model(folder)


def test_checksums_cannot_be_left_out(folder):
    facts = read_json(folder / "model.json")
    del facts["checksums"]["decoder.keras"]
    write_json(facts, folder / "model.json")
    with pytest.raises(CourseError, match=r"decoder\.keras"):
        load_caption_model(folder)


def test_facts_that_are_no_json_are_refused(folder):
    (folder / "model.json").write_text("{")
    with pytest.raises(CourseError, match=r"model\.json holds no JSON"):
        load_caption_model(folder)
