"""Self-critical training: what earns more becomes more probable, and a stopped training goes on as if it had not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from caption_samples import VOCAB, tiny_decoder, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import Sampling
from say_what_you_see.language.captions import END, PAD
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.transformer import build_transformer
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.examples import Examples
from say_what_you_see.training.loop import train_decoder
from say_what_you_see.training.self_critical import (
    PolicyGradient,
    advantages,
    lengths_and_words,
    policy_gradient_loss,
    train_for_cider,
)

pytestmark = pytest.mark.backends

SAMPLES = 4
CONFIG = TrainingConfig(3, batch_size=8, learning_rate=1e-2, max_len=9, schedule="constant", captions_per_image=SAMPLES)


def as_grids(examples: Examples) -> Examples:
    """The same with the features as two regions: colours and things."""
    return replace(examples, image_embeds=examples.image_embeds.reshape(-1, 2, 3))


TRAIN, VALIDATION = toy_examples(40, seed=1), toy_examples(20, seed=2)
MODELS = {
    "transformer": (
        lambda: build_transformer(len(VOCAB), 2, 3, units=16, blocks=1, heads=2, dropout=0.1),
        as_grids(TRAIN),
        as_grids(VALIDATION),
    ),
    "decoder": (lambda: tiny_decoder(dropout=0.1), TRAIN, VALIDATION),
}


def test_an_advantage_is_what_a_caption_earned_beyond_the_mean_of_the_others():
    rewards = np.array([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]])
    expected = [[1 - 4.0, 2 - 3.5, 6 - 1.5], [0, 0, 0]]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(advantages(rewards)), expected)


def test_the_loss_is_minus_the_mean_of_advantages_times_log_probabilities():
    rng = np.random.default_rng(0)
    log_probabilities, rewards = -rng.random((5, 3), dtype="float32"), rng.random((5, 3), dtype="float32")
    weights = rewards - (rewards.sum(axis=1, keepdims=True) - rewards) / 2
    expected = -(weights * log_probabilities).mean()
    assert float(policy_gradient_loss(log_probabilities, rewards)) == pytest.approx(expected, rel=1e-4)


def test_the_loss_of_a_batch_counts_real_words_among_those_that_can_be_said():
    rng = np.random.default_rng(0)
    said = [index for word, index in VOCAB.items() if word == END or not word.startswith("#")]
    words = rng.choice(said, (6, 5))
    words[np.arange(5) >= np.array([[5], [3], [1]] * 2)] = VOCAB[PAD]
    logits, rewards = rng.normal(size=(6, 5, len(VOCAB))).astype("float32"), rng.random(6).astype("float32")
    possible = np.exp(logits)[..., said].sum(axis=-1)
    of_words = np.take_along_axis(logits, words[..., None], axis=-1)[..., 0] - np.log(possible)
    of_captions = (of_words * (words != VOCAB[PAD])).sum(axis=1)
    expected = policy_gradient_loss(of_captions.reshape(2, 3), rewards.reshape(2, 3))
    assert float(PolicyGradient(3, VOCAB)(words, logits, rewards)) == pytest.approx(float(expected), rel=1e-4)


def test_lengths_and_words_do_not_count_the_end():
    lengths, words = lengths_and_words(np.array([[7, 8, 3, 9], [3, 5, 5, 5], [7, 7, 7, 7]]), end=3)
    assert lengths.tolist() == [2, 0, 4] and words.tolist() == [7, 8]


def trained_for_cider(decoder, name, config=CONFIG, folder=None, callback=None):
    """Train one of `MODELS` for CIDEr; returns the history without its seconds."""
    writer, sampling = step_model_of(decoder), Sampling(max_len=config.max_len - 1, k=SAMPLES)

    def sample(features, rng):
        return generate(writer, features, VOCAB, sampling, rng).indices

    def describe(features):
        return generate(writer, features, VOCAB).indices[:, 0]

    _, train, validation = MODELS[name]
    history = train_for_cider(decoder, train, validation, config, VOCAB, sample, describe, folder, callback)
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


@pytest.fixture(scope="module", params=list(MODELS))
def started(request):
    """The name of a model, and one that cross-entropy has taught a little."""
    build, train, validation = MODELS[request.param]
    keras.utils.set_random_seed(0)
    decoder = build()
    train_decoder(decoder, train, validation, TrainingConfig(4, 16, learning_rate=1e-2, max_len=9), VOCAB[PAD])
    return request.param, decoder


def again(started):
    """A copy of the model."""
    name, decoder = started
    copy = MODELS[name][0]()
    copy.set_weights(decoder.get_weights())
    return copy


def test_captions_earn_more_and_a_stopped_training_goes_on_as_if_nothing_had_happened(started, tmp_path):
    name, _ = started
    whole, stopped, resumed = again(started), again(started), again(started)
    history = trained_for_cider(whole, name)
    assert history[-1]["reward"] > history[0]["reward"] + 0.2
    assert all(1 < record["length"] < 8 and 3 <= record["val_words"] <= 9 for record in history)

    assert trained_for_cider(stopped, name, replace(CONFIG, epochs=1), tmp_path) == history[:1]
    assert trained_for_cider(resumed, name, CONFIG, tmp_path) == history, "more epochs lengthen the same training"
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

    assert trained_for_cider(again(started), name, CONFIG, tmp_path) == history, "nothing is done twice"
    stopped.set_weights([weights * 0.9 for weights in stopped.get_weights()])
    assert trained_for_cider(stopped, name, replace(CONFIG, epochs=0), tmp_path) == [], "another start"
