"""Reads sharded TFRecords of captioned images with tf.data, in an order that depends neither on interruptions
nor on the number of workers.
"""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import tensorflow as tf

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_errors_explained, read_note
from say_what_you_see.training.scale.records import SUMMARY_FILE, noted_shards

PARALLEL_SHARDS = 8
"""The number of shards that training reads from in turn; the order of the examples depends on it."""

SHUFFLE_BUFFER = 2048
"""The number of examples in memory from which training draws the next: as JPEG 330 MB of COCO, 34 MB of the scenes."""

SMALLEST_CROP = 0.9
BRIGHTNESS, CONTRAST = 0.05, 0.1
"""Training changes brightness by at most this share of the full range, and contrast by at most this share of itself."""

_FRAME_HEADER, _FRAME_FOOTER = 12, 4  # bytes: length and its checksum; checksum of the data
_DRAFT_RATIOS = (1, 2, 4, 8)
_READ_BYTES = 1024**2
_WRITE_AGAIN = "Delete that file and run `say-what-you-see records` again: it writes only what is missing."


def find_shards(folder: Path, split: str) -> list[Path]:
    """The shards of a split, `train-00000-of-00256` and so on, in order."""
    paths = sorted(Path(folder).glob(f"{split}-?????-of-[0-9][0-9][0-9][0-9][0-9]"))
    if not paths:
        raise CourseError(
            f"There are no {split} shards in {folder}. `say-what-you-see records` writes them"
            + ("; for the drawn scenes it makes no test shards." if split == "test" else ".")
        )
    total = paths[0].name[-5:]
    if any(path.name[-5:] != total for path in paths):
        raise CourseError(
            f"{folder} has {split} shards of several sets, {paths[0].name} and {paths[-1].name}. Keep one set only."
        )
    expected = {f"{split}-{number:05d}-of-{total}" for number in range(int(total))}
    if missing := sorted(expected - {path.name for path in paths}):
        named = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        raise CourseError(
            f"{len(missing)} of the {len(expected)} {split} shards in {folder} are missing: {named}. Add them, "
            "or run `say-what-you-see records` again: it writes only what is missing."
        )
    return paths


def count_examples(path: Path) -> int:
    """Check that a shard is complete, by the lengths in it; returns the number of its examples.

    The size of the file is compared with its size when it was written, where that is known.
    """
    noted = noted_shards(read_note(path.with_name(SUMMARY_FILE))).get(path.name)  # None for records from elsewhere
    count = position = 0
    with read_errors_explained(path), open(path, "rb", buffering=0) as file:
        size = path.stat().st_size
        while position < size and len(header := file.read(_FRAME_HEADER)) == _FRAME_HEADER:
            position += _FRAME_HEADER + struct.unpack("<Q", header[:8])[0] + _FRAME_FOOTER
            count += position <= size
            file.seek(min(position, size))
    if position != size or (size != noted["bytes"] if noted else size == 0):
        whole = f" of {noted['bytes']:,}" if noted else ""
        raise CourseError(
            f"The shard {path} is cut off or damaged: it has {size:,}{whole} bytes, and {count} complete "
            f"examples. {_WRITE_AGAIN}"
        )
    return count


def find_damaged_shard(paths: Iterable[Path]) -> Path | None:
    """The first damaged shard, None if all are intact: a `tf.errors.DataLossError` does not say which one it was."""
    for path in paths:
        try:
            for _ in _records([str(path)]):
                pass
        except tf.errors.OpError:
            return path
    return None


