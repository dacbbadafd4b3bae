"""Training: honest batches, a loss that falls where pictures tell something, checkpoints that can be continued."""

import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
from caption_samples import VOCAB, opinionated_decoder, scores_by_hand, tiny_decoder, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.language.captions import PAD, CaptionArrays, pack_captions
from say_what_you_see.training.checkpoints import checkpoint_path, restore_checkpoint
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.examples import (
    Examples,
    RandomBatches,
    add_views,
    generate_batch,
    shuffle_images,
    take_images,
)
from say_what_you_see.training.loop import compile_decoder, evaluate_decoder, start_or_resume, train_decoder

pytestmark = pytest.mark.backends

PAD_IDX = VOCAB[PAD]
CONFIG = TrainingConfig(epochs=4, batch_size=16, learning_rate=1e-2, weight_decay=0.01, dropout=0.3)


@pytest.fixture(scope="module")
def train() -> Examples:
    return toy_examples(24, seed=1)


@pytest.fixture(scope="module")
def val() -> Examples:
    return toy_examples(20, seed=2)


def numbered_examples(count: int) -> Examples:
    """Each caption says which picture it belongs to: start, the picture's number, which caption, end."""
    captions = [[[0, 10 + picture, 5 + number, 1] for number in range(1 + picture % 3)] for picture in range(count)]
    return Examples(np.arange(count)[:, None] * np.ones(3), pack_captions(captions, 2))


@pytest.mark.parametrize("count", [1, 3])
def test_embeddings_and_captions_must_be_of_as_many_pictures(count):
    with pytest.raises(CourseError, match=rf"of {count} pictures.*of 2\b.*02 and 03"):
        Examples(np.zeros((count, 4)), pack_captions([[[1, 2]], [[3]]], 0))


def test_a_batch_pairs_pictures_with_their_captions():
    examples = take_images(numbered_examples(60), range(15, 45))
    (embeds, before), after = generate_batch(examples.image_embeds, examples.captions, 500, np.random.default_rng(0))
    assert embeds.shape == (500, 3) and embeds.dtype == np.float32
    assert before.shape == after.shape == (500, 3) and before.dtype == after.dtype == np.int32
    np.testing.assert_array_equal(before[:, 1:], after[:, :-1])
    np.testing.assert_array_equal(before[:, 1] - 10, embeds[:, 0])
    assert (before[:, 0] == 0).all() and (after[:, -1] == 1).all()
    assert set(embeds[:, 0].astype(int)) == set(range(15, 45))
    numbers = {picture: set(before[embeds[:, 0] == picture, 2] - 5) for picture in range(15, 45)}
    assert numbers == {picture: set(range(1 + picture % 3)) for picture in range(15, 45)}


def test_in_a_mirror_left_is_right():
    vocab = {word: index for index, word in enumerate(("left", "a", "right", "dog"))}
    features, captions = np.arange(6).reshape(3, 2), pack_captions([[[1, 3]], [[1, 0], [1, 2]], [[3]]], 1)
    views = {"mirrored": 10 + features, "cropped": 20 + features}
    three = add_views(Examples(features, captions), views, vocab)
    plain, mirrored = [[1, 3], [1, 0], [1, 2], [3, 1]], [[1, 3], [1, 2], [1, 0], [3, 1]]
    assert three.captions.matrix.tolist() == plain + mirrored + plain
    assert three.captions.matrix.dtype == captions.matrix.dtype
    assert three.captions.first.tolist() == [0, 1, 3, 4, 5, 7, 8, 9, 11, 12]
    rows = three.image_embeds
    assert rows.shape == (9, 2) and len(rows) == 9
    assert rows[np.array([5, 0, 8])].tolist() == [[14, 15], [0, 1], [24, 25]]
    assert rows[1:6:3].tolist() == [[2, 3], [12, 13]]


def test_batches_follow_from_the_seed_and_their_number():
    examples = numbered_examples(40)
    config = TrainingConfig(2, batch_size=8)
    batches = RandomBatches(examples, config)
    assert len(batches) == len(examples.captions.matrix) // 8
    first_epoch = [batches[step][1] for step in range(len(batches))]
    np.testing.assert_array_equal(batches[3][1], first_epoch[3])
    assert (first_epoch[0] != first_epoch[1]).any()
    batches.on_epoch_end()
    assert (batches[3][1] != first_epoch[3]).any()
    np.testing.assert_array_equal(RandomBatches(examples, config, first_epoch=1)[3][1], batches[3][1])
    assert (RandomBatches(examples, replace(config, seed=1))[3][1] != first_epoch[3]).any()


