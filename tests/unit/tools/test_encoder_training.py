"""How the encoders of the course were trained: what they are asked, which layers learn, and what is kept of them."""

import numpy as np
import pytest
from scene_samples import thing_at

from say_what_you_see.core.backend import keras
from say_what_you_see.data.scenes.scene import Scene
from say_what_you_see.models.transformer import build_transformer
from say_what_you_see.vision.efficientnet_lite import FINE_TUNED_BLOCKS, package_of, read_blocks, with_fine_tuned_layers
from say_what_you_see.vision.efficientnet_lite_networks import apply_blocks
from tools import train_photo_encoder as tool
from tools.scene_targets import N_POSITION_FREE, TARGET_NAMES, UNKNOWN, crop_targets, scene_targets
from tools.train_scene_encoder import write_small_weights

# The encoder of scenes

THINGS = thing_at("ball", "red", 40, 200, 90, 90), thing_at("kite", "blue", 200, 20, 40, 56, size="small")
SCENE = Scene("beach", THINGS, False, 0)


def answered(targets: np.ndarray, answer: float) -> set[str]:
    """The questions with this answer."""
    return {name for name, target in zip(TARGET_NAMES, targets, strict=True) if target == answer}


def test_the_answers_for_a_scene_by_hand():
    assert answered(scene_targets(SCENE), 1) == {
        "beach", "red ball", "ball", "red", "large ball", "blue kite", "kite", "blue",
        "y of ball > 0.3", "y of ball > 0.45", "y of ball > 0.6", "y of ball > 0.75",
        "x of kite > 0.3", "x of kite > 0.45", "x of kite > 0.6",
        "ball left of another", "ball below another", "kite right of another", "kite above another",
        "first thing is ball", "first thing is red", "first thing is large",
        "second thing is kite", "second thing is blue", "first thing left of second", "first thing below second",
    }  # fmt: skip


@pytest.mark.parametrize(("corner", "seen", "cut"), [
    ((160, 0), {"blue kite", "kite", "blue"}, set()),
    ((150, 150), set(), set()),
    ((85, 150), set(), {"red ball", "ball", "red", "large ball"}),
    ((60, 150), {"red ball", "ball", "red", "large ball"}, set()),
])  # fmt: skip
def test_what_is_cut_in_two_is_unknown(corner, seen, cut):
    targets = crop_targets(SCENE, *corner, 139)
    assert answered(targets, 1) == seen | {"beach"}
    assert answered(targets, UNKNOWN) == cut | set(TARGET_NAMES[N_POSITION_FREE:])


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


# The encoder of photographs


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
