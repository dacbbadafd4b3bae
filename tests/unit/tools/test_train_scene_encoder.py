"""How the encoder of the course is trained and kept: batches, loss, and weights that are small and still the same."""

from __future__ import annotations

import numpy as np
import pytest

from say_what_you_see.core.backend import keras
from tools.scene_targets import UNKNOWN
from tools.train_scene_encoder import (
    masked_binary_crossentropy,
    save_weights,
    write_small_weights,
)

# Batches


# Loss


def crossentropy(targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The loss of each picture, with NumPy and only the known targets."""
    sums = []
    for target, logit in zip(targets, logits, strict=True):
        yes = 1 / (1 + np.exp(-logit[target != UNKNOWN].astype(float)))
        answer = target[target != UNKNOWN]
        sums.append(-(answer * np.log(yes) + (1 - answer) * np.log(1 - yes)).sum())
    return np.array(sums)


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.choice([0, 1, UNKNOWN], (5, 40)).astype(np.float32), rng.normal(0, 4, (5, 40)).astype(np.float32)


def test_the_loss_is_the_crossentropy_of_the_known_answers(answers):
    loss = np.asarray(masked_binary_crossentropy(*answers))
    np.testing.assert_allclose(loss, crossentropy(*answers), rtol=1e-4)


# Weights


def tiny_encoder(seed: int) -> keras.Model:
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    steps = [layers.Input((32, 32, 3)), layers.Conv2D(96, 5, strides=2), layers.BatchNormalization(), layers.ReLU()]
    encoder = keras.Sequential([*steps, layers.Conv2D(128, 3), layers.GlobalAveragePooling2D(), layers.Dense(7)])
    rng = np.random.default_rng(seed)
    encoder.set_weights([weight + np.abs(rng.normal(0, 0.1, weight.shape)) for weight in encoder.get_weights()])
    return encoder


def test_small_weights_are_read_as_any_others(tmp_path):
    encoder, other = tiny_encoder(1), tiny_encoder(2)
    path = tmp_path / "small.weights.h5"
    write_small_weights(encoder, path)
    assert [path.name for path in tmp_path.iterdir()] == ["small.weights.h5"]
    save_weights(encoder, tmp_path / "whole.weights.h5")
    assert path.stat().st_size < (tmp_path / "whole.weights.h5").stat().st_size / 2
    other.load_weights(path)
    for name, before, after in zip(
        (weight.path for weight in encoder.weights), encoder.get_weights(), other.get_weights(), strict=True
    ):
        assert after.dtype == before.dtype == np.float32
        if before.ndim == 4:
            np.testing.assert_allclose(after, before, rtol=2.0**-4, atol=4e-6, err_msg=name)
            assert (after != before).any()
        else:
            np.testing.assert_array_equal(after, before, err_msg=name)
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    embeds = encoder.predict_on_batch(images)
    np.testing.assert_allclose(other.predict_on_batch(images), embeds, atol=0.1 * np.abs(embeds).max())
