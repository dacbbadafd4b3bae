"""How the encoder of the course is trained and kept: batches, loss, and weights that are small and still the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scene_samples import scenes_of

from say_what_you_see.core.backend import keras
from say_what_you_see.data.scenes.scene import CROP_SIDE
from tools import train_scene_encoder
from tools.scene_targets import N_POSITION_FREE, TARGET_NAMES, UNKNOWN, scene_targets
from tools.train_scene_encoder import (
    CROP_INPUT,
    IMAGE_SIDE,
    MANTISSA_BITS,
    MapBatches,
    SceneBatches,
    masked_binary_crossentropy,
    round_mantissa,
    save_weights,
    train_phase,
    write_small_weights,
)

SCENES = scenes_of("train", 12, seed=3)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """In place of drawn scenes, pictures that tell their number and where each pixel is."""
    pictures = np.zeros((len(SCENES), CROP_SIDE, CROP_SIDE, 3), np.uint8)
    pictures[..., 0] = np.arange(len(SCENES))[:, None, None]
    pictures[..., 1] = np.arange(CROP_SIDE)[:, None] // 2
    pictures[..., 2] = np.arange(CROP_SIDE) // 2
    return pictures


def batches_of(kind: str, pictures: np.ndarray, seed: int = 5) -> keras.utils.PyDataset:
    if kind == "maps":
        maps = np.random.default_rng(0).normal(size=(len(SCENES), 4, 4, 6)).astype(np.float16)
        return MapBatches(maps, np.stack([scene_targets(scene) for scene in SCENES]), 8, seed)
    return SceneBatches(pictures, SCENES, CROP_INPUT if kind == "crops" else IMAGE_SIDE, 8, seed)


def same(one: tuple, other: tuple) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# Batches


@pytest.mark.parametrize("kind", ["crops", "wholes", "maps"])
def test_a_batch_follows_from_seed_epoch_and_step(kind, pictures):
    batches, again = batches_of(kind, pictures), batches_of(kind, pictures)
    first = batches[0]
    assert not same(first, batches[1])
    assert same(first, batches[0]) and same(first, again[0])
    assert not same(first, batches_of(kind, pictures, seed=6)[0])
    batches.on_epoch_end()
    again.epoch = 1
    assert not same(first, batches[0])
    assert same(batches[0], again[0])


@pytest.mark.parametrize(("kind", "side"), [("crops", CROP_INPUT), ("wholes", IMAGE_SIDE)])
def test_pictures_keep_their_targets(kind, side, pictures):
    batch, targets = batches_of(kind, pictures)[0]
    assert batch.shape == (8, side, side, 3) and batch.dtype == np.float32
    assert targets.shape == (8, len(TARGET_NAMES))
    pixels = np.rint((batch + 1) * 127.5)
    assert batch.min() >= -1 and batch.max() <= 1
    for picture, target in zip(pixels, targets, strict=True):
        whole = scene_targets(SCENES[int(picture[0, 0, 0])])
        if kind == "wholes":
            np.testing.assert_array_equal(target, whole)
        else:
            assert (target[N_POSITION_FREE:] == UNKNOWN).all()
            assert (target <= whole).all(), "a crop shows nothing that the scene does not have"


def test_feature_maps_keep_their_targets(pictures):
    batches = batches_of("maps", pictures)
    maps, targets = batches[0]
    assert maps.shape == (8, 4, 4, 6) and maps.dtype == np.float32
    for one, target in zip(maps, targets, strict=True):
        [row] = [row for row, known in enumerate(batches.maps) if np.array_equal(one, known.astype(np.float32))]
        np.testing.assert_array_equal(target, batches.targets[row])


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


def test_unknown_answers_do_not_count(answers):
    targets, logits = answers
    changed = np.where(targets == UNKNOWN, logits + 3, logits)
    loss = np.asarray(masked_binary_crossentropy(targets, logits))
    np.testing.assert_array_equal(np.asarray(masked_binary_crossentropy(targets, changed)), loss)
    nothing = np.full_like(targets, UNKNOWN)
    np.testing.assert_array_equal(np.asarray(masked_binary_crossentropy(nothing, logits)), np.zeros(5))


def test_the_loss_is_finite_where_answers_are_sure():
    targets, logits = np.array([[0, 1]], np.float32), np.array([[200, -300]], np.float32)
    np.testing.assert_allclose(np.asarray(masked_binary_crossentropy(targets, logits)), [500])


# Weights


@pytest.mark.parametrize("bits", [1, 2, MANTISSA_BITS, 4])
def test_rounding_keeps_the_leading_digits(bits):
    rng = np.random.default_rng(2)
    values = (rng.choice([-1, 1], 20_000) * 2.0 ** rng.uniform(-13.9, 10, 20_000)).astype(np.float32)
    rounded = round_mantissa(values, bits).astype(np.float64)
    assert np.max(np.abs(rounded - values) / np.abs(values)) <= 2.0 ** -(bits + 1)
    assert (np.sign(rounded) == np.sign(values)).all()
    mantissas = np.abs(rounded) / 2.0 ** np.floor(np.log2(np.abs(rounded)))
    assert set(np.unique(mantissas)) == {1 + step / 2**bits for step in range(2**bits)}
    np.testing.assert_array_equal(round_mantissa(rounded, bits), rounded)


def test_rounding_keeps_zeros_and_what_float16_holds_coarsely():
    tiny = np.array([0.0, -0.0, 1e-6, -2e-5, 5e-5], np.float32)
    rounded = round_mantissa(tiny, MANTISSA_BITS)
    assert rounded.dtype == np.float16
    np.testing.assert_array_equal(rounded[:2], [0, 0])
    np.testing.assert_allclose(rounded.astype(float), tiny, atol=4e-6)


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


def test_a_phase_goes_on_from_its_last_checkpoint(tmp_path, monkeypatch):
    """Three epochs at once, or one now and two after an interruption: the same weights."""
    monkeypatch.setattr(train_scene_encoder, "STEPS_PER_EPOCH", 70)
    maps = np.random.default_rng(0).normal(size=(20, 2, 2, 3)).astype(np.float16)
    targets = (maps.mean(axis=(1, 2)) > 0).astype(np.float32)

    def trainer() -> keras.Model:
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Input((2, 2, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
        return keras.Sequential(layers)

    def save_until_interrupted(model: keras.Model, path: Path) -> None:
        if path.name.startswith("epoch_002"):
            raise KeyboardInterrupt
        save_weights(model, path)

    whole = trainer()
    train_phase(whole, MapBatches(maps, targets, 4, seed=1), 1e-2, tmp_path / "whole", epochs=3)
    with monkeypatch.context() as patch:
        patch.setattr(train_scene_encoder, "save_weights", save_until_interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_phase(trainer(), MapBatches(maps, targets, 4, seed=1), 1e-2, tmp_path / "parts", epochs=3)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["epoch_001.weights.h5"]
    resumed = trainer()
    train_phase(resumed, MapBatches(maps, targets, 4, seed=1), 1e-2, tmp_path / "parts", epochs=3)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["epoch_003.weights.h5"]
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
