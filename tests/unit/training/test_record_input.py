"""The stream of batches: pictures as the rest of the course sees them, and the same batches whoever asks."""

import itertools
import shutil
from pathlib import Path

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from record_samples import picture

from say_what_you_see.core.backend import keras, suppress_stderr
from say_what_you_see.core.errors import CourseError
from say_what_you_see.training.scale import record_input
from say_what_you_see.training.scale.record_input import (
    batches,
    count_examples,
    decode_image,
    find_shards,
    parse_example,
    stream_records,
)
from say_what_you_see.training.scale.records import sequence_example
from say_what_you_see.vision.pictures import crop_and_resize

with suppress_stderr():
    import tensorflow as tf

SIDE = 24
SCENES = 240  # training examples: 48 scenes, 5 captions each


@pytest.fixture
def copy(records, tmp_path) -> Path:
    """Records that a test may damage."""
    return Path(shutil.copytree(records, tmp_path / "copy"))


def arrays(dataset: tf.data.Dataset, count: int | None = None) -> list[tuple[np.ndarray, ...]]:
    return [tuple(part.numpy() for part in batch) for batch in itertools.islice(dataset, count)]


def training(folder: Path, batch_size: int = 16, **options) -> tf.data.Dataset:
    return batches(folder, "train", batch_size, SIDE, training=True, **{"seed": 3, **options})


def test_missing_shards_are_named(copy):
    (copy / "train-00000-of-00003").unlink()
    (copy / "train-00002-of-00003").unlink()
    with pytest.raises(CourseError, match="2 of the 3 .*train-00000-of-00003, train-00002-of-00003"):
        find_shards(copy, "train")
    with pytest.raises(CourseError, match="no test shards"):
        find_shards(copy, "test")
    with pytest.raises(CourseError, match="no train shards"):
        batches(copy / "nowhere", "train", 4, SIDE)


@pytest.mark.parametrize("noted", [True, False])
def test_a_truncated_shard_is_named(copy, noted):
    path = copy / "train-00001-of-00003"
    data = path.read_bytes()
    assert count_examples(path) == SCENES // 3
    if not noted:
        (copy / "records.json").unlink()
    for length in (-1, 16 + int.from_bytes(data[:8], "little") + 5, 0):  # the second one is in a header
        path.write_bytes(data[:length])
        with pytest.raises(CourseError, match="train-00001-of-00003 is cut off.*Delete that file"):
            count_examples(path)
        with pytest.raises(CourseError, match="train-00001-of-00003"):
            training(copy)


@pytest.mark.parametrize("size", [(300, 400), (48, 24), (25, 24), (20, 16), (97, 300), (131, 99)])
def test_pictures_are_what_the_other_lessons_make_of_them(size):
    """Sizes at which Pillow decodes at 1/4 and 1/2 are among them, and ones that must grow."""
    jpeg = picture(1, size)
    ours = decode_image(tf.constant(jpeg), SIDE).numpy()
    pixels = crop_and_resize(jpeg, (SIDE, SIDE))
    theirs = keras.applications.inception_v3.preprocess_input(pixels.astype("float32"))
    assert ours.shape == (SIDE, SIDE, 3) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1.01 / 127.5)
    assert np.abs(ours - theirs).mean() < 0.4 / 127.5


def test_augmentation_depends_on_its_seed_alone_and_is_mild():
    jpeg = tf.constant(picture(3, (60, 60)))
    plain = decode_image(jpeg, SIDE).numpy()
    changed = [decode_image(jpeg, SIDE, tf.constant([7, number])).numpy() for number in range(20)]
    np.testing.assert_array_equal(changed[4], decode_image(jpeg, SIDE, tf.constant([7, 4])).numpy())
    assert len({one.tobytes() for one in changed}) == 20
    for one in changed:
        assert one.min() >= -1 and one.max() <= 1
        assert 1e-3 < np.abs(one - plain).mean() < 0.25


