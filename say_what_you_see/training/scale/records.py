"""Writes a data set as sharded TFRecords of images with captions, in the layout that im2txt reads.

That is one `tf.train.SequenceExample` for each caption, with the image as JPEG (Vinyals, Toshev, Bengio, Erhan, 2016,
https://arxiv.org/abs/1609.06647). `record_input` reads them.
"""

import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import (
    atomic_path,
    check_is_no_folder,
    check_space,
    make_folder,
    read_json,
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
from say_what_you_see.training.scale import record_vocabulary as vocabulary
from say_what_you_see.training.scale.record_vocabulary import UNKNOWN, WORD_COUNTS_FILE
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

_SCHEMA = 1
_UNFINISHED_FILE = "records.partial.json"
_JPEG_QUALITY = 95
_EXAMPLE_OVERHEAD = 1024  # bytes for words, ids and framing: more than they need
_ORIENTATION = 0x0112  # the EXIF tag
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
    counts = {split.name: split.shards for split in splits}
    made_from = {"schema": _SCHEMA, "zips": stamp(files.zips), "members": [files.train_json, files.val_json]}
    made_from |= {"seed": settings.seed, "shards": counts, "min_count": min_count}
    notes = [read_note(folder / name) for name in (SUMMARY_FILE, _UNFINISHED_FILE)]
    finished, unfinished = (note if note.get("made_from") == made_from else {} for note in notes)
    done = _shards_done(folder, finished or unfinished)
    vocabulary_kept = finished and _checksum(folder / WORD_COUNTS_FILE) == finished.get("word_counts_sha256")
    if not (vocabulary_kept and len(done) == sum(counts.values())):
        _prepare_folder(folder, done)
        captions = (caption for picture in splits[0].pictures for caption in picture.captions)
        words = vocabulary.count_words(captions, min_count)
        vocabulary.write_word_counts(words, folder / WORD_COUNTS_FILE)
        vocab = {word: index for index, word in enumerate([*(word for word, _ in words), UNKNOWN])}
        _write_missing_shards(folder, splits, vocab, made_from, done, workers)
        _write_summary(folder, splits, made_from, done)
    (folder / _UNFINISHED_FILE).unlink(missing_ok=True)  # left over by a run that was killed at the very end
    return read_records(folder)


def read_records(folder: Path) -> Records:
    """What `write_records` has left in a folder."""
    path = Path(folder) / SUMMARY_FILE
    if not path.exists():
        raise CourseError(f"There are no finished records in {folder}. Run `say-what-you-see records` first.")
    summary = read_json(path)
    try:
        counts = [summary["examples"], summary["pictures"], summary["made_from"]["shards"]]
        examples, pictures, shards = ({split: int(count[split]) for split in RECORD_SPLITS} for count in counts)
        skipped, checksum = dict(summary["skipped"]), summary["word_counts_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise CourseError(
            f"{path} was not written by `say-what-you-see records`. Delete {folder} and run it again."
        ) from error
    if _checksum(path.with_name(WORD_COUNTS_FILE)) != checksum:
        raise CourseError(
            f"{path.with_name(WORD_COUNTS_FILE)} is missing or is not the one that the shards beside it were written "
            "with. Run `say-what-you-see records` again."
        )
    return Records(path.parent, examples, pictures, skipped, shards)


def _checksum(path: Path) -> str | None:
    return sha256_of(path) if path.exists() else None


# What goes where


class _Picture(NamedTuple):
    image_id: int
    member: zipfile.ZipInfo
    captions: list[str]


@dataclass(frozen=True)
class _Split:
    """The images of a split, and into how many shards their examples go."""

    name: str
    zip_path: Path
    pictures: list[_Picture]
    shards: int

    def shard_names(self) -> list[str]:
        return [f"{self.name}-{number:05d}-of-{self.shards:05d}" for number in range(self.shards)]

    def shard_examples(self, seed: int) -> list[np.ndarray]:
        """For each shard (examples, 2): indices of an image and of one of its captions, in random order."""
        pairs = [(index, c) for index, picture in enumerate(self.pictures) for c in range(len(picture.captions))]
        rng = np.random.default_rng([seed, RECORD_SPLITS.index(self.name)])
        order = rng.permutation(len(pairs))
        return np.array_split(np.array(pairs, dtype=np.int64).reshape(-1, 2)[order], self.shards) if self.shards else []


def _plan_splits(files: DatasetFiles, settings: Settings, shards: dict[str, int]) -> list[_Split]:
    """Which images are in which split, and how many shards it gets."""
    if settings.dataset == "scenes":
        shards.setdefault("test", 0)
    train = _captioned_pictures(files.train_zip, files.captions_zip, files.train_json)
    val = _captioned_pictures(files.val_zip, files.captions_zip, files.val_json)
    val, test = _put_aside(val, settings.seed) if shards.get("test") != 0 else (val, [])
    splits = (("train", files.train_zip, train), ("val", files.val_zip, val), ("test", files.val_zip, test))
    return [
        _Split(name, zip_path, pictures, shards.get(name, min(MAX_SHARDS[name], -(-_size(pictures) // SHARD_BYTES))))
        for name, zip_path, pictures in splits
    ]


def _captioned_pictures(zip_path: Path, captions_zip: Path, member: str) -> list[_Picture]:
    """The images of a zip that have captions, in the order of their names."""
    captions, ids = read_captions(captions_zip, member), read_image_ids(captions_zip, member)
    members = images_by_name(zip_path)
    names = sorted(members.keys() & captions.keys())
    if not names:
        raise CourseError(f"None of the pictures in {zip_path} has a caption in {member} of {captions_zip.name}.")
    # A data set of the user's own may identify images by something other than whole numbers.
    numbered = all(isinstance(ids[name], int) and ids[name] in _INT64 for name in names)
    return [
        _Picture(ids[name] if numbered else number, members[name], captions[name])
        for number, name in enumerate(names, 1)
    ]


def _put_aside(pictures: list[_Picture], seed: int) -> tuple[list[_Picture], list[_Picture]]:
    """Divide validation images into val and test; at least one is in each, or test is empty."""
    count = min(max(1, round(TEST_FRACTION * len(pictures))), len(pictures) - 1)
    test, val = np.split(np.random.default_rng(seed).permutation(len(pictures)), [count])
    return [pictures[index] for index in sorted(val)], [pictures[index] for index in sorted(test)]


def _size(pictures: Sequence[_Picture]) -> int:
    """Bytes of the examples of these images; an image is in as many of them as it has captions."""
    return sum((picture.member.file_size + _EXAMPLE_OVERHEAD) * len(picture.captions) for picture in pictures)


# What is done: by the name of a shard, its size in bytes, its number of examples and what was skipped


def _shards_done(folder: Path, note: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The shards in a note that are still there."""
    sizes = {path.name: path.stat().st_size for path in folder.glob("*-of-*")}
    return {name: shard for name, shard in note.get("done", {}).items() if sizes.get(name) == shard.get("bytes")}


def _prepare_folder(folder: Path, done: Mapping[str, Any]) -> None:
    """Make the folder and remove shards that do not belong to these records."""
    check_is_no_folder(folder / SUMMARY_FILE)
    shards = [path for split in RECORD_SPLITS for path in folder.glob(f"{split}-?????-of-?????")]
    if shards and not any((folder / name).exists() for name in (SUMMARY_FILE, _UNFINISHED_FILE)):
        raise CourseError(
            f"{folder} already contains shards that were not written here, such as {shards[0].name}. "
            "Move them away, or choose another folder."
        )
    make_folder(folder)
    if (folder / SUMMARY_FILE).exists():
        os.replace(folder / SUMMARY_FILE, folder / _UNFINISHED_FILE)
    for path in shards:
        if path.name not in done:
            path.unlink()


def _write_summary(folder: Path, splits: Sequence[_Split], made_from: dict[str, Any], done: dict[str, Any]) -> None:
    """Write the summary, which says that all is done."""
    summary: dict[str, Any] = {"made_from": made_from, "word_counts_sha256": sha256_of(folder / WORD_COUNTS_FILE)}
    summary |= {"examples": {}, "pictures": {}, "skipped": {}}
    for split in splits:
        shards = [done[name] for name in split.shard_names()]
        skipped = {name: reason for shard in shards for name, reason in shard["skipped"].items()}
        summary["skipped"] |= skipped
        summary["examples"][split.name] = sum(shard["examples"] for shard in shards)
        summary["pictures"][split.name] = len(split.pictures) - len(skipped)
        if split.shards and not summary["examples"][split.name]:
            raise CourseError(f"None of the pictures for {split.name} in {split.zip_path} could be read.")
    summary["skipped"] = dict(sorted(summary["skipped"].items()))
    write_json(summary | {"done": dict(sorted(done.items()))}, folder / SUMMARY_FILE)


# Writing


def _write_missing_shards(
    folder: Path,
    splits: Sequence[_Split],
    vocab: dict[str, int],
    made_from: dict[str, Any],
    done: dict[str, Any],
    workers: int | None,
) -> None:
    """Write the shards that are not done yet, several at the same time, and add each to `done` and to the note."""
    shards = [
        (name, split, examples.tolist())
        for split in splits
        for name, examples in zip(split.shard_names(), split.shard_examples(made_from["seed"]), strict=True)
        if name not in done
    ]
    total = sum(len(pairs) for _, _, pairs in shards)
    sizes = (split.pictures[index].member.file_size for _, split, pairs in shards for index, _ in pairs)
    check_space(folder / SUMMARY_FILE, _EXAMPLE_OVERHEAD * total + sum(sizes))
    bar = progress(total=total, description="Writing records", unit=" examples")
    with open_zip(splits[0].zip_path) as train, open_zip(splits[1].zip_path) as val, bar:
        writer = _ShardWriter(folder, {splits[0].zip_path: train, splits[1].zip_path: val}, vocab)
        write_json({"made_from": made_from, "done": done}, folder / _UNFINISHED_FILE)
        for (name, _, pairs), result in zip(shards, prefetch(writer.write, shards, workers), strict=True):
            done[name] = result
            write_json({"made_from": made_from, "done": done}, folder / _UNFINISHED_FILE)
            bar.update(len(pairs))


@dataclass
class _ShardWriter:
    """Writes shards from threads."""

    folder: Path
    archives: dict[Path, zipfile.ZipFile]
    vocab: dict[str, int]
    # what is known about images, which come once for each caption: the reason why one cannot be read, or "" if it is a
    # JPEG that stays as it is
    known: dict[str, str] = field(default_factory=dict)

    def write(self, shard: tuple[str, _Split, list[list[int]]]) -> dict[str, Any]:
        """Write a shard, given its name, its split, and the indices of images and of their captions.

        Returns:
            Its size, the number of examples in it, and what was skipped.
        """
        shard_name, split, pairs = shard
        count, skipped, zip_path = 0, {}, split.zip_path
        with atomic_path(self.folder / shard_name) as temporary:
            try:
                with tf.io.TFRecordWriter(str(temporary)) as writer:
                    for picture_index, caption_index in pairs:
                        picture = split.pictures[picture_index]
                        name = f"{zip_path.name}/{picture.member.filename}"
                        try:
                            jpeg = self._jpeg(name, zip_path, picture.member)
                        except CourseError as error:
                            skipped[name] = str(error)
                            continue
                        words = vocabulary.words_of(picture.captions[caption_index])
                        ids = [self.vocab.get(word, self.vocab[UNKNOWN]) for word in words]
                        writer.write(sequence_example(jpeg, picture.image_id, words, ids))
                        count += 1
            except tf.errors.OpError as error:
                raise CourseError(
                    f"{shard_name} could not be written ({error.message}). Make room on the disk and start again: "
                    "finished shards are kept."
                ) from error
            return {"bytes": temporary.stat().st_size, "examples": count, "skipped": skipped}

    def _jpeg(self, name: str, zip_path: Path, member: zipfile.ZipInfo) -> bytes:
        reason = self.known.get(name)  # looked up once: another thread may set it meanwhile
        if reason:
            raise CourseError(reason)
        try:
            buf = read_member(self.archives[zip_path], member)
            jpeg = as_jpeg(buf) if reason is None else buf
        except CourseError as error:
            self.known[name] = str(error)
            raise
        if jpeg is buf:
            self.known[name] = ""
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
        if image.format == "JPEG" and image.mode in ("RGB", "L") and _orientation(image) == 1:
            return buf
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data: `decode_image_from_buf` and readers of records leave such an image as it is
        return 1
