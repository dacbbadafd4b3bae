"""The model looks before each word, what is trained is what writes captions, and training goes on exactly."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from attention_samples import REGIONS, grid_examples, opinionated_attention, tiny_attention
from backend_marks import tensorflow_suffices
from caption_samples import FEATURES, VOCAB

from say_what_you_see.core.backend import keras
from say_what_you_see.core.settings import REPOSITORY
from say_what_you_see.decoding.attended_captions import get_caption, get_captions
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import BeamSearch, Greedy
from say_what_you_see.language.captions import END, PAD, START, UNK
from say_what_you_see.models.attention import (
    attention_model,
    attention_step_model,
    most_frequent_words,
    predict_step_by_step,
    with_even_attention,
)
from say_what_you_see.serving.model_folder import CaptionModel, save_caption_model
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.loop import compile_decoder, train_decoder

pytestmark = pytest.mark.backends

PLAN = TrainingConfig(epochs=2, batch_size=16, learning_rate=1e-2, weight_decay=0.01, dropout=0.2, max_len=7)


def some_input(batch: int = 3, steps: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(batch, REGIONS, FEATURES)).astype(np.float32)
    return features, rng.integers(len(VOCAB), size=(batch, steps)).astype(np.int32)


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_attention_is_that_of_the_formula():
    model = opinionated_attention()
    features, _ = some_input()
    hidden = np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32)
    attention = model.get_layer("decoder").cell.attention
    regions = keras.ops.convert_to_numpy(model.get_layer("encoder")(features))
    kernel, bias = model.get_layer("W1").get_weights()
    w2, v = attention.get_weights()
    scores = (np.tanh((regions @ kernel + bias) + (hidden @ w2)[:, None]) @ v)[..., 0]
    context, weights = map(keras.ops.convert_to_numpy, attention(hidden, regions, model.get_layer("W1")(regions)))
    assert weights == pytest.approx(softmax(scores), abs=1e-5)
    assert context == pytest.approx((softmax(scores)[..., None] * regions).sum(axis=1), abs=1e-4)


def test_the_model_and_the_plain_loop_agree():
    model = opinionated_attention(2)
    features, words = some_input()
    logits, weights = predict_step_by_step(model, features, words)
    assert model.predict_on_batch([features, words]) == pytest.approx(logits, abs=1e-4)
    assert attention_model(model).predict_on_batch([features, words]) == pytest.approx(weights, abs=1e-5)


def test_a_caption_comes_with_the_weights_of_the_step_that_emitted_each_word():
    model = opinionated_attention(5)
    features, _ = some_input(batch=4)
    captions = get_captions(model, features, VOCAB, Greedy(6), batch_size=3)
    sentences = generate(attention_step_model(model), features, VOCAB, Greedy(6)).sentences(VOCAB)
    assert [caption.sentence for caption in captions] == sentences
    for row, caption in zip(features, captions, strict=True):
        read = np.array([[VOCAB[START], *(VOCAB[word] for word in caption.words)]])
        _, weights = predict_step_by_step(model, row[None], read)
        expected = weights[0, : len(caption.words)].reshape(-1, 2, 2)
        assert caption.attention.shape == (len(caption.words), 2, 2)
        assert caption.attention == pytest.approx(expected, abs=1e-5)


def test_get_caption_is_about_one_picture_and_traces_shapes_on_request(capsys):
    model = opinionated_attention(5)
    features, _ = some_input(batch=2)
    caption = get_caption(model, features[1], VOCAB, BeamSearch(2, max_len=6), trace_shapes=True)
    expected = get_captions(model, features, VOCAB, BeamSearch(2, max_len=6))[1]
    assert caption.words == expected.words and caption.attention == pytest.approx(expected.attention, abs=1e-5)
    assert capsys.readouterr().out.count("  weights ") == len(caption.words) + 1


def test_even_attention_looks_at_everything_and_leaves_the_model_as_it_was():
    model = opinionated_attention(2)
    compile_decoder(model, PLAN, VOCAB[PAD], 1)  # as it is after training
    features, words = some_input()
    before = model.predict_on_batch([features, words])
    even = with_even_attention(model)
    assert attention_model(even).predict_on_batch([features, words]) == pytest.approx(np.full((3, 5, REGIONS), 0.25))
    assert (model.predict_on_batch([features, words]) == before).all()
    assert not np.allclose(even.predict_on_batch([features, words]), before)


def test_the_vocabulary_keeps_the_most_frequent_words():
    captions = [["b b b c c", "a a d"], ["B, e"]]
    assert set(most_frequent_words(captions, 2)) == {"b", "a", PAD, UNK, START, END}  # c is as frequent as a
    everything = most_frequent_words(captions)
    assert set(everything) == {*"abcde", PAD, UNK, START, END}
    assert sorted(everything.values()) == list(range(9)) and list(everything) == sorted(everything)


@tensorflow_suffices
def test_attention_finds_the_region_that_shows_the_thing():
    (train, _), (val, places) = grid_examples(300), grid_examples(60, seed=1)
    model = tiny_attention()
    config = TrainingConfig(epochs=12, batch_size=16, learning_rate=2e-2, max_len=7)
    history = train_decoder(model, train, val, config, VOCAB[PAD])
    captions = get_captions(model, val.image_embeds, VOCAB, Greedy(6))
    peaks = [caption.attention[-1].argmax() for caption in captions]  # the last word is the thing
    assert history[-1]["val_loss"] < 0.5 and np.mean(peaks == places) > 0.6


@tensorflow_suffices
def test_a_model_folder_loads_in_a_program_that_has_not_met_attention(tmp_path):
    encoder = dict.fromkeys(("name", "weights", "weights_checksum", "pictures_kind", "encoder_setting"), "x")
    save_caption_model(CaptionModel(tiny_attention(), VOCAB, encoder), tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "loads after `import say_what_you_see.models.attention`" in card
    program = (
        "import sys; from pathlib import Path; from say_what_you_see.serving.model_folder import load_caption_model; "
    )
    program += "print(load_caption_model(Path(sys.argv[1])).decoder.name)"
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY)
    assert run.stdout.strip() == "visual_attention", run.stderr
