"""Writes a data set as sharded TFRecords of pictures with captions, in the layout that im2txt reads.

The layout is that of "Show and Tell: Lessons learned from the 2015 MSCOCO Image Captioning Challenge" (Vinyals,
Toshev, Bengio, Erhan, 2016), https://arxiv.org/abs/1609.06647: one `tf.train.SequenceExample` for each caption,
with the picture as JPEG. `say_what_you_see.training.scale.record_input` reads them.
"""

from __future__ import annotations

import io
import os
import shutil
import threading
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from say_what_you_see.core.backend import suppress_stderr
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, check_is_no_folder, make_folder, read_json, sha256_of, write_json
from say_what_you_see.core.progress import progress
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.archives import open_zip, read_member
from say_what_you_see.data.coco_format import DatasetFiles, images_by_name, read_captions, read_image_ids, stamp
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.training.scale.record_vocabulary import (
    UNKNOWN,
    WORD_COUNTS_FILE,
    count_words,
    words_of,
    write_word_counts,
)
from say_what_you_see.vision.pictures import decode_image_from_buf

with suppress_stderr():
    import tensorflow as tf

SPLITS = ("train", "val", "test")

MOST_SHARDS = {"train": 256, "val": 4, "test": 8}
"""im2txt's numbers of shards, which a data set of the size of COCO gets."""

SHARD_BYTES = 16 * 1024**2
"""Smaller data sets get fewer shards, of about this size."""

TEST_SHARE = 0.1
"""The share of the validation pictures that is put aside as test; im2txt puts aside as much of COCO's."""

MIN_COUNT = 4
"""How often a word must occur in the training captions to be in the vocabulary, as in im2txt."""

FACTS_FILE = "records.json"

_SCHEMA = 1
_UNFINISHED_FILE = "records.partial.json"
_JPEG_QUALITY = 95
_EXAMPLE_OVERHEAD = 1024  # bytes for words, ids and framing: more than they take
_ORIENTATION = 0x0112  # the EXIF tag
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class RecordFacts:
    """What has been written.

    Attributes:
        folder: where the shards and `word_counts.txt` are.
        examples: by split, the number of examples: pictures times their captions.
        pictures: by split, the number of pictures.
        skipped: pictures that could not be read (zip and name), each with the reason.
        shards: by split, the number of shards; 0 where a split was not made.
    """

    folder: Path
    examples: dict[str, int]
    pictures: dict[str, int]
    skipped: dict[str, str]
    shards: dict[str, int]

    def show(self) -> str:
        """A table of the splits and a list of what was skipped, to print."""
        lines = [f"{'split':<8}{'shards':>8}{'pictures':>10}{'examples':>10}"]
        for split in SPLITS:
            lines.append(f"{split:<8}{self.shards[split]:>8}{self.pictures[split]:>10,}{self.examples[split]:>10,}")
        if not self.shards["test"]:
            lines.append("No test shards were written: all validation pictures are in val.")
        if self.skipped:
            lines.append(f"Skipped {len(self.skipped)} pictures that cannot be read:")
            lines.extend(f"  {name}: {reason}" for name, reason in self.skipped.items())
        return "\n".join(lines)


