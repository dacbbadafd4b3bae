"""Losses and accuracy count real words only, and the lesson's formula is the loss that the course trains with."""

import numpy as np
import pytest

from say_what_you_see.core.backend import keras
from say_what_you_see.models.show_and_tell import caption_mask, loss_per_word
from say_what_you_see.training.losses import masked_accuracy, masked_crossentropy, smoothed_crossentropy

pytestmark = pytest.mark.backends

PAD_IDX = 1


@pytest.fixture
def words_and_logits():
    """Words (4, 6), padded after 6, 4, 2 and 1 of them, and logits (4, 6, 7)."""
    rng = np.random.default_rng(0)
    words = rng.integers(2, 7, size=(4, 6))
    words[np.arange(6) >= np.array([[6], [4], [2], [1]])] = PAD_IDX
    return words, rng.normal(0, 2, (4, 6, 7)).astype(np.float32)


def test_loss_and_accuracy_are_what_numpy_computes(words_and_logits):
    words, logits = words_and_logits
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    real = words != PAD_IDX
    assert real.sum() == 13
    losses = -np.log(np.take_along_axis(shares, words[..., None], axis=-1)[..., 0])[real]
    assert float(masked_crossentropy(PAD_IDX)(words, logits)) == pytest.approx(losses.mean(), rel=1e-5)
    assert loss_per_word(shares, words, caption_mask(words, PAD_IDX)) == pytest.approx(losses.mean(), rel=1e-5)
    right = (logits.argmax(axis=-1) == words)[real]
    assert 0 < right.mean() < 1
    assert float(masked_accuracy(PAD_IDX)(words, logits)) == pytest.approx(right.mean())


def test_smoothed_labels_are_what_keras_makes_of_dense_ones(words_and_logits):
    words, logits = words_and_logits
    real = words != PAD_IDX
    dense = np.eye(logits.shape[-1], dtype="float32")[words]
    expected = keras.losses.categorical_crossentropy(dense, logits, from_logits=True, label_smoothing=0.1)
    smoothed = smoothed_crossentropy(PAD_IDX, 0.1)(words, logits)
    assert float(smoothed) == pytest.approx(keras.ops.convert_to_numpy(expected)[real].mean(), rel=1e-5)


@pytest.mark.parametrize("measure", [masked_crossentropy, masked_accuracy])
def test_a_batch_of_padding_only_is_worth_nothing(measure, words_and_logits):
    words, logits = words_and_logits
    assert float(measure(PAD_IDX)(np.full_like(words, PAD_IDX), logits)) == 0
