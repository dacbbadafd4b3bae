"""The exercises of notebook 11: other right answers than the course's pass."""

from __future__ import annotations

import numpy as np
import pytest
from exercise_samples import assert_right

from say_what_you_see.core.backend import keras

ops = keras.ops
pytestmark = pytest.mark.usefixtures("data_folder")


def test_attention_by_einsum_and_keras_softmax():
    def attention(queries, keys, values, mask=None):
        scores = ops.einsum("...qd,...kd->...qk", queries, keys) / np.sqrt(keys.shape[-1])
        if mask is not None:
            scores += (1 - ops.cast(mask, "float32")) * -1e9
        weights = ops.softmax(scores)
        return ops.einsum("...qk,...ks->...qs", weights, values), weights

    assert_right(attention, "scaled_dot_product_attention")


def test_a_mask_from_a_triangle_of_all_words():
    assert_right(lambda queries, keys: np.tril(np.ones((keys, keys), dtype=bool))[keys - queries :], "causal_mask")


def test_a_loss_that_is_added_up_caption_by_caption():
    def loss(log_probabilities, rewards):
        log_probabilities, rewards = map(ops.convert_to_numpy, (log_probabilities, rewards))
        total = 0.0
        for log_p, earned in zip(log_probabilities, rewards, strict=True):
            for one, p in enumerate(log_p):
                total -= (earned[one] - np.delete(earned, one).mean()) * p
        return total / rewards.size

    assert_right(loss, "policy_gradient_loss")