def write_records(
    settings: Settings, folder: Path | None = None, shards: dict[str, int] | None = None, workers: int | None = None
) -> RecordFacts:
    """Write the data set of the settings as shards `train-00000-of-00256` and so on, with `word_counts.txt`.

    The training side of the data set is train. Of the pictures on its validation side a tenth, chosen by the seed,
    is test, and the rest val. Of the drawn scenes all are val, so that results compare with those of the other
    lessons; so it is wherever the number of test shards is 0. Which example is in which shard, and every byte of
    a shard, follows from the data set, the seed and the numbers of shards.

    An interrupted run goes on with the shards that are missing, and a finished one is not done again.

    Args:
        folder: where to; None is `records` in the folder of the data set.
        shards: number of shards by split; what is not given follows from the size, at most 256, 4 and 8.
        workers: how many shards are written at the same time; None is one for each CPU core, at most 8.

    Raises:
        CourseError: if the data set cannot be had, no picture of it can be read, the disk is too full, or the
            folder holds shards that someone else wrote.
    """
    folder = Path(folder or settings.dataset_folder / "records")
    files = get_dataset(settings)
    splits = _plan_splits(files, settings, dict(shards or {}))
    min_count = 1 if settings.small else MIN_COUNT
    counts = {split.name: split.shards for split in splits}
    made_from = {"schema": _SCHEMA, "zips": stamp(files.zips), "members": [files.train_json, files.val_json]}
    made_from |= {"seed": settings.seed, "shards": counts, "min_count": min_count}
    ledger = _Ledger(folder, made_from)
    if not ledger.finished:
        ledger.begin()
        words = count_words((text for picture in splits[0].pictures for text in picture.captions), min_count)
        write_word_counts(words, folder / WORD_COUNTS_FILE)
        _write_missing_shards(splits, words, settings.seed, ledger, workers or min(8, os.cpu_count() or 1))
        ledger.finish(splits)
    ledger.tidy()
    return read_record_facts(folder)


