"""The models that attend: attention by its formulas, and where they look. What they have in common with the other
decoders is in test_step_models.py.
"""

import numpy as np
import pytest
from attention_samples import REGIONS, opinionated_attention
from caption_samples import FEATURES, VOCAB

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.attended_captions import get_captions
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.probabilities import softmax
from say_what_you_see.decoding.samplers import Greedy
from say_what_you_see.language.captions import END, PAD, START, UNK
from say_what_you_see.models.attention import (
    attention_model,
    attention_step_model,
    most_frequent_words,
    predict_step_by_step,
    with_even_attention,
)
from say_what_you_see.models.transformer import build_transformer
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.loop import compile_decoder

pytestmark = pytest.mark.backends


def some_input(batch: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(batch, REGIONS, FEATURES)).astype(np.float32)
    return features, rng.integers(len(VOCAB), size=(batch, 5)).astype(np.int32)


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


def test_even_attention_looks_at_everything_and_leaves_the_model_as_it_was():
    model = opinionated_attention(2)
    compile_decoder(model, TrainingConfig(epochs=2), VOCAB[PAD], 1)  # as it is after training
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


def test_captions_of_a_picture_share_its_encoding():
    model = build_transformer(len(VOCAB), REGIONS, FEATURES, 8, blocks=2, heads=2)
    features, words = some_input(3)[0], some_input(6)[1]
    answers = model([features, words]), model([np.repeat(features, 2, axis=0), words])
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, answers), rtol=1e-3, atol=1e-4)
