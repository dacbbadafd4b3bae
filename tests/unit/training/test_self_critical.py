"""Self-critical training: what earns more becomes more probable, and a stopped training goes on as if it had not."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from caption_samples import VOCAB, tiny_decoder, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import Greedy, Sampling
from say_what_you_see.language.captions import END, PAD
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.training.checkpoints import History
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.loop import train_decoder
from say_what_you_see.training.losses import masked_crossentropy
from say_what_you_see.training.self_critical import (
    PolicyGradient,
    lengths_and_words,
    policy_gradient_loss,
    train_for_cider,
)

ops = keras.ops
pytestmark = pytest.mark.backends

CONFIG = TrainingConfig(
    epochs=4, batch_size=8, learning_rate=3e-3, max_len=8, schedule="constant", captions_per_image=5
)


def policy_gradient(samples: int, crossentropy_weight: float = 0.0) -> PolicyGradient:
    config = replace(CONFIG, captions_per_image=samples, crossentropy_weight=crossentropy_weight)
    return PolicyGradient(config, VOCAB)


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
    assert float(policy_gradient(3)(words, logits, rewards)) == pytest.approx(float(expected), rel=1e-4)


def test_true_captions_beside_sampled_ones_add_their_crossentropy():
    rng = np.random.default_rng(0)
    words, logits = rng.integers(4, len(VOCAB), (8, 5)), rng.normal(size=(8, 5, len(VOCAB))).astype("float32")
    rewards, true = rng.random(8).astype("float32"), np.tile([False, False, True, True], 2)  # two pictures
    expected = float(policy_gradient(2)(words[~true], logits[~true], rewards[~true]))
    expected += 3 * float(masked_crossentropy(VOCAB[PAD])(words[true], ops.convert_to_tensor(logits[true])))
    assert float(policy_gradient(2, 3.0)(words, logits, rewards)) == pytest.approx(expected, rel=1e-4)


def test_lengths_and_words_do_not_count_the_end():
    lengths, words = lengths_and_words(np.array([[7, 8, 3, 9], [3, 5, 5, 5], [7, 7, 7, 7]]), end=3)
    assert lengths.tolist() == [2, 0, 4] and words.tolist() == [7, 8]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The weights of a decoder that has read captions for a while, and is not sure yet."""
    decoder = tiny_decoder()
    config = TrainingConfig(epochs=6, batch_size=16, learning_rate=1e-2)
    train_decoder(decoder, toy_examples(48, seed=1), toy_examples(16, seed=2), config, VOCAB[PAD])
    decoder.save_weights(path := tmp_path_factory.mktemp("trained") / "trained.weights.h5")
    return path


def go_on_for_cider(trained, folder=None, callback=None, **changes) -> tuple[keras.Model, History]:
    """Train a decoder with these weights for CIDEr."""
    decoder = tiny_decoder()
    decoder.load_weights(trained)
    writer = step_model_of(decoder)

    def sample(features, rng):
        return generate(writer, features, VOCAB, Sampling(max_len=7, k=CONFIG.captions_per_image), rng).indices

    def describe(features):
        return generate(writer, features, VOCAB, Greedy(7)).indices[:, 0]

    examples, config = (toy_examples(48, seed=1), toy_examples(16, seed=2)), replace(CONFIG, **changes)
    history = train_for_cider(decoder, *examples, config, VOCAB, sample, describe, folder, callback)
    return decoder, history


def test_sampled_captions_earn_more_and_more(trained):
    decoder, history = go_on_for_cider(trained, epochs=12)
    rewards = [epoch["reward"] for epoch in history]
    assert np.mean(rewards[-3:]) > 1.3 * np.mean(rewards[:3])
    assert history[-1]["val_cider"] > history[0]["val_cider"]
    assert all(1 <= epoch["val_words"] < len(VOCAB) and 1 <= epoch["val_length"] <= 7 for epoch in history)


def test_true_captions_keep_the_language(trained):
    losses = [go_on_for_cider(trained, crossentropy_weight=weight)[1][-1]["val_loss"] for weight in (0.0, 5.0)]
    assert losses[1] < losses[0]


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_a_stopped_training_for_cider_goes_on_as_if_it_had_not(trained, tmp_path, weight):
    with pytest.raises(KeyboardInterrupt):
        go_on_for_cider(trained, tmp_path, Mock(side_effect=[None, KeyboardInterrupt]), crossentropy_weight=weight)
    decoder, history = go_on_for_cider(trained, tmp_path, crossentropy_weight=weight)
    whole, expected = go_on_for_cider(trained, crossentropy_weight=weight)
    assert [{**epoch, "seconds": 0} for epoch in history] == [{**epoch, "seconds": 0} for epoch in expected]
    np.testing.assert_equal(decoder.get_weights(), whole.get_weights())


def test_one_that_began_elsewhere_is_another_training(trained, tmp_path):
    tiny_decoder(seed=1).save_weights(tmp_path / "other.weights.h5")
    histories = [go_on_for_cider(path, tmp_path, epochs=1)[1] for path in (trained, tmp_path / "other.weights.h5")]
    assert [len(history) for history in histories] == [1, 1]
    assert histories[0][0]["reward"] != histories[1][0]["reward"]
