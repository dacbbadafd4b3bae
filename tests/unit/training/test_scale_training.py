"""Training on TFRecords: two phases, an exact resume, checkpoints, and what is refused."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from scale_samples import tiny_cnn, tiny_config, tiny_training

from say_what_you_see.core.backend import keras, suppress_stderr
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import write_json
from say_what_you_see.training.scale import training as scale_training
from say_what_you_see.training.scale.devices import choose_precision, choose_strategy
from say_what_you_see.training.scale.events import read_scalars
from say_what_you_see.training.scale.folder import copy_folder, find_checkpoint, load_scale_model
from say_what_you_see.training.scale.training import LearningRate, TrainState, train_on_records

with suppress_stderr():
    import tensorflow as tf


@pytest.fixture(scope="module")
def phase_1(records, tmp_path_factory) -> Path:
    """The folder of a training of six steps."""
    folder = tmp_path_factory.mktemp("phase_1") / "train"
    train_on_records(tiny_training(records, folder, 6, save_every=2, keep=2), tiny_config(records), tiny_cnn)
    return folder


@pytest.fixture
def folder(phase_1, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(phase_1, tmp_path / "train"))


def never() -> keras.Model:
    raise AssertionError("With a checkpoint nobody needs the weights that the CNN started from.")


def variables(state: TrainState) -> list[np.ndarray]:
    return [np.array(v) for v in (*state.model.trainable_variables, *state.optimizer.variables)]


def test_what_a_training_leaves(phase_1, records):
    names = {path.name for path in phase_1.iterdir() if "tfevents" not in path.name}
    parts = {f"ckpt-{step}.{end}" for step in (4, 6) for end in ("index", "data-00000-of-00001")}
    assert names == parts | {"checkpoint", "config.json", "cnn.json", "word_counts.txt"}
    assert (phase_1 / "word_counts.txt").read_bytes() == (records / "word_counts.txt").read_bytes()
    curves = read_scalars(phase_1)
    assert set(curves) == {"loss", "learning_rate", "images_per_second"}
    assert [step for step, _ in curves["loss"]] == [1, 2, 3, 4, 5, 6]
    assert all(value > 0 for _, value in curves["images_per_second"])
    assert all(value == pytest.approx(1e-2, rel=1e-3) for _, value in curves["learning_rate"])


def test_phase_1_leaves_the_cnn_and_phase_2_trains_it_with_a_new_optimizer(folder, records):
    keras.utils.set_random_seed(0)
    begun, first = tiny_cnn(), load_scale_model(folder)
    np.testing.assert_equal(first.model.get_layer("picture_encoder").get_weights(), begun.get_weights())
    training = tiny_training(records, folder, 6, train_inception=True)
    state = train_on_records(training, tiny_config(records), never)
    assert (state.steps_done, int(state.optimizer.iterations)) == (6, 0)
    np.testing.assert_equal(state.model.get_weights(), first.model.get_weights())
    after = train_on_records(replace(training, steps=8), tiny_config(records), never)
    assert (after.steps_done, int(after.optimizer.iterations), int(after.phase.numpy())) == (8, 2, 2)
    again = train_on_records(replace(training, steps=8), tiny_config(records), never)
    np.testing.assert_equal(variables(again), variables(after), "the same phase goes on with its optimizer")
    for before, now in zip(begun.weights, after.model.get_layer("picture_encoder").cnn.weights, strict=True):
        trained = before.name in ("kernel", "gamma", "beta")
        assert np.array_equal(before, now) != trained, "all but the mean and variance that BatchNorm has learned"


def test_a_resumed_training_is_the_same_to_the_last_bit(records, tmp_path):
    config, options = tiny_config(records), {"train_inception": True, "seed": 3}
    whole = train_on_records(tiny_training(records, tmp_path / "whole", 7, **options), config, tiny_cnn)
    train_on_records(tiny_training(records, tmp_path / "parts", 3, **options), config, tiny_cnn)
    keras.utils.set_random_seed(99)
    parts = train_on_records(tiny_training(records, tmp_path / "parts", 7, **options), config, never)
    np.testing.assert_equal(variables(parts), variables(whole))
    assert read_scalars(tmp_path / "parts")["loss"] == read_scalars(tmp_path / "whole")["loss"]


def test_ctrl_c_leaves_a_checkpoint(folder, records, monkeypatch):
    stop = Mock(side_effect=[None, None, KeyboardInterrupt])  # after the steps 7 and 8
    monkeypatch.setattr(scale_training, "write_scalars", stop)
    with pytest.raises(KeyboardInterrupt):
        train_on_records(tiny_training(records, folder, 20), tiny_config(records), never)
    assert load_scale_model(folder).step == 9


def test_a_loss_that_is_no_number_ends_training_before_the_checkpoint(folder, records):
    training = tiny_training(records, folder, 40, learning_rate=LearningRate(1e38))
    with pytest.raises(CourseError, match="loss is (nan|inf).*learning rate"):
        train_on_records(training, tiny_config(records), never)
    assert load_scale_model(folder).step == 6


def test_a_vocabulary_that_does_not_fit_is_refused(folder, records, tmp_path):
    other = Path(shutil.copytree(records, tmp_path / "records"))
    lines = (other / "word_counts.txt").read_text().splitlines()
    lines[2], lines[3] = lines[3], lines[2]
    (other / "word_counts.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(CourseError, match=r"records.word_counts\.txt is not the vocabulary.*train"):
        train_on_records(tiny_training(other, folder, 9), tiny_config(other), never)


@pytest.mark.parametrize(("field", "value"), [
    ("lstm_units", 17), ("embedding_size", 8), ("side", 32), ("cnn", "other"), ("dropout", 0.1),
])  # fmt: skip
def test_another_size_is_refused_and_named(folder, records, field, value):
    config = replace(tiny_config(records), **{field: value})
    before = getattr(tiny_config(records), field)
    with pytest.raises(CourseError, match=f"{field} {before}, not {value}"):
        train_on_records(tiny_training(records, folder, 9), config, never)


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    (lambda folder: write_json({"format": 99}, folder / "config.json"), "does not know"),
    (lambda folder: (folder / "cnn.json").write_text("{"), "cnn.json is missing or damaged"),
    (lambda folder: (folder / "ckpt-6.index").write_bytes(b"no index"), "ckpt-6 is damaged"),
    (lambda folder: (folder / "ckpt-6.data-00000-of-00001").unlink(), "ckpt-6 is damaged"),
])  # fmt: skip
def test_damaged_folders_are_refused(folder, records, spoil, message):
    spoil(folder)
    for load in (partial(train_on_records, tiny_training(records, folder, 9), tiny_config(records), never),
                 partial(load_scale_model, folder)):  # fmt: skip
        with pytest.raises(CourseError, match=message):
            load()


@pytest.mark.parametrize(("error", "message"), [
    (tf.errors.ResourceExhaustedError, "not enough memory for a batch of 8"),
    (tf.errors.UnavailableError, "Another worker has stopped.*connection lost"),
])  # fmt: skip
def test_what_happens_to_devices_is_explained(folder, records, monkeypatch, error, message):
    fail = Mock(side_effect=error(None, None, "connection lost\nand much more"))
    monkeypatch.setattr(scale_training, "make_train_step", lambda *_: fail)
    with pytest.raises(CourseError, match=message):
        train_on_records(tiny_training(records, folder, 9), tiny_config(records), never)
    assert load_scale_model(folder).step == 6


def test_a_shard_that_is_damaged_in_its_middle_is_named(records, tmp_path):
    """Its lengths are as they should be: only the checksum of an example tells."""
    other = Path(shutil.copytree(records, tmp_path / "records"))
    shard = other / "train-00002-of-00003"
    content = bytearray(shard.read_bytes())
    content[12 + 200] ^= 0xFF  # in the first example, behind its length and the checksum of that
    shard.write_bytes(content)
    with pytest.raises(CourseError, match=rf"{shard.name} is damaged"):
        train_on_records(tiny_training(other, tmp_path / "train", 40), tiny_config(other), tiny_cnn)


def test_a_folder_is_copied_once_and_whole(folder, tmp_path):
    copy = tmp_path / "copies" / "train"
    copy_folder(folder, copy)
    assert load_scale_model(copy).step == 6
    (copy / "config.json").unlink()
    copy_folder(folder, copy)
    assert not (copy / "config.json").exists()
    assert [path.name for path in copy.parent.iterdir()] == ["train"]
    with pytest.raises(CourseError, match="no checkpoint"):
        copy_folder(tmp_path / "copies", tmp_path / "other")


def test_a_checkpoint_can_be_named(folder, tmp_path):
    (folder / "ckpt-6.index").rename(tmp_path / "lost")
    assert find_checkpoint(folder) == str(folder / "ckpt-4"), "one that was lost is passed over"
    (tmp_path / "lost").rename(folder / "ckpt-6.index")
    for name, step in (("ckpt-4", 4), ("ckpt-4.index", 4), ("", 6)):
        assert load_scale_model(folder / name).step == step
    for path, message in ((tmp_path, "no checkpoint in .* yet"), (tmp_path / "ckpt-7", "no checkpoint .*ckpt-7")):
        with pytest.raises(CourseError, match=message):
            load_scale_model(path)


def test_half_precision_learns_the_same(records, tmp_path):
    precision, options = "mixed_bfloat16", {"train_inception": True, "clip_norm": 0.5}
    for name in ("float32", precision):
        training = tiny_training(records, tmp_path / name, 4, precision=name, **options)
        train_on_records(training, tiny_config(records, dropout=0.0), tiny_cnn)
    exact, half = (np.array(read_scalars(tmp_path / name)["loss"]) for name in ("float32", precision))
    assert exact[-1, 1] < exact[0, 1] - 0.05
    np.testing.assert_allclose(half, exact, atol=0.02)


@pytest.mark.parametrize(("capabilities", "expected"), [
    ([], "float32"), ([(6, 1)], "float32"), ([(7, 5)], "mixed_float16"), ([(8, 0)], "mixed_bfloat16"),
    ([(9, 0), (7, 0)], "mixed_float16"), ([None], "float32"),
])  # fmt: skip
def test_precision_follows_the_hardware(monkeypatch, capabilities, expected):
    config = scale_training.tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: list(capabilities) if kind == "GPU" else [])
    details = lambda gpu: {"compute_capability": gpu} if gpu else {}  # noqa: E731
    monkeypatch.setattr(config.experimental, "get_device_details", details)
    assert choose_precision() == expected


def test_a_batch_has_to_be_divisible(records, tmp_path):
    two_devices = SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(CourseError, match="batch of 7.*2 devices"):
        scale_training.distribute_batches(tiny_training(records, tmp_path, 1, batch_size=7), 24, 0, two_devices)


@pytest.mark.parametrize("text", ["{", "[]", '{"cluster": {"worker": 3}}', '{"cluster": [1]}'])
def test_a_tf_config_that_cannot_be_read_is_explained(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(CourseError, match='TF_CONFIG is .*"cluster"'):
        choose_strategy()
