"""How the encoder of the course is trained and kept: its loss, and weights that are small and still the same."""

import numpy as np

from say_what_you_see.core.backend import keras
from tools.scene_targets import UNKNOWN
from tools.train_scene_encoder import masked_binary_crossentropy, write_small_weights


def test_the_loss_is_the_crossentropy_of_the_known_answers():
    targets = np.array([[1, 0, UNKNOWN], [UNKNOWN, 1, 1]], "float32")
    logits = np.array([[2, 3, 9], [9, -1, 0]], "float32")
    probabilities = 1 / (1 + np.exp(-logits))
    expected = [-np.log(probabilities[0, 0] * (1 - probabilities[0, 1])), -np.log(probabilities[1, 1:].prod())]
    np.testing.assert_allclose(np.asarray(masked_binary_crossentropy(targets, logits)), expected, rtol=1e-4)


def tiny_encoder(seed: int) -> keras.Model:
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    steps = [layers.Input((32, 32, 3)), layers.Conv2D(96, 5, strides=2), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([*steps, layers.Conv2D(128, 3), layers.GlobalAveragePooling2D(), layers.Dense(7)])


def test_small_weights_are_read_as_any_others(tmp_path):
    encoder, other = tiny_encoder(1), tiny_encoder(2)
    path = tmp_path / "small.weights.h5"
    write_small_weights(encoder, path)
    assert [path.name for path in tmp_path.iterdir()] == ["small.weights.h5"]
    encoder.save_weights(tmp_path / "whole.weights.h5")
    assert path.stat().st_size < (tmp_path / "whole.weights.h5").stat().st_size / 2
    other.load_weights(path)
    for before, after in zip(encoder.get_weights(), other.get_weights(), strict=True):
        rounded = {"rtol": 2.0**-4, "atol": 4e-6} if before.ndim == 4 else {"rtol": 0}
        np.testing.assert_allclose(after, before, **rounded)
