"""Embeddings are those of the pictures, in order, whatever is wrong with the zip and whenever one was interrupted."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import DEFAULT, Mock

import keras
import numpy as np
import pytest
from hostile_files import picture, write_zip
from keras import layers

import say_what_you_see.core.files
from say_what_you_see.core.errors import CourseError
from say_what_you_see.vision.extraction import apply_model
from say_what_you_see.vision.pictures import crop_and_preprocess, decode_image_from_buf

INPUT_SHAPE = (24, 24)
BATCH_SIZE = 4


def scale(images: np.ndarray) -> np.ndarray:
    """A preprocessing that, like Keras' own, overwrites its argument."""
    images /= 127.5
    images -= 1
    return images


PICTURES = {f"folder/{i}.png": picture("PNG", (40, 30 + i), number=i) for i in range(10)}
"""Two batches and a half."""


def make_encoder(seed: int = 0, side: int | None = None) -> keras.Model:
    keras.utils.set_random_seed(seed)
    convolution = layers.Conv2D(5, 3, strides=4, activation="relu")
    return keras.Sequential([layers.Input((side, side, 3)), convolution, layers.GlobalAveragePooling2D()])


@pytest.fixture
def encoder() -> keras.Model:
    return make_encoder()


@pytest.fixture
def zip_fn(tmp_path) -> Path:
    return write_zip(tmp_path / "train.zip", PICTURES)


def extract(zip_fn, encoder, store=None, preprocess=scale, input_shape=INPUT_SHAPE, batch_size=BATCH_SIZE, **options):
    return apply_model(zip_fn, encoder, preprocess, input_shape, batch_size, store, **options)


def one_by_one(encoder, contents: dict[str, bytes]) -> np.ndarray:
    images = [crop_and_preprocess(decode_image_from_buf(buf), INPUT_SHAPE, scale) for buf in contents.values()]
    return np.concatenate([encoder.predict_on_batch(image[None]) for image in images])


def watch(encoder: keras.Model, effects: list | None = None) -> Mock:
    """Note the batches that an encoder gets from now on."""
    encoder.predict_on_batch = Mock(wraps=partial(keras.Model.predict_on_batch, encoder), side_effect=effects)
    return encoder.predict_on_batch


def interrupt(at: int, zip_fn: Path, encoder: keras.Model, store: Path, **options) -> Mock:
    """Interrupt an extraction at one of its batches; returns what notes the batches from then on."""
    watch(encoder, [DEFAULT] * at + [KeyboardInterrupt])
    with pytest.raises(KeyboardInterrupt):
        extract(zip_fn, encoder, store, **options)
    return watch(encoder)


@pytest.mark.parametrize("stored", [False, True])
def test_rows_are_the_embeddings_of_the_pictures_in_order_without_bad_ones(tmp_path, encoder, capsys, stored):
    bad = {"half.png": PICTURES["folder/1.png"][:500], "page.jpg": b"<html>", "empty.gif": b""}
    contents = dict(list(PICTURES.items())[:6]) | bad | dict(list(PICTURES.items())[6:])
    path, expected, watched = write_zip(tmp_path / "val.zip", contents), one_by_one(encoder, PICTURES), watch(encoder)
    embeddings, names = extract(path, encoder, tmp_path / "val.npy" if stored else None)
    assert names == [f"{i}.png" for i in range(10)] and embeddings.dtype == np.float32
    assert embeddings == pytest.approx(expected, abs=1e-5) and len(np.unique(embeddings, axis=0)) == 10
    shapes = [call.args[0].shape for call in watched.call_args_list]
    assert shapes == [(BATCH_SIZE, *INPUT_SHAPE, 3)] * 4, "so that the model is compiled once"
    output = capsys.readouterr().out
    assert "3 of 13" in output and all(name in output for name in bad) and "truncated" in output


def test_pictures_of_another_size_than_the_encoder_expects_are_refused(zip_fn):
    with pytest.raises(CourseError, match="32, 32.*24, 24"):
        extract(zip_fn, make_encoder(side=32))


