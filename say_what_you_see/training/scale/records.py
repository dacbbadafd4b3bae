"""Writes a data set as sharded TFRecords of images with captions, in the layout that im2txt reads.

That is one `tf.train.SequenceExample` for each caption, with the image as JPEG (Vinyals, Toshev, Bengio, Erhan, 2016,
https://arxiv.org/abs/1609.06647). `record_input` reads them.
"""

import io
import zipfile
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import (
    atomic_path,
    check_is_no_folder,
    check_space,
    make_folder,
    read_note,
    sha256_of,
    write_json,
)
from say_what_you_see.core.prefetch import prefetch
from say_what_you_see.core.progress import progress
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.archives import open_zip, read_member
from say_what_you_see.data.coco_format import DatasetFiles, images_by_name, read_captions, read_image_ids, stamp
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.training.scale.record_vocabulary import UNKNOWN, WORD_COUNTS_FILE, words_of, write_word_counts
from say_what_you_see.vision.pictures import decode_image_from_buf

RECORD_SPLITS = ("train", "val", "test")

MAX_SHARDS = {"train": 256, "val": 4, "test": 8}
"""im2txt's numbers of shards, for a data set of COCO's size."""

SHARD_BYTES = 16 * 1024**2
"""Smaller data sets get fewer shards, of about this size."""

TEST_FRACTION = 0.1
"""The share of the validation images that is put aside for test, as im2txt does with COCO's."""

MIN_COUNT = 4
"""How often a word must occur in the training captions to be in the vocabulary, as in im2txt."""

SUMMARY_FILE = "records.json"
"""What the shards were made from, and for each finished one its size in bytes and number of examples."""

_SCHEMA = 1
_JPEG_QUALITY = 95
_EXAMPLE_OVERHEAD = 1024  # bytes for words, ids and framing: more than they need
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Records:
    """A data set that was written as records."""

    folder: Path  # where the shards and `word_counts.txt` are
    examples: dict[str, int]  # by split, the number of examples: images times their captions
    pictures: dict[str, int]  # by split, the number of images
    skipped: dict[str, str]  # images that could not be read (zip and name), each with the reason
    shards: dict[str, int]  # by split, the number of shards; 0 where a split was not made

    def show(self) -> str:
        """A table of the splits and a list of what was skipped, for printing."""
        lines = [f"{'split':<8}{'shards':>8}{'pictures':>10}{'examples':>10}"]
        for split in RECORD_SPLITS:
            lines.append(f"{split:<8}{self.shards[split]:>8}{self.pictures[split]:>10,}{self.examples[split]:>10,}")
        if not self.shards["test"]:
            lines.append("No test shards were written: all validation pictures are in val.")
        if self.skipped:
            lines.append(f"Skipped {len(self.skipped)} pictures that cannot be read:")
            lines.extend(f"  {name}: {reason}" for name, reason in self.skipped.items())
        return "\n".join(lines)


def write_records(
    settings: Settings, folder: Path | None = None, shards: dict[str, int] | None = None, workers: int | None = None
) -> Records:
    """Write the data set of the settings as shards `train-00000-of-00256` and so on, with `word_counts.txt`.

    The training split of the data set becomes train. A tenth of its validation images, chosen by the seed, becomes
    test, and the rest val. With the drawn scenes, and whenever the number of test shards is 0, all become val, so that
    results compare with those of the other lessons. The data set, the seed and the numbers of shards determine every
    byte of a shard. An interrupted run continues with the missing shards, and a finished one is not repeated.

    Args:
        folder: where to write; None is `records` in the folder of the data set.
        shards: number of shards by split; by default it follows from the size, and is at most 256, 4 and 8.
        workers: how many shards are written at the same time; None is one for each CPU core, at most 8.

    Raises:
        CourseError: if the data set is not available, none of its images can be read, the disk is too full, or the
            folder contains shards from elsewhere.
    """
    folder = Path(folder or settings.dataset_folder / "records")
    files = get_dataset(settings)
    splits = _plan_splits(files, settings, dict(shards or {}))
    min_count = 1 if settings.small else MIN_COUNT
    counts = {split.name: split.shard_count for split in splits}
    made_from = {"schema": _SCHEMA, "zips": stamp(files.zips), "members": [files.train_json, files.val_json]}
    made_from |= {"seed": settings.seed, "shards": counts, "min_count": min_count}
    with suppress(OSError):  # where earlier versions kept the note until all shards were there
        (folder / "records.partial.json").replace(folder / SUMMARY_FILE)
    note, word_counts = read_note(folder / SUMMARY_FILE), folder / WORD_COUNTS_FILE
    noted = noted_shards(note) if note.get("made_from") == made_from else {}
    sizes = {path.name: path.stat().st_size for path in folder.glob("*-of-*")}
    done = {name: shard for name, shard in noted.items() if sizes.get(name) == shard["bytes"]}
    words_kept = word_counts.exists() and sha256_of(word_counts) == note.get("word_counts_sha256")
    if not (words_kept and len(done) == sum(counts.values())):
        _prepare_folder(folder, done)
        captions = (example.caption for picture in splits[0].pictures for example in picture)
        vocab = write_word_counts(captions, min_count, word_counts)
        note = {"made_from": made_from, "word_counts_sha256": sha256_of(word_counts), "done": done}
        _write_missing_shards(folder, splits, vocab, note, workers)
    return _describe(folder, splits, done)