def parse_example(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The image, JPEG bytes (), and the ids of the caption's words, int64 (words,), from a record."""
    context, lists = tf.io.parse_single_sequence_example(
        serialized,
        context_features={"image/data": tf.io.FixedLenFeature([], tf.string)},
        sequence_features={"image/caption_ids": tf.io.FixedLenSequenceFeature([], tf.int64)},
    )
    return context["image/data"], lists["image/caption_ids"]


def decode_image(jpeg: tf.Tensor, side: int, augment_seed: tf.Tensor | None = None) -> tf.Tensor:
    """Decode an image as InceptionV3 expects it: centre square, resized, float32 (side, side, 3) from -1 to 1.

    Up to rounding (one of 255 levels) the result is that of `crop_and_resize` in `say_what_you_see.vision.pictures`
    and Keras' preprocessing.

    With a seed, a square of 90 to 100 % of the centre square is taken, anywhere in it, and brightness and contrast
    change a little. im2txt also flips images and shifts their hue. Here that would make captions wrong: what was to
    the left of a thing would be to its right, and a red ball would be orange.

    Args:
        jpeg: the bytes of a JPEG, ().
        side: height and width of the result.
        augment_seed: two whole numbers, (2,), that decide the changes; None changes nothing.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, if the bytes are not a complete JPEG.
    """
    picture = _decode_jpeg(jpeg, side)
    height, width = tf.shape(picture)[0], tf.shape(picture)[1]
    shorter = tf.minimum(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    square = picture[top : top + shorter, left : left + shorter]
    if augment_seed is None:
        return tf.ensure_shape(_resize(square, side) / 127.5 - 1, (side, side, 3))
    crop_seed, brightness_seed, contrast_seed = tf.unstack(tf.random.split(augment_seed, 3))
    picture = _resize(_random_square(square, crop_seed), side) / 255
    picture = tf.image.stateless_random_brightness(picture, BRIGHTNESS, brightness_seed)
    picture = tf.image.stateless_random_contrast(picture, 1 - CONTRAST, 1 + CONTRAST, contrast_seed)
    return tf.ensure_shape(tf.clip_by_value(picture, 0, 1) * 2 - 1, (side, side, 3))


def _decode_jpeg(jpeg: tf.Tensor, side: int) -> tf.Tensor:
    """Decode to uint8 (height, width, 3); large images at 1/2, 1/4 or 1/8 of their size, as `crop_and_resize` does."""

    def decoded_at(ratio: int) -> tf.Tensor:
        return tf.io.decode_jpeg(jpeg, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

    shorter = tf.reduce_min(tf.io.extract_jpeg_shape(jpeg)[:2])
    too_large = shorter // (2 * side)
    index = sum(tf.cast(too_large >= ratio, tf.int32) for ratio in _DRAFT_RATIOS[1:])
    return tf.switch_case(index, [lambda ratio=ratio: decoded_at(ratio) for ratio in _DRAFT_RATIOS])


def _random_square(square: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A square of at least `SMALLEST_CROP` times the side, somewhere in the given one."""
    whole = tf.cast(tf.shape(square)[0], tf.float32)
    scale, down, right = tf.unstack(tf.random.stateless_uniform([3], seed))
    side = tf.round(whole * (SMALLEST_CROP + (1 - SMALLEST_CROP) * scale))
    top, left = (tf.cast(tf.round((whole - side) * fraction), tf.int32) for fraction in (down, right))
    size = tf.cast(side, tf.int32)
    return square[top : top + size, left : left + size]


def _resize(picture: tf.Tensor, side: int) -> tf.Tensor:
    """Resize as Pillow does, whose bilinear filter widens where an image gets smaller; float32 from 0 to 255."""
    return tf.round(tf.image.resize(picture, (side, side), "bilinear", antialias=True))


def batches(
    folder: Path,
    split: str,
    batch_size: int,
    side: int,
    *,
    seed: int = 0,
    training: bool = False,
    start_step: int = 0,
    shard: tuple[int, int] = (0, 1),
    max_len: int = 20,
) -> tf.data.Dataset:
    """Batches of images with captions from the shards of a split.

    In training they are endless, in a different random order every epoch, with augmented images, and a batch depends
    only on the shards, `seed` and its number. Otherwise: one pass in order; the last batch may be smaller.

    An image that cannot be decoded is black, and the mask of its row is 0 throughout, so that it adds nothing to a
    masked loss and the other rows stay where they are.

    Args:
        split: "train", "val" or "test".
        batch_size: examples in a batch of one worker.
        side: height and width of the images.
        seed: decides order and augmentation in training.
        start_step: how many batches to skip. Their images are not decoded, and whole epochs are not read.
        shard: index of this worker and number of workers. It gets the rows index, index + number, ... of the
            batches that a single worker would get with number times the batch size.
        max_len: captions are cut to this many ids, <S> and </S> included.

    Returns:
        A dataset of images float32 (batch, side, side, 3) from -1 to 1, input ids int32 (batch, words), target ids
        int32 (batch, words), each the next word, and mask float32 (batch, words), 0 where padded.
    """
    worker, workers = shard
    start = start_step * batch_size * workers
    records = stream_records(folder, split, start, seed if training else None)
    # The position in the endless stream of all workers decides which worker gets an example, and how it is augmented.
    rows = records.enumerate(start).shard(workers, worker)
    rows = rows.map(
        lambda position, record: _to_row(record, side, (seed, position) if training else None, max_len),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    result = rows.padded_batch(batch_size, drop_remainder=training).prefetch(tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF  # `shard` does it
    return result.with_options(options)


def stream_records(folder: Path, split: str, start: int = 0, shuffle_seed: int | None = None) -> tf.data.Dataset:
    """The records of a split as strings: once and in order, or endlessly and shuffled anew in every epoch.

    Args:
        start: how many of them to skip.
        shuffle_seed: decides the order; None does not shuffle.
    """
    paths = find_shards(folder, split)
    names, total = list(map(str, paths)), sum(map(count_examples, paths))
    if not total:
        raise CourseError(f"There are no examples in {folder}. Run `say-what-you-see records` again.")
    try:  # records of another format are refused at once, rather than in the middle of a training
        for record in _records(names).take(1):
            parse_example(record)
    except tf.errors.OpError as error:
        raise CourseError(
            f"{paths[0]} is damaged, or its records are not pictures with captions as im2txt writes them "
            f"(image/data, image/caption_ids). {_WRITE_AGAIN}"
        ) from error
    return _records(names).skip(start) if shuffle_seed is None else _shuffled_records(names, total, shuffle_seed, start)


def _records(names: Sequence[str] | tf.Tensor) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(names, buffer_size=_READ_BYTES)


def _shuffled_records(names: Sequence[str], total: int, seed: int, start: int) -> tf.data.Dataset:
    """The endless stream of records, from position `start` on: epoch after epoch, each in its own random order."""
    first_epoch, offset = divmod(start, total)

    def read_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        # Shuffling also depends on TensorFlow's global seed, which should not matter here: it is fixed, in the graph of
        # this function only.
        tf.compat.v1.set_random_seed(1)
        order = tf.random.experimental.stateless_shuffle(tf.constant(names), seed=[seed, epoch])
        shuffle_seed = tf.random.stateless_uniform([], [seed, epoch], maxval=2**31 - 1, dtype=tf.int64)
        records = tf.data.Dataset.from_tensor_slices(order).interleave(
            _records, cycle_length=PARALLEL_SHARDS, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        records = records.shuffle(SHUFFLE_BUFFER, seed=shuffle_seed, reshuffle_each_iteration=False)
        return records.skip(tf.where(epoch == first_epoch, tf.constant(offset, tf.int64), tf.constant(0, tf.int64)))

    return tf.data.Dataset.range(first_epoch, 2**62).flat_map(read_epoch)


def _to_row(record: tf.Tensor, side: int, augment_seed: tuple | None, max_len: int) -> tuple[tf.Tensor, ...]:
    """Image, input ids, target ids and mask of one record."""
    jpeg, ids = parse_example(record)
    ids = tf.cast(ids[:max_len], tf.int32)
    image, readable = _decode_or_blank(jpeg, side, augment_seed)
    mask = tf.ones_like(ids[1:], tf.float32) * tf.cast(readable, tf.float32)
    return image, ids[:-1], ids[1:], mask


def _decode_or_blank(jpeg: tf.Tensor, side: int, augment_seed: tuple | None) -> tuple[tf.Tensor, tf.Tensor]:
    """The image and True, or a black one and False where it cannot be decoded: a dataset can skip what fails."""
    blank = tf.data.Dataset.from_tensors((-tf.ones((side, side, 3)), False))
    attempt = tf.data.Dataset.from_tensors(jpeg).map(lambda data: (decode_image(data, side, augment_seed), True))
    return attempt.ignore_errors().concatenate(blank).take(1).get_single_element()