def test_a_store_holds_the_same_and_is_not_made_again(zip_fn, encoder, tmp_path):
    store = tmp_path / "work" / "train.npy"
    expected, names = extract(zip_fn, encoder)
    first = extract(zip_fn, encoder, store)
    watched = watch(encoder)
    for embeddings, file_names in (first, extract(zip_fn, encoder, store)):
        assert isinstance(embeddings, np.memmap) and embeddings.dtype == np.float32
        assert (embeddings == expected).all() and file_names == names
    watched.assert_not_called()
    assert (np.load(store) == expected).all()
    assert json.loads(store.with_suffix(".json").read_text())["file_names"] == names
    assert {path.name for path in store.parent.iterdir()} == {"train.npy", "train.json"}


@pytest.mark.parametrize(("batches_before", "dtype"), [(0, "float32"), (1, "float32"), (2, "float32"), (1, "float16")])
def test_an_interrupted_extraction_goes_on_where_it_was(tmp_path, encoder, batches_before, dtype, capsys):
    contents = {"bad.png": b""} | PICTURES | {"worse.png": b"!"}
    path, store = write_zip(tmp_path / "a.zip", contents), tmp_path / "a.npy"
    expected, names = extract(path, encoder, dtype=dtype)
    report = capsys.readouterr().out
    watched = interrupt(batches_before, path, encoder, store, dtype=dtype)
    assert not store.exists()
    embeddings, file_names = extract(path, encoder, store, dtype=dtype)
    assert watched.call_count == 3 - batches_before
    assert (embeddings == expected).all() and file_names == names
    assert capsys.readouterr().out == report


@pytest.mark.parametrize("change", ["zip", "encoder", "preprocessing", "input shape"])
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_store_made_from_something_else_is_made_anew(zip_fn, encoder, tmp_path, change, interrupted):
    store, options = tmp_path / "train.npy", {}
    if interrupted:
        interrupt(1, zip_fn, encoder, store)
    else:
        extract(zip_fn, encoder, store)
    if change == "zip":
        write_zip(zip_fn, PICTURES | {"folder/0.png": picture("PNG", (40, 30), number=20)})
    elif change == "preprocessing":
        options["preprocess"] = lambda images: images / 255
    elif change == "input shape":
        options["input_shape"] = (48, 48)
    encoder = make_encoder(seed=1 if change == "encoder" else 0)
    expected, names = extract(zip_fn, encoder, **options)
    embeddings, file_names = extract(zip_fn, encoder, store, **options)
    assert (embeddings == expected).all() and file_names == names


@pytest.mark.parametrize("file", ["train.npy", "train.json", "train.partial.npy"])
@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", None])
def test_what_is_damaged_on_disk_is_made_anew(zip_fn, encoder, tmp_path, file, damage):
    store = tmp_path / "train.npy"
    if file == "train.partial.npy":
        interrupt(2, zip_fn, encoder, store)
    else:
        extract(zip_fn, encoder, store)
    if damage is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(damage)
    embeddings, names = extract(zip_fn, encoder, store)
    assert (embeddings == extract(zip_fn, encoder)[0]).all() and len(names) == 10


@pytest.mark.parametrize(("batches_before", "dtype", "needed"), [(0, "float32", 10 * 5 * 4), (2, "float16", 2 * 5 * 2)])
def test_a_full_disk_is_noticed_before_the_work(zip_fn, encoder, tmp_path, monkeypatch, batches_before, dtype, needed):
    """What is left of an extraction, in the type that is stored, is all the room that it needs."""
    interrupt(batches_before, zip_fn, encoder, tmp_path / "a.npy", dtype=dtype)
    disk = SimpleNamespace(free=needed - 1)
    monkeypatch.setattr(say_what_you_see.core.files.shutil, "disk_usage", lambda _: disk)
    with pytest.raises(CourseError, match=r"a\.npy needs .* Make room"):
        extract(zip_fn, encoder, tmp_path / "a.npy", dtype=dtype)
    disk.free += 1
    assert len(extract(zip_fn, encoder, tmp_path / "a.npy", dtype=dtype)[0]) == 10