# What goes where


class _Example(NamedTuple):
    """An image of a zip with one of its captions."""

    zip_path: Path
    member: zipfile.ZipInfo
    image_id: int
    caption: str

    @property
    def name(self) -> str:
        """Zip and name of the image, for people."""
        return f"{self.zip_path.name}/{self.member.filename}"


@dataclass(frozen=True)
class _Split:
    """The images of a split, and into how many shards their examples go."""

    name: str
    zip_path: Path
    pictures: list[list[_Example]]  # each with all its captions
    shard_count: int

    def shards(self, seed: int) -> dict[str, list[_Example]]:
        """By the name of each shard its examples, in random order."""
        examples = [example for picture in self.pictures for example in picture]
        order = np.random.default_rng([seed, RECORD_SPLITS.index(self.name)]).permutation(len(examples))
        parts = np.array_split(order, self.shard_count) if self.shard_count else []
        names = (f"{self.name}-{number:05d}-of-{self.shard_count:05d}" for number in range(self.shard_count))
        return {name: [examples[index] for index in part] for name, part in zip(names, parts, strict=True)}


def _plan_splits(files: DatasetFiles, settings: Settings, shards: dict[str, int]) -> list[_Split]:
    """Which images are in which split, and how many shards it gets."""
    if settings.dataset == "scenes":
        shards.setdefault("test", 0)
    train = _captioned_pictures(files.train_zip, files.captions_zip, files.train_json)
    val = _captioned_pictures(files.val_zip, files.captions_zip, files.val_json)
    val, test = _put_aside(val, settings.seed) if shards.get("test") != 0 else (val, [])
    splits = []
    for name, pictures in zip(RECORD_SPLITS, (train, val, test), strict=True):
        zip_path = files.train_zip if name == "train" else files.val_zip
        by_size = min(MAX_SHARDS[name], -(-sum(map(_size, pictures)) // SHARD_BYTES))
        splits.append(_Split(name, zip_path, pictures, shards.get(name, by_size)))
    return splits


def _captioned_pictures(zip_path: Path, captions_zip: Path, json_member: str) -> list[list[_Example]]:
    """The images of a zip that have captions, in the order of their names."""
    captions, ids = read_captions(captions_zip, json_member), read_image_ids(captions_zip, json_member)
    members = images_by_name(zip_path)
    names = sorted(members.keys() & captions.keys())
    if not names:
        raise CourseError(f"None of the pictures in {zip_path} has a caption in {json_member} of {captions_zip.name}.")
    # A data set of the user's own may identify images by something other than whole numbers.
    numbered = all(isinstance(ids[name], int) and ids[name] in _INT64 for name in names)
    return [
        [_Example(zip_path, members[name], ids[name] if numbered else number, caption) for caption in captions[name]]
        for number, name in enumerate(names, 1)
    ]


def _put_aside(pictures: list, seed: int) -> tuple[list, list]:
    """Divide validation images into val and test; at least one is in each, or test is empty."""
    count = min(max(1, round(TEST_FRACTION * len(pictures))), len(pictures) - 1)
    test, val = np.split(np.random.default_rng(seed).permutation(len(pictures)), [count])
    return [pictures[index] for index in sorted(val)], [pictures[index] for index in sorted(test)]


def _size(examples: Iterable[_Example]) -> int:
    """The bytes that examples take."""
    return sum(example.member.file_size + _EXAMPLE_OVERHEAD for example in examples)


# What is done: by the name of a shard, its size in bytes, its number of examples and what was skipped


def noted_shards(note: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The shards that `records.json` says were finished; none if it is damaged."""
    try:
        return {
            name: {"bytes": int(shard["bytes"]), "examples": int(shard["examples"]), "skipped": dict(shard["skipped"])}
            for name, shard in note["done"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def _describe(folder: Path, splits: Sequence[_Split], done: dict[str, dict[str, Any]]) -> Records:
    """What the shards of all splits hold."""
    records = Records(folder, {}, {}, {}, {split.name: split.shard_count for split in splits})
    for split in splits:
        shards = [shard for name, shard in done.items() if name.startswith(f"{split.name}-")]
        skipped = {name: reason for shard in shards for name, reason in shard["skipped"].items()}
        records.skipped.update(sorted(skipped.items()))
        records.examples[split.name] = sum(shard["examples"] for shard in shards)
        records.pictures[split.name] = len(split.pictures) - len(skipped)
        if shards and not records.examples[split.name]:
            raise CourseError(f"None of the pictures for {split.name} in {split.zip_path} could be read.")
    return records


def _prepare_folder(folder: Path, done: Collection[str]) -> None:
    """Make the folder and remove shards that do not belong to these records."""
    check_is_no_folder(folder / SUMMARY_FILE)
    shards = [path for split in RECORD_SPLITS for path in folder.glob(f"{split}-?????-of-?????")]
    if shards and not (folder / SUMMARY_FILE).exists():
        raise CourseError(
            f"{folder} already contains shards that were not written here, such as {shards[0].name}. "
            "Move them away, or choose another folder."
        )
    make_folder(folder)
    for path in shards:
        if path.name not in done:
            path.unlink()


# Writing


def _write_missing_shards(
    folder: Path, splits: Sequence[_Split], vocab: dict[str, int], note: dict[str, Any], workers: int | None
) -> None:
    """Write the shards that are not done yet, several at the same time, and add each to the note when it is there."""
    seed, done = note["made_from"]["seed"], note["done"]
    shards = {name: part for split in splits for name, part in split.shards(seed).items() if name not in done}
    check_space(folder / SUMMARY_FILE, sum(map(_size, shards.values())))
    write_json(note, folder / SUMMARY_FILE)
    with ExitStack() as stack:
        archives = {path: stack.enter_context(open_zip(path)) for path in {split.zip_path for split in splits}}
        total = sum(map(len, shards.values()))
        bar = stack.enter_context(progress(total=total, description="Writing records", unit=" examples"))
        writer = _ShardWriter(folder, archives, vocab)
        for name, written in zip(shards, prefetch(writer.write, shards.items(), workers), strict=True):
            done[name] = written
            write_json(note, folder / SUMMARY_FILE)
            bar.update(len(shards[name]))


@dataclass
class _ShardWriter:
    """Writes shards from threads."""

    folder: Path
    archives: dict[Path, zipfile.ZipFile]
    vocab: dict[str, int]
    # what is known about images, which come once for each caption: the reason why one cannot be read, or "" if it is a
    # JPEG that stays as it is
    known: dict[str, str] = field(default_factory=dict)

    def write(self, shard: tuple[str, list[_Example]]) -> dict[str, Any]:
        """Write a shard, given its name and its examples.

        Returns:
            Its size, the number of examples in it, and what was skipped.
        """
        name, examples = shard
        count, skipped = 0, {}
        with atomic_path(self.folder / name) as temporary:
            try:
                with tf.io.TFRecordWriter(str(temporary)) as writer:
                    for example in examples:
                        try:
                            jpeg = self._jpeg(example)
                        except CourseError as error:
                            skipped[example.name] = str(error)
                            continue
                        words = words_of(example.caption)
                        ids = [self.vocab.get(word, self.vocab[UNKNOWN]) for word in words]
                        writer.write(sequence_example(jpeg, example.image_id, words, ids))
                        count += 1
            except tf.errors.OpError as error:
                raise CourseError(
                    f"{name} could not be written ({error.message}). Make room on the disk and start again: "
                    "finished shards are kept."
                ) from error
            return {"bytes": temporary.stat().st_size, "examples": count, "skipped": skipped}

    def _jpeg(self, example: _Example) -> bytes:
        reason = self.known.get(example.name)  # looked up once: another thread may set it meanwhile
        if reason:
            raise CourseError(reason)
        try:
            buf = read_member(self.archives[example.zip_path], example.member)
            jpeg = as_jpeg(buf) if reason is None else buf
        except CourseError as error:
            self.known[example.name] = str(error)
            raise
        if jpeg is buf:
            self.known[example.name] = ""
        return jpeg


def sequence_example(jpeg: bytes, image_id: int, words: Sequence[str], ids: Sequence[int]) -> bytes:
    """An image with one caption as a serialized `tf.train.SequenceExample`."""
    example = tf.train.SequenceExample()
    context, lists = example.context.feature, example.feature_lists.feature_list
    context["image/image_id"].int64_list.value.append(image_id)
    context["image/data"].bytes_list.value.append(jpeg)
    for word, number in zip(words, ids, strict=True):
        lists["image/caption"].feature.add().bytes_list.value.append(word.encode())
        lists["image/caption_ids"].feature.add().int64_list.value.append(number)
    return example.SerializeToString(deterministic=True)  # maps have no order of their own


def as_jpeg(buf: bytes) -> bytes:
    """An image file's bytes as those of an upright RGB or grey JPEG, which every reader decodes alike.

    A file that already is one stays as it is. Anything else becomes a JPEG of quality 95.
    """
    pixels = decode_image_from_buf(buf)
    with Image.open(io.BytesIO(buf)) as image:
        orientation = 1
        with suppress(Exception):  # damaged EXIF data, which `decode_image_from_buf` and readers of records ignore, too
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        if image.format == "JPEG" and image.mode in ("RGB", "L") and orientation == 1:
            return buf
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
