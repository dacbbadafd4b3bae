"""The last layers of an encoder, trained along with a decoder, and the file that they are kept in."""

import numpy as np
import pytest

from say_what_you_see.core.backend import keras
from say_what_you_see.models.transformer import build_transformer
from say_what_you_see.vision.efficientnet_lite import FINE_TUNED_BLOCKS, package_of, read_blocks, with_fine_tuned_layers
from say_what_you_see.vision.efficientnet_lite_networks import apply_blocks
from tools import train_photo_encoder as tool


@pytest.fixture(scope="module")
def blocks():
    pytest.importorskip(package_of(tool.ENCODER).replace("-", "_"))
    return read_blocks(tool.ENCODER)


def test_a_joint_model_predicts_what_encoder_and_decoder_do_one_after_the_other(blocks):
    decoder = build_transformer(30, regions=100, units=16, heads=2)
    lower_input = keras.Input((10, 10, 208))
    rng = np.random.default_rng(0)
    lower, words = rng.normal(size=(2, 100, 208)).astype("float32"), rng.integers(30, size=(2, 6))
    model = tool.build_joint_model(decoder, (100, 208))
    upper = keras.Model(lower_input, apply_blocks(lower_input, blocks[-FINE_TUNED_BLOCKS:]))
    grid = upper.predict_on_batch(lower.reshape(2, 10, 10, 208)).reshape(2, 100, 1280)
    expected = decoder.predict_on_batch([grid, words])
    np.testing.assert_allclose(model.predict_on_batch([lower, words]), expected, atol=1e-4)


def test_trained_layers_come_back_from_their_file(blocks, monkeypatch, tmp_path):
    monkeypatch.setattr(tool, "FINE_TUNED", tmp_path / "last.npz")
    model = tool.build_joint_model(build_transformer(30, regions=100, units=16, heads=2), (100, 208))
    head = model.get_layer(blocks[-1].convolutions[0].name)
    head.set_weights([2 * weights for weights in head.get_weights()])
    tool.save_last_layers(model)
    found = with_fine_tuned_layers(blocks, tmp_path / "last.npz")[-1].convolutions[0]
    np.testing.assert_allclose(found.kernel, 2 * blocks[-1].convolutions[0].kernel, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.bias, 2 * blocks[-1].convolutions[0].bias, rtol=1e-3, atol=1e-6)
