"""Records hold every caption with its picture, in im2txt's layout, and are whole or not there."""

import io
import json
import threading
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import DEFAULT, Mock

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from PIL import Image
from record_samples import picture, settings_for, write_data_set

from say_what_you_see.core.backend import suppress_stderr
from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.coco_format import read_captions
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.language.captions import END, START, UNK, split_sentence
from say_what_you_see.training.scale import records as scale_records
from say_what_you_see.training.scale.record_vocabulary import read_word_counts
from say_what_you_see.training.scale.records import as_jpeg, write_records
from say_what_you_see.vision.pictures import decode_image_from_buf

with suppress_stderr():
    import tensorflow as tf

TRAIN = {f"t{i}.jpg": picture(i, size=(40 + i, 60 - i)) for i in range(9)}
VAL = {f"v{i}.jpg": picture(100 + i) for i in range(6)}


@pytest.fixture
def settings(tmp_path):
    return settings_for(write_data_set(tmp_path / "own", TRAIN, VAL), tmp_path / "data")


def rows_of(folder: Path, split: str) -> list[SimpleNamespace]:
    """What a reader of a split knows that has never heard of this course."""
    rows = []
    for record in tf.data.TFRecordDataset([str(path) for path in sorted(folder.glob(f"{split}-*"))]):
        example = tf.train.SequenceExample.FromString(record.numpy())
        context, lists = example.context.feature, example.feature_lists.feature_list
        words = [part.bytes_list.value[0].decode() for part in lists["image/caption"].feature]
        ids = [part.int64_list.value[0] for part in lists["image/caption_ids"].feature]
        [number], [jpeg] = context["image/image_id"].int64_list.value, context["image/data"].bytes_list.value
        rows.append(SimpleNamespace(id=number, jpeg=jpeg, words=words, ids=ids))
    return rows


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*-of-*")}


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_scene_stands_beside_each_of_its_captions(finished_course, records, split):
    made = write_records(finished_course.settings, records, {"train": 3, "val": 2})  # they are there already
    files = get_dataset(finished_course.settings)
    zip_path, member = dict(zip(("train", "val", "test"), files.splits, strict=True))[split]
    with zipfile.ZipFile(zip_path) as archive, zipfile.ZipFile(files.captions_zip) as texts:
        names = {image["id"]: image["file_name"] for image in json.loads(texts.read(member))["images"]}
        jpegs = {Path(name).name: archive.read(name) for name in archive.namelist()}
    captions = read_captions(files.captions_zip, member)
    expected = Counter(
        (name, tuple(["<S>", *split_sentence(caption), "</S>"])) for name in jpegs for caption in captions[name]
    )
    rows = rows_of(made.folder, split)
    assert Counter((names[row.id], tuple(row.words)) for row in rows) == expected
    assert all(row.jpeg == jpegs[names[row.id]] for row in rows), "JPEG that is in order stays as it is"
    assert made.examples[split] == len(rows) == expected.total() and made.pictures[split] == len(jpegs)


def test_a_tenth_of_other_validation_pictures_is_test(tmp_path):
    val = {f"v{i:02}.jpg": picture(i) for i in range(20)}
    own = write_data_set(tmp_path / "own", {"t.jpg": picture(99)}, val)
    made = write_records(settings_for(own, tmp_path / "data"), shards={"val": 2})
    assert made.pictures == {"train": 1, "val": 18, "test": 2} and made.shards == {"train": 1, "val": 2, "test": 1}
    in_val, in_test = ({row.id for row in rows_of(made.folder, split)} for split in ("val", "test"))
    assert not in_val & in_test and in_val | in_test == {9000 + 3 * i for i in range(20)}
    other = write_records(settings_for(own, tmp_path / "data", seed=1), tmp_path / "other")
    assert {row.id for row in rows_of(other.folder, "test")} != in_test
    all_val = write_records(settings_for(own, tmp_path / "data"), tmp_path / "all", shards={"test": 0})
    assert all_val.pictures["val"] == 20 and not rows_of(all_val.folder, "test")