def test_evaluation_is_one_pass_in_order(records):
    stored = list(tf.data.TFRecordDataset([str(path) for path in find_shards(records, "val")]))
    given = arrays(batches(records, "val", 32, SIDE, max_len=99))
    assert [len(batch[0]) for batch in given] == [32, 32, 32, 24]
    rows = [row for batch in given for row in zip(*batch, strict=True)]
    for record, (image, inputs, targets, mask) in zip(stored, rows, strict=True):
        jpeg, ids = parse_example(record)
        words = len(ids) - 1
        np.testing.assert_allclose(image, decode_image(jpeg, SIDE), atol=1e-6)
        assert inputs[:words].tolist() == ids[:-1].numpy().tolist()
        assert targets[:words].tolist() == ids[1:].numpy().tolist()
        assert mask.tolist() == [1.0] * words + [0.0] * (len(mask) - words)
        assert not inputs[words:].any() and not targets[words:].any()
    assert {part.dtype for part in given[0]} == {np.dtype("float32"), np.dtype("int32")}


def test_every_epoch_has_every_example_once_in_another_order(records, monkeypatch):
    monkeypatch.setattr(record_input, "SHUFFLE_BUFFER", 50)  # smaller than the data, as it is with real ones
    stored = [record.numpy() for record in stream_records(records, "train")]
    stream = [record.numpy() for record in stream_records(records, "train", shuffle_seed=3).take(3 * SCENES)]
    epochs = [stream[start : start + SCENES] for start in range(0, 3 * SCENES, SCENES)]
    assert all(sorted(epoch) == sorted(stored) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    resumed = stream_records(records, "train", start=SCENES + 7, shuffle_seed=3)
    assert [record.numpy() for record in resumed.take(20)] == stream[SCENES + 7 : SCENES + 27]


def test_a_resumed_stream_goes_on_with_the_very_same_batches(records):
    """With 240 examples and batches of 16, step 15 is the first of the second epoch."""
    whole = arrays(training(records), 34)
    keras.utils.set_random_seed(12345)  # what else happens in a program has no influence
    for start_step in (1, 14, 15, 32):
        resumed = arrays(training(records, start_step=start_step), 2)
        np.testing.assert_equal(resumed, whole[start_step : start_step + 2])


@pytest.mark.parametrize("workers", [2, 4])
def test_the_workers_batches_are_the_rows_of_one_whole(records, workers):
    whole = arrays(training(records, batch_size=16, start_step=13), 2)
    parts = [
        arrays(training(records, batch_size=16 // workers, shard=(index, workers), start_step=13), 2)
        for index in range(workers)
    ]
    for step, index in itertools.product(range(2), range(workers)):
        for expected, given in zip(whole[step], parts[index][step], strict=True):
            expected = expected[index::workers]
            if expected.ndim == 2:  # padded to the longest of its own batch
                assert not expected[:, given.shape[1] :].any()
                expected = expected[:, : given.shape[1]]
            np.testing.assert_array_equal(expected, given)


def test_skipping_reads_no_whole_epoch(records):
    """Steps may be counted in millions: had they to be read, this would take hours."""
    [batch] = arrays(training(records, start_step=5_000_000), 1)
    assert len(batch[0]) == 16


def test_a_corrupt_picture_is_masked_and_counted_and_the_rest_stays(tmp_path):
    good = [picture(number) for number in range(6)]
    stored = [good[0], good[1][: len(good[1]) // 2], *good[2:4], b"no picture", good[5]]
    with tf.io.TFRecordWriter(str(tmp_path / "val-00000-of-00001")) as writer:
        for number, jpeg in enumerate(stored):
            writer.write(sequence_example(jpeg, number, ["w"] * 4, [0, 5, 6, 1]))
    [(pictures, inputs, _, mask)] = arrays(batches(tmp_path, "val", 6, SIDE))
    assert mask.sum(axis=1).tolist() == [3, 0, 3, 3, 0, 3]
    assert (pictures[[1, 4]] == -1).all() and (inputs == [0, 5, 6]).all()
    for index in (0, 2, 3, 5):
        np.testing.assert_allclose(pictures[index], decode_image(tf.constant(good[index]), SIDE), atol=1e-6)