def test_several_captions_of_each_picture_of_a_batch():
    captions = [[[0, 10 + picture, 5 + number, 1] for number in range(5)] for picture in range(20)]
    examples = Examples(np.arange(20)[:, None] * np.ones(3), pack_captions(captions, 2))
    batches = RandomBatches(examples, TrainingConfig(1, batch_size=4, captions_per_image=3))
    assert len(batches) == 20 * 5 // 12
    (embeds, _), targets = batches[0]
    assert embeds.shape == (4, 3) and targets.shape == (12, 3)
    np.testing.assert_array_equal(targets[:, 0], np.repeat(embeds[:, 0], 3) + 10)
    assert all(len({*group}) == 3 for group in targets[:, 1].reshape(4, 3)), "all different"


@pytest.mark.parametrize("of_each", [1, 3])
def test_captions_of_similar_length_go_into_the_same_batch(of_each):
    rng = np.random.default_rng(0)
    captions = [[[0, 10 + picture, *[5] * rng.integers(20), 1] for _ in range(4)] for picture in range(128)]
    examples = Examples(np.arange(128)[:, None] * np.ones(3), pack_captions(captions, 2))
    config = TrainingConfig(2, batch_size=8, similar_lengths=True, captions_per_image=of_each)
    batches = RandomBatches(examples, config, pad_idx=2)
    assert len(batches) == 128 * 4 // (8 * of_each)
    drawn = [batches[step] for step in range(len(batches))]
    for step, ((embeds, before), after, _) in enumerate(drawn):
        np.testing.assert_array_equal(before[:, 1:], after[:, :-1])
        np.testing.assert_array_equal(after[:, 0], np.repeat(embeds[:, 0], of_each) + 10)
        assert embeds.shape == (8, 3) and (after[:, -1] != 2).any() == bool(step), "as wide as the longest"
    images = {image for (embeds, _), _, _ in drawn for image in embeds[:, 0]}
    widths = [after.shape[1] for _, after, _ in drawn]
    real = [after != 2 for _, after, _ in drawn]
    words = np.array([each.sum() for each in real[:16]])
    np.testing.assert_allclose([weight for _, _, [weight] in drawn[:16]], words / words.mean(), rtol=1e-5)
    assert np.mean([each.mean() for each in real]) > {1: 0.92, 3: 0.65}[of_each], "little padding"
    assert len({*widths}) > 6 and len(images) > 90
    assert widths[:16] != sorted(widths[:16]) and max(widths[:16]) > 18
    again = RandomBatches(examples, config, first_epoch=1, pad_idx=2)
    batches.on_epoch_end()
    np.testing.assert_array_equal(batches[17][1], again[17][1])


@pytest.mark.parametrize("count", [2, 3, 100])
def test_the_control_gives_every_picture_the_captions_of_another(count):
    examples, seen = numbered_examples(count), set()
    own = np.split(examples.captions.matrix, examples.captions.first[1:-1])
    for seed in range(10):
        shuffled = shuffle_images(examples, seed)
        assert shuffled.image_embeds is examples.image_embeds
        groups = np.split(shuffled.captions.matrix, shuffled.captions.first[1:-1])
        owners = [int(group[0, 1]) - 10 for group in groups]
        assert all(np.array_equal(group, own[owner]) for group, owner in zip(groups, owners, strict=True))
        assert sorted(owners) == list(range(count))
        assert all(owner != picture for picture, owner in enumerate(owners))
        seen.add(tuple(owners))
    assert len(seen) == {2: 1, 3: 2}.get(count, 10)


@pytest.mark.parametrize("max_len", [20, 5])
def test_evaluation_counts_every_real_word_once(max_len):
    """Over more captions than go into one batch, of different lengths."""
    examples, decoder = toy_examples(131, seed=3), opinionated_decoder()
    compile_decoder(decoder, CONFIG, PAD_IDX, 1)
    found = evaluate_decoder(decoder, examples, PAD_IDX, max_len)
    assert found == pytest.approx(scores_by_hand(decoder, examples, max_len), rel=1e-4)


@pytest.fixture(scope="module")
def uninterrupted(train, val) -> tuple[keras.Model, list[dict]]:
    decoder = tiny_decoder(dropout=CONFIG.dropout)
    return decoder, train_decoder(decoder, train, val, CONFIG, PAD_IDX)


@pytest.fixture(scope="module")
def interrupted_folder(train, val, tmp_path_factory):
    """Checkpoints of a training that was interrupted after its second epoch."""
    folder, interrupt = tmp_path_factory.mktemp("run") / "checkpoints", Mock(side_effect=[None, KeyboardInterrupt])
    with pytest.raises(KeyboardInterrupt):
        train_decoder(tiny_decoder(dropout=CONFIG.dropout), train, val, CONFIG, PAD_IDX, folder, interrupt)
    return folder


@pytest.fixture
def checkpoints(interrupted_folder, tmp_path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(interrupted_folder, tmp_path / "checkpoints"))