def test_word_counts_leave_out_rare_words(tmp_path):
    captions = {"t0.jpg": ["Red, red red RED kite", "a a blue"], "t1.jpg": ["a blue kite", "blue a blue", "kite kite"]}
    own = write_data_set(tmp_path / "own", {name: TRAIN[name] for name in captions}, VAL, captions)
    made = write_records(settings_for(own, tmp_path / "data"), shards={"test": 0})
    lines = (made.folder / "word_counts.txt").read_text().splitlines()
    assert lines == ["</S> 5", "<S> 5", "a 4", "blue 4", "kite 4", "red 4"]
    vocab = read_word_counts(made.folder / "word_counts.txt")
    (tmp_path / "listed.txt").write_text("<S> 9\n<UNK> 7\n</S> 5\n")
    assert read_word_counts(tmp_path / "listed.txt") == {START: 0, UNK: 1, END: 2}
    assert vocab == {END: 0, START: 1, "a": 2, "blue": 3, "kite": 4, "red": 5, UNK: 6}
    rows = {tuple(row.words): row.ids for row in rows_of(made.folder, "val")}
    assert rows["<S>", "a", "picture", "called", "v0", "</S>"] == [1, 2, 6, 6, 6, 0]


@pytest.mark.parametrize(("content", "complaint"), [
    (b"<S> 5\n</S> 5\nkite\n", "Line 3"), (b"<S> 5\n</S> five\n", "Line 2"),
    (b"<S> 5\na 3\n", "none of them is for </S>"), (b"<S> 5\n</S> 5\nred 4\nred 4\n", "Line 4.*'red'"),
    (b"\xff\xfe\x00", "UTF-8"),
])  # fmt: skip
def test_damaged_word_counts_are_refused_by_their_line(tmp_path, content, complaint):
    path = tmp_path / "word_counts.txt"
    path.write_bytes(content)
    with pytest.raises(CourseError, match=complaint):
        read_word_counts(path)


def test_shards_are_the_same_byte_for_byte_whatever_the_number_of_workers(settings, tmp_path):
    shards, other_seed = {"train": 3, "val": 2, "test": 1}, settings_for(tmp_path / "own", tmp_path / "data", seed=5)
    one = shard_bytes(write_records(settings, tmp_path / "one", shards, workers=1).folder)
    assert len(one) == 6 and one == shard_bytes(write_records(settings, tmp_path / "four", shards, workers=4).folder)
    assert one != shard_bytes(write_records(other_seed, tmp_path / "other", shards, workers=4).folder)


TURNED = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
"""A note that a camera lay on its side."""