def read_record_facts(folder: Path) -> RecordFacts:
    """What `write_records` has left in a folder.

    Raises:
        CourseError: if it has not finished there, or if `word_counts.txt` is another one now.
    """
    folder = Path(folder)
    if not (folder / FACTS_FILE).exists():
        raise CourseError(f"There are no finished records in {folder}. Run `say-what-you-see records` first.")
    facts = read_json(folder / FACTS_FILE)
    try:
        counts = {name: _counts(facts[name]) for name in ("examples", "pictures")}
        fields = {**counts, "skipped": {str(name): str(reason) for name, reason in facts["skipped"].items()}}
        shards, checksum = _counts(facts["made_from"]["shards"]), facts["word_counts_sha256"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CourseError(
            f"{folder / FACTS_FILE} is not what `say-what-you-see records` writes. Delete {folder} and run it again."
        ) from error
    if not (folder / WORD_COUNTS_FILE).exists() or sha256_of(folder / WORD_COUNTS_FILE) != checksum:
        raise CourseError(
            f"{folder / WORD_COUNTS_FILE} is missing or is not the one that the shards beside it were written with. "
            "Run `say-what-you-see records` again."
        )
    return RecordFacts(folder, **fields, shards=shards)


def _counts(found: dict[str, int]) -> dict[str, int]:
    """A number for every split, out of a file that could hold anything."""
    if not all(isinstance(found[split], int) for split in SPLITS):
        raise TypeError("a count is no whole number")
    return {split: found[split] for split in SPLITS}


# What goes where


@dataclass(frozen=True)
class _Picture:
    image_id: int
    member: zipfile.ZipInfo
    captions: list[str]


@dataclass(frozen=True)
class _Split:
    """The pictures of a split, and into how many shards their examples go."""

    name: str
    zip_path: Path
    pictures: list[_Picture]
    shards: int

    def shard_name(self, number: int) -> str:
        return f"{self.name}-{number:05d}-of-{self.shards:05d}"

    def shard_examples(self, seed: int) -> list[np.ndarray]:
        """For each shard (examples, 2): indices of pictures and of captions of theirs, in random order."""
        pairs = [(index, c) for index, picture in enumerate(self.pictures) for c in range(len(picture.captions))]
        rng = np.random.default_rng([seed, SPLITS.index(self.name)])
        order = rng.permutation(len(pairs))
        return np.array_split(np.array(pairs, dtype=np.int64).reshape(-1, 2)[order], self.shards) if self.shards else []


def _plan_splits(files: DatasetFiles, settings: Settings, shards: dict[str, int]) -> list[_Split]:
    """Which pictures are in which split, and how many shards it gets."""
    for split, count in shards.items():
        if split not in SPLITS or not isinstance(count, int) or not (split != "test") <= count <= 99_999:
            raise CourseError(
                f"There cannot be {count!r} shards of {split!r}. Give numbers from 1 up for train and val, from 0 for "
                "test."
            )
    if settings.dataset == "scenes":
        shards.setdefault("test", 0)
    train = _captioned_pictures(files.train_zip, files.captions_zip, files.train_json)
    val = _captioned_pictures(files.val_zip, files.captions_zip, files.val_json)
    val, test = _put_aside(val, 0 if shards.get("test") == 0 else TEST_SHARE, settings.seed)
    zips = (files.train_zip, files.val_zip, files.val_zip)
    return [
        _Split(name, zip_path, pictures, shards[name] if name in shards else default_shard_count(name, _size(pictures)))
        for name, zip_path, pictures in zip(SPLITS, zips, (train, val, test), strict=True)
    ]


def default_shard_count(split: str, size: int) -> int:
    """How many shards a split of so many bytes gets: as many as im2txt makes of COCO, or fewer."""
    return min(MOST_SHARDS[split], -(-size // SHARD_BYTES))


def _captioned_pictures(zip_path: Path, captions_zip: Path, member: str) -> list[_Picture]:
    """The pictures of a zip that have captions, in the order of their names."""
    captions, ids = read_captions(captions_zip, member), read_image_ids(captions_zip, member)
    members = images_by_name(zip_path)
    names = sorted(members.keys() & captions.keys())
    if not names:
        raise CourseError(f"None of the pictures in {zip_path} has a caption in {member} of {captions_zip.name}.")
    # A data set of the user's own may name its pictures by something else than whole numbers.
    numbered = all(isinstance(ids[name], int) and ids[name] in _INT64 for name in names)
    return [
        _Picture(ids[name] if numbered else number, members[name], captions[name])
        for number, name in enumerate(names, 1)
    ]


def _put_aside(pictures: list[_Picture], share: float, seed: int) -> tuple[list[_Picture], list[_Picture]]:
    """Split validation pictures into val and test; at least one is in each, or test is empty."""
    count = min(max(1, round(share * len(pictures))), len(pictures) - 1) if share else 0
    test = set(np.random.default_rng(seed).permutation(len(pictures))[:count].tolist())
    splits: tuple[list[_Picture], list[_Picture]] = ([], [])
    for index, picture in enumerate(pictures):
        splits[index in test].append(picture)
    return splits


def _size(pictures: Iterable[_Picture]) -> int:
    """Bytes of the examples of these pictures; a picture is in as many of them as it has captions."""
    return sum((picture.member.file_size + _EXAMPLE_OVERHEAD) * len(picture.captions) for picture in pictures)


# Writing


def sequence_example(jpeg: bytes, image_id: int, words: Sequence[str], ids: Sequence[int]) -> bytes:
    """A picture with one caption as a serialized `tf.train.SequenceExample`.

    The context has `image/image_id` and `image/data`, the lists `image/caption` (the words in UTF-8) and
    `image/caption_ids`.
    """
    feature, numbers, texts = tf.train.Feature, tf.train.Int64List, tf.train.BytesList
    context = {
        "image/image_id": feature(int64_list=numbers(value=[image_id])),
        "image/data": feature(bytes_list=texts(value=[jpeg])),
    }
    lists = {
        "image/caption": [feature(bytes_list=texts(value=[word.encode()])) for word in words],
        "image/caption_ids": [feature(int64_list=numbers(value=[number])) for number in ids],
    }
    example = tf.train.SequenceExample(
        context=tf.train.Features(feature=context),
        feature_lists=tf.train.FeatureLists(
            feature_list={name: tf.train.FeatureList(feature=values) for name, values in lists.items()}
        ),
    )
    return example.SerializeToString(deterministic=True)  # maps have no order of their own


def as_jpeg(buf: bytes) -> bytes:
    """The bytes of a picture file as those of an upright RGB or grey JPEG, which every reader decodes alike.

    A file that is one stays as it is. Anything else becomes a JPEG of quality 95.

    Raises:
        CourseError: if the bytes are no picture or a damaged one.
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
    except Exception:  # a damaged note: `say_what_you_see.vision.pictures` leaves such a picture as it is, and so do readers of records
        return 1


class _Stopped(Exception):
    """Another shard failed, or the user interrupted."""


@dataclass
class _Job:
    """One shard to write."""

    name: str
    split: _Split
    examples: np.ndarray  # (examples, 2): indices of pictures and captions


@dataclass
class _ShardWriter:
    """Writes shards, several at the same time from threads, out of the zips of the data set."""

    folder: Path
    archives: dict[Path, zipfile.ZipFile]
    vocab: dict[str, int]
    bar: tqdm
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    verdicts: dict[tuple[Path, str], str] = field(default_factory=dict)

    def write(self, job: _Job) -> dict[str, Any]:
        """Write a shard; returns its size, the number of examples in it, and what was skipped."""
        count, skipped = 0, {}
        with atomic_path(self.folder / job.name) as temporary:
            with _explained(job.name), tf.io.TFRecordWriter(str(temporary)) as writer:
                for picture_index, caption_index in job.examples.tolist():
                    if self.stop.is_set():
                        raise _Stopped
                    picture = job.split.pictures[picture_index]
                    try:
                        writer.write(self._example(job.split.zip_path, picture, picture.captions[caption_index]))
                        count += 1
                    except CourseError as error:
                        skipped[f"{job.split.zip_path.name}/{picture.member.filename}"] = str(error)
                    with self.lock:
                        self.bar.update()
            size = temporary.stat().st_size
        return {"bytes": size, "examples": count, "skipped": skipped}

    def _example(self, zip_path: Path, picture: _Picture, caption: str) -> bytes:
        words = words_of(caption)
        ids = [self.vocab.get(word, self.vocab[UNKNOWN]) for word in words]
        return sequence_example(self._jpeg(zip_path, picture.member), picture.image_id, words, ids)

    def _jpeg(self, zip_path: Path, member: zipfile.ZipInfo) -> bytes:
        """A picture as JPEG; what is found out about it holds for its other captions, which saves decoding."""
        key = (zip_path, member.filename)
        verdict = self.verdicts.get(key)
        if verdict not in (None, "as it is", "encode"):
            raise CourseError(verdict)
        buf = read_member(self.archives[zip_path], member)
        if verdict == "as it is":
            return buf
        try:
            jpeg = as_jpeg(buf)
        except CourseError as error:
            self.verdicts[key] = str(error)
            raise
        self.verdicts[key] = "as it is" if jpeg is buf else "encode"
        return jpeg


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what TensorFlow says about a file that it cannot write into words."""
    try:
        yield
    except tf.errors.OpError as error:
        raise CourseError(
            f"{name} could not be written ({error.message}). Make room on the disk and start again: what is done stays."
        ) from error


def _write_missing_shards(
    splits: Sequence[_Split], words: Sequence[tuple[str, int]], seed: int, ledger: _Ledger, workers: int
) -> None:
    """Write the shards that are not done yet."""
    ids = {word: index for index, word in enumerate([*(word for word, _ in words), UNKNOWN])}
    jobs = [
        _Job(split.shard_name(number), split, examples)
        for split in splits
        for number, examples in enumerate(split.shard_examples(seed))
        if split.shard_name(number) not in ledger.done
    ]
    _check_disk(ledger.folder, jobs)
    total = sum(len(job.examples) for job in jobs)
    with (
        open_zip(splits[0].zip_path) as train,
        open_zip(splits[1].zip_path) as val,
        progress(total=total, description="Writing records", unit=" examples") as bar,
    ):
        writer = _ShardWriter(ledger.folder, {splits[0].zip_path: train, splits[1].zip_path: val}, ids, bar)
        _run_jobs(writer, jobs, ledger, workers)


def _run_jobs(writer: _ShardWriter, jobs: Sequence[_Job], ledger: _Ledger, workers: int) -> None:
    """Write shards in threads, and note each in the ledger; what stops one stops all."""
    pool = ThreadPoolExecutor(workers)
    try:
        futures = {pool.submit(writer.write, job): job for job in jobs}
        for future in as_completed(futures):
            ledger.add(futures[future].name, future.result())
    finally:
        writer.stop.set()
        pool.shutdown(cancel_futures=True)


def _check_disk(folder: Path, jobs: Iterable[_Job]) -> None:
    """Refuse to begin what the disk cannot hold."""
    needed = 0
    for job in jobs:
        sizes = np.array([picture.member.file_size for picture in job.split.pictures], dtype=np.int64)
        needed += int(sizes[job.examples[:, 0]].sum()) + _EXAMPLE_OVERHEAD * len(job.examples)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CourseError(
            f"The records need {needed / 1e6:,.0f} MB in {folder}, and {free / 1e6:,.0f} MB are free. Make room."
        )


class _Ledger:
    """What is done in a folder of records, on disk, where it outlives an interruption.

    Attributes:
        done: by name of a shard, its size, number of examples and what was skipped.
        finished: whether all is done, from the same inputs.
    """

    def __init__(self, folder: Path, made_from: dict[str, Any]):
        self.folder, self.made_from = folder, made_from
        self.done: dict[str, dict[str, Any]] = {}
        known = self._read(FACTS_FILE) or self._read(_UNFINISHED_FILE)
        if known and known.get("made_from") == made_from:
            shards = known.get("done", {})
            self.done = {name: facts for name, facts in shards.items() if self._size(name) == facts.get("bytes")}
        self.finished = bool(self._read(FACTS_FILE)) and len(self.done) == sum(made_from["shards"].values())
        self.finished = self.finished and self._words_are(known.get("word_counts_sha256"))

    def begin(self) -> None:
        """Make the folder ready; shards that do not belong to these records go.

        Raises:
            CourseError: if there are shards of someone else.
        """
        check_is_no_folder(self.folder / FACTS_FILE)
        shards = [path for split in SPLITS for path in self.folder.glob(f"{split}-?????-of-?????")]
        if shards and not any((self.folder / name).exists() for name in (FACTS_FILE, _UNFINISHED_FILE)):
            raise CourseError(
                f"{self.folder} already holds {len(shards)} shards, {shards[0].name} for one, that were not written "
                "from here. Move them away, or choose another folder."
            )
        make_folder(self.folder)
        self._note()
        (self.folder / FACTS_FILE).unlink(missing_ok=True)
        for path in shards:
            if path.name not in self.done:
                path.unlink()

    def add(self, name: str, facts: dict[str, Any]) -> None:
        """Note that a shard is whole."""
        self.done[name] = facts
        self._note()

    def finish(self, splits: Sequence[_Split]) -> None:
        """Note that all is done.

        Raises:
            CourseError: if a split came out empty, since none of its pictures could be read.
        """
        examples, pictures, skipped = {}, {}, {}
        for split in splits:
            shards = [self.done[split.shard_name(number)] for number in range(split.shards)]
            unread = {name: reason for shard in shards for name, reason in shard["skipped"].items()}
            skipped |= unread
            examples[split.name] = sum(shard["examples"] for shard in shards)
            pictures[split.name] = len(split.pictures) - len(unread)
            if split.shards and not examples[split.name]:
                raise CourseError(f"None of the pictures for {split.name} in {split.zip_path} could be read.")
        facts = {"made_from": self.made_from, "word_counts_sha256": sha256_of(self.folder / WORD_COUNTS_FILE)}
        facts |= {"examples": examples, "pictures": pictures, "skipped": dict(sorted(skipped.items()))}
        write_json(facts | {"done": dict(sorted(self.done.items()))}, self.folder / FACTS_FILE)

    def tidy(self) -> None:
        """Remove the notes that a finished run needs no more; one that was killed at the very end has left them."""
        (self.folder / _UNFINISHED_FILE).unlink(missing_ok=True)

    def _note(self) -> None:
        write_json({"made_from": self.made_from, "done": self.done}, self.folder / _UNFINISHED_FILE)

    def _read(self, name: str) -> dict[str, Any]:
        """What is noted; a damaged note counts as none, and then all is done again."""
        try:
            return dict(read_json(self.folder / name))
        except (CourseError, TypeError, ValueError):
            return {}

    def _size(self, name: str) -> int | None:
        path = self.folder / name
        return path.stat().st_size if path.exists() else None

    def _words_are(self, checksum: str | None) -> bool:
        path = self.folder / WORD_COUNTS_FILE
        return path.exists() and sha256_of(path) == checksum
