"""Self-critical training: what earns more becomes more probable, and a stopped training goes on as if it had not."""

from __future__ import annotations

import numpy as np
import pytest
from caption_samples import VOCAB

from say_what_you_see.core.backend import keras
from say_what_you_see.language.captions import END, PAD
from say_what_you_see.training.self_critical import (
    PolicyGradient,
    advantages,
    lengths_and_words,
    policy_gradient_loss,
)

pytestmark = pytest.mark.backends


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