@pytest.mark.parametrize("damaged", [False, True])
def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(damaged, train, val, uninterrupted, checkpoints):
    whole, expected = uninterrupted
    decoder = tiny_decoder(seed=77, dropout=CONFIG.dropout)
    if damaged:
        cut_off(checkpoint_path(checkpoints, 2))
    history = train_decoder(decoder, train, val, CONFIG, PAD_IDX, checkpoints)
    assert [{**epoch, "seconds": 0} for epoch in history] == [{**epoch, "seconds": 0} for epoch in expected]
    np.testing.assert_equal(decoder.get_weights(), whole.get_weights())
    kept = {path.name for path in checkpoints.glob("epoch_*.weights.h5")}
    assert kept == {checkpoint_path(checkpoints, epoch).name for epoch in (CONFIG.epochs - 1, CONFIG.epochs)}
    assert read_json(checkpoints / "history.json") == history, "of the history everything is kept"

    again = tiny_decoder(seed=78, dropout=CONFIG.dropout)
    before = {path: path.stat().st_mtime_ns for path in checkpoints.iterdir()}
    assert train_decoder(again, train, val, CONFIG, PAD_IDX, checkpoints) == history
    np.testing.assert_equal(again.get_weights(), whole.get_weights())
    assert {path: path.stat().st_mtime_ns for path in checkpoints.iterdir()} == before, "a finished one is reused"


def resumed(folder, train: Examples, config: TrainingConfig = CONFIG, vocab_size: int = len(VOCAB)) -> list[int]:
    """The epochs that a training with this folder does not need to do again."""
    decoder = tiny_decoder(dropout=config.dropout, vocab_size=vocab_size)
    compile_decoder(decoder, config, PAD_IDX, 3)
    return [record["epoch"] for record in start_or_resume(decoder, train, config, folder)]


def cut_off(path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_another_weight(path) -> None:
    """Sound HDF5, which lacks a weight of the last layer: those before it would be loaded."""
    with h5py.File(path, "r+") as file:
        del file["layers/dense_3/vars/0"]


@pytest.mark.parametrize("damage", [cut_off, with_another_weight, lambda path: path.write_bytes(b""), Path.unlink])
def test_a_damaged_or_lost_checkpoint_costs_an_epoch(damage, train, checkpoints, capsys):
    assert resumed(checkpoints, train) == [1, 2]
    damage(checkpoint_path(checkpoints, 2))
    assert resumed(checkpoints, train) == [1]
    said = capsys.readouterr().out
    if damage is not Path.unlink:
        assert "epoch_002.weights.h5 is damaged" in said and "the previous checkpoint" in said


def test_where_all_checkpoints_are_damaged_training_starts_with_the_weights_that_it_had(checkpoints):
    for epoch in (1, 2):
        with_another_weight(checkpoint_path(checkpoints, epoch))
    decoder = tiny_decoder(dropout=CONFIG.dropout)
    compile_decoder(decoder, CONFIG, PAD_IDX, 3)
    before = [weight.copy() for weight in decoder.get_weights()]
    assert restore_checkpoint(decoder, checkpoints) == []
    np.testing.assert_equal(decoder.get_weights(), before)
    assert int(decoder.optimizer.iterations) == 0


EPOCH = {"epoch": 1, "loss": 2.5, "val_loss": 2.0, "val_accuracy": 0.5, "seconds": 1.0}


@pytest.mark.parametrize(("name", "data"), [
    *(("history", data) for data in ({}, None, [[]], [{}], [EPOCH | {"epoch": 2}], [EPOCH | {"loss": "2.5"}])),
    ("training", []), ("training", "x"),
])  # fmt: skip
def test_damaged_notes_are_named_and_nothing_is_lost(name, data, train, checkpoints):
    write_json(data, checkpoints / f"{name}.json")
    before = {path: path.read_bytes() for path in checkpoints.iterdir()}
    with pytest.raises(CourseError, match=rf"{name}\.json is damaged.*delete .*checkpoints to train from the start"):
        resumed(checkpoints, train)
    assert {path: path.read_bytes() for path in checkpoints.iterdir()} == before


def other_captions(train: Examples) -> Examples:
    return replace(train, captions=CaptionArrays(train.captions.matrix[::-1], train.captions.first))


@pytest.mark.parametrize(("change", "options"), [
    (replace, {"config": replace(CONFIG, seed=1)}), (replace, {"config": replace(CONFIG, epochs=5)}),
    (replace, {"vocab_size": len(VOCAB) + 3}), (shuffle_images, {}), (other_captions, {}),
], ids=["seed", "epochs", "vocabulary", "images", "captions"])  # fmt: skip
def test_checkpoints_of_another_training_are_not_continued(change, options, train, checkpoints):
    assert resumed(checkpoints, change(train), **options) == []
    assert {path.name for path in checkpoints.iterdir()} == {"training.json"}
    assert resumed(checkpoints, train) == [], "the old ones are gone"