@pytest.mark.parametrize(("options", "size"), [
    ({"kind": "PNG"}, (60, 44)), ({"kind": "PNG", "mode": "P"}, (60, 44)), ({"mode": "CMYK"}, (60, 44)),
    ({"exif": TURNED}, (44, 60)),
])  # fmt: skip
def test_other_pictures_become_upright_rgb_jpeg(options, size):
    data = picture(50, **options)
    jpeg = as_jpeg(data)
    with Image.open(io.BytesIO(jpeg)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", size) and image.getexif().get(0x0112, 1) == 1
    decoded = tf.io.decode_jpeg(jpeg, channels=3).numpy().astype(float)
    assert np.abs(decoded - decode_image_from_buf(data)).mean() < 4  # of 255 levels; a dithered palette is hard on JPEG


def test_corrupt_pictures_are_skipped_counted_and_named(tmp_path):
    train = TRAIN | {"broken.jpg": TRAIN["t1.jpg"][:300], "empty.jpg": b"", "text.png": b"no picture at all"}
    train |= {"drawn.png": picture(60, kind="PNG")}
    own = write_data_set(tmp_path / "own", train, VAL)
    made = write_records(settings_for(own, tmp_path / "data"), shards={"train": 3})
    assert set(made.skipped) == {f"train.zip/train/{name}" for name in ("broken.jpg", "empty.jpg", "text.png")}
    assert made.skipped["train.zip/train/empty.jpg"] == "the file is empty"
    assert made.pictures["train"] == 10 and made.examples["train"] == 20
    assert "Skipped 3" in made.show() and "broken.jpg" in made.show()
    rows = rows_of(made.folder, "train")
    assert len(rows) == 20 and all(row.jpeg.startswith(b"\xff\xd8") for row in rows)


@pytest.mark.parametrize(("error", "former"), [
    (KeyboardInterrupt(), False), (OSError("broken disk"), False), (KeyboardInterrupt(), True),
])  # fmt: skip
def test_an_interrupted_run_leaves_whole_shards_only_and_goes_on(settings, tmp_path, monkeypatch, error, former):
    shards = {"train": 4, "val": 1, "test": 1}
    whole = shard_bytes(write_records(settings, tmp_path / "whole", shards).folder)
    folder = tmp_path / "records"
    failing = Mock(wraps=scale_records.sequence_example, side_effect=[DEFAULT] * 12 + [error])
    with monkeypatch.context() as patch:
        patch.setattr(scale_records, "sequence_example", failing)
        with pytest.raises(type(error)):
            write_records(settings, folder, shards, workers=1)
    left = shard_bytes(folder)
    assert 1 <= len(left) < 6 and all(whole[name] == data for name, data in left.items())
    assert not list(folder.glob(".part-*"))
    if former:
        (folder / "records.json").rename(folder / "records.partial.json")
    times = {name: (folder / name).stat().st_mtime_ns for name in left}
    made = write_records(settings, folder, shards)
    assert shard_bytes(folder) == whole
    assert {name: (folder / name).stat().st_mtime_ns for name in left} == times, "what was done stays"
    assert made.examples["train"] == 18 and not (folder / "records.partial.json").exists()


@pytest.mark.parametrize("damage", ["delete", "cut"])
def test_a_shard_that_is_lost_or_cut_off_is_written_again_alone(settings, damage):
    made = write_records(settings, shards={"train": 3})
    whole = shard_bytes(made.folder)
    times = {name: (made.folder / name).stat().st_mtime_ns for name in whole}
    path = made.folder / "train-00001-of-00003"
    path.unlink() if damage == "delete" else path.write_bytes(whole[path.name][:-9])
    assert write_records(settings, shards={"train": 3}) == made
    assert shard_bytes(made.folder) == whole
    changed = {name for name in whole if (made.folder / name).stat().st_mtime_ns != times[name]}
    assert changed == {path.name}


def test_other_inputs_or_numbers_of_shards_replace_the_shards(settings, tmp_path):
    folder = write_records(settings, shards={"train": 3}).folder
    assert len(list(folder.glob("train-*"))) == 3
    write_records(settings, shards={"train": 2})
    assert {path.name[-5:] for path in folder.glob("train-*")} == {"00002"}
    write_data_set(tmp_path / "own", TRAIN | {"new.jpg": picture(70)}, VAL)
    assert write_records(settings, shards={"train": 2}).pictures["train"] == 10


def test_shards_of_someone_else_are_left_alone(settings, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "train-00000-of-00256").write_bytes(b"precious")
    with pytest.raises(CourseError, match="not written"):
        write_records(settings, folder)
    assert shard_bytes(folder) == {"train-00000-of-00256": b"precious"}


def test_a_picture_that_two_threads_find_broken_at_once_is_skipped_by_both(tmp_path, monkeypatch):
    captions = {"text.png": [f"a picture number {number}" for number in range(20)]}
    own = write_data_set(tmp_path / "own", TRAIN | {"text.png": b"no picture at all"}, VAL, captions)
    noted, readers, read = threading.Event(), [], scale_records.read_member

    def reading(archive, member):
        if member.filename.endswith("text.png"):
            readers.append(threading.get_ident())
            assert len(readers) > 1 or noted.wait(60), "the first one goes on when the second has found it out"
        elif readers[1:] == [threading.get_ident()]:
            noted.set()
        return read(archive, member)

    monkeypatch.setattr(scale_records, "read_member", reading)
    made = write_records(settings_for(own, tmp_path / "data"), shards={"train": 2}, workers=2)
    assert set(made.skipped) == {"train.zip/train/text.png"} and made.examples["train"] == 18 and len(readers) == 2
