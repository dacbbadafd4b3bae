"""The readers of the course with sound files for each, and damage to do to those files."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_ODD_NUMBERS = (0, 1, *(2**bits + change for bits in (7, 8, 15, 16, 31, 32, 63) for change in (-1, 0)), 2**64 - 1)
_ODD_VALUES = (
    None, True, 0, -1, 10**30, 0.5, float("nan"), float("inf"), "", "a", "x" * 5000, "\ud800", "\x1b[2J", "../..", [],
    {}, [[]], {"": None},
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """One reader of files.

    Attributes:
        seeds: sound files, to damage.
        read: reads a path; prepared once, in the process that reads.
        suffix: of the path.
        is_json: whether values can be changed in place of bytes.
        member: for zips, a member that is damaged while the zip around it stays sound; "" for none.
    """

    seeds: list[bytes]
    read: Callable[[Path], Any]
    suffix: str
    is_json: bool = False
    member: str = ""


# Damage


def damaged(reader: Reader, rng: np.random.Generator) -> bytes:
    """One of a reader's sound files with some damage."""
    data = reader.seeds[rng.integers(len(reader.seeds))]
    other = reader.seeds[rng.integers(len(reader.seeds))]
    if reader.member and rng.random() < 0.6:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
        members[reader.member] = _damage(members[reader.member], members[reader.member], reader.is_json, rng)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return buffer.getvalue()
    return _damage(data, other, reader.is_json and not reader.member, rng)


def _damage(data: bytes, other: bytes, is_json: bool, rng: np.random.Generator) -> bytes:
    if is_json and rng.random() < 0.6:
        with contextlib.suppress(ValueError, RecursionError):
            return _other_values(json.loads(data), rng)
    for _ in range(int(rng.integers(1, 5))):
        data = _MUTATIONS[rng.integers(len(_MUTATIONS))](bytearray(data), other, rng)
    return bytes(data)


def _other_values(data: Any, rng: np.random.Generator) -> bytes:
    """JSON in which some values are others, or missing, or twice there."""
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(data))
        if not places:
            break
        container, key = places[rng.integers(len(places))]
        choice = rng.integers(4)
        if choice == 0:
            del container[key]
        elif choice == 1 and isinstance(container, list):
            container.append(container[key])
        elif choice == 2:
            source, name = places[rng.integers(len(places))]
            with contextlib.suppress(LookupError):
                container[key] = json.loads(json.dumps(source[name]))
        else:
            container[key] = _ODD_VALUES[rng.integers(len(_ODD_VALUES))]
    return json.dumps(data).encode()


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in JSON with every key in it."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in list(items):
        yield data, key
        yield from _places(value)


def _flip_bit(data: bytearray, _: bytes, rng: np.random.Generator) -> bytearray:
    if data:
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return data


def _set_number(data: bytearray, _: bytes, rng: np.random.Generator) -> bytearray:
    """Write a number where a length may be."""
    size = int(rng.choice([1, 2, 4, 8]))
    number = _ODD_NUMBERS[rng.integers(len(_ODD_NUMBERS))] % 256**size
    start = int(rng.integers(max(1, len(data) - size + 1)))
    data[start : start + size] = number.to_bytes(size, str(rng.choice(["little", "big"])))
    return data


def _cut(data: bytearray, _: bytes, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(len(data) + 1))]


def _replace(data: bytearray, _: bytes, rng: np.random.Generator) -> bytearray:
    """Leave a part out, or have it many times."""
    start = int(rng.integers(len(data) + 1))
    end = start + int(rng.integers(1, 65))
    return data[:start] + data[start:end] * int(rng.choice([0, 2, 20])) + data[end:]


def _splice(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(len(data) + 1))] + bytearray(other[int(rng.integers(len(other) + 1)) :])


_MUTATIONS = (_flip_bit, _flip_bit, _set_number, _set_number, _cut, _replace, _splice)


# The readers


def make_readers(folder: Path) -> dict[str, Reader]:
    """All readers by name, each with sound files."""
    return _plain_readers() | _data_set_readers(folder) | _model_readers(folder)


def _plain_readers() -> dict[str, Reader]:
    from hostile_files import animation, picture

    from say_what_you_see.core.files import read_array, read_arrays, read_json
    from say_what_you_see.core.pickles import read_pickle
    from say_what_you_see.evaluation.coco_results import read_coco_results
    from say_what_you_see.language.caption_table import read_annotations
    from say_what_you_see.vision.pictures import crop_and_resize, decode_image_from_buf

    values = {"names": ["a.jpg", "b.jpg"], "array": np.arange(12.0).reshape(3, 4), 3: (1.5, [2, 3], b"x", None)}
    pickles = [pickle.dumps(values, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    table, arrays = io.BytesIO(), io.BytesIO()
    np.save(table, np.arange(12, dtype="float32").reshape(3, 4))
    np.savez(arrays, matrix=np.arange(12).reshape(3, 4), first=np.arange(3))
    results = json.dumps([{"image_id": 42, "caption": "a ball"}, {"image_id": 43, "caption": "a kite"}]).encode()

    def read_picture(path: Path) -> None:
        data = path.read_bytes()
        assert decode_image_from_buf(data).shape[2] == 3
        assert crop_and_resize(data, (8, 8)).shape == (8, 8, 3)

    def read_rows(path: Path) -> None:
        read_array(path).sum()

    pictures = [picture(kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF")]
    pictures += [picture("JPEG", mode="CMYK"), picture("PNG", mode="P"), animation("GIF", 3), animation("WEBP", 3)]
    annotations = b"a.jpg#0\ta ball\na.jpg#1\ta kite\nb.jpg#0\t\xe7\x8b\x97\n"
    return {
        "pickle": Reader(pickles, read_pickle, ".pickle"),
        "JSON": Reader([json.dumps({"a": [1, None, {"b": "c"}]}).encode()], read_json, ".json", True),
        "COCO results": Reader([results], read_coco_results, ".json", True),
        "pictures": Reader(pictures, read_picture, ".png"),
        ".npy": Reader([table.getvalue()], read_rows, ".npy"),
        ".npz": Reader(
            [arrays.getvalue()], lambda path: read_arrays(path, ("matrix", "first")), ".npz", member="matrix.npy"
        ),
        "annotations": Reader([annotations], read_annotations, ".txt"),
    }


def _data_set_readers(folder: Path) -> dict[str, Reader]:
    from hostile_files import picture, write_zip
    from record_samples import write_data_set

    from say_what_you_see.data.archives import open_zip, read_member, sample_zip
    from say_what_you_see.data.coco_format import images_by_name, read_captions
    from say_what_you_see.data.folders import get_folder_dataset
    from say_what_you_see.language.captions import (
        PAD,
        caption_tokens_to_indices,
        generate_vocabulary,
        get_captions_for_fns,
        pack_captions,
    )

    names = [f"{letter}.png" for letter in "abcd"]
    member = "captions_train.json"
    pictures = dict.fromkeys(names, picture(size=(8, 6)))
    own = write_data_set(folder / "own", pictures, pictures)
    three = {path.name: path.read_bytes() for path in own.iterdir()}
    packed = write_zip(folder / "q.zip", {name: picture("BMP", (8, 6)) for name in names}, packed=True).read_bytes()

    def read_caption_zip(path: Path) -> None:
        found = read_captions(path, member)
        assert get_captions_for_fns(list(found), path, member) == list(found.values())  # what the lessons do
        vocab = generate_vocabulary(found.values(), 1)
        if found:
            pack_captions(caption_tokens_to_indices(found.values(), vocab), vocab[PAD])
        json.dumps(found, ensure_ascii=False).encode()

    def read_picture_zip(path: Path) -> None:
        with open_zip(path) as archive:
            for info in images_by_name(path).values():
                read_member(archive, info)
        sample_zip(path, path.with_name("sample.zip"), 0.5)

    def read_folder(name: str, others: dict[str, bytes]) -> Callable[[Path], None]:
        def read(path: Path) -> None:
            source, made = path.parent / "source", path.parent / "made"
            for old in (source, made):
                shutil.rmtree(old, ignore_errors=True)
            source.mkdir()
            for other, content in {**others, name: path.read_bytes()}.items():
                (source / other).write_bytes(content)
            files = get_folder_dataset(source, made, "mine", seed=0)
            for zip_path, member in files.splits:
                get_captions_for_fns(list(images_by_name(zip_path)), files.captions_zip, member)

        return read

    table = "\n".join(["file,caption", *(f'{name},"A ball, {name[0]}"' for name in names)]).encode()
    tokens = "\n".join(f"{name}#0\ta red ball" for name in names).encode()
    return {
        "captions in a zip": Reader([three["captions.zip"]], read_caption_zip, ".zip", is_json=True, member=member),
        "a zip of pictures": Reader([three["train.zip"], packed], read_picture_zip, ".zip"),
        "a folder with captions.csv": Reader([table], read_folder("captions.csv", pictures), ".csv"),
        "a folder with a token file": Reader([tokens], read_folder("mine.token", pictures), ".token"),
        "a folder of zips": Reader([three["captions.zip"]], read_folder("captions.zip", three), ".zip", True, member),
        "a folder of zips, pictures": Reader([three["train.zip"]], read_folder("train.zip", three), ".zip"),
    }


def _model_readers(folder: Path) -> dict[str, Reader]:
    from caption_samples import ENCODER, VOCAB, fit_checksums, tiny_decoder, write_tiny_encoder

    from say_what_you_see.core.backend import keras
    from say_what_you_see.core.settings import read_settings
    from say_what_you_see.serving.model_choice import describe_models
    from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model, save_caption_model
    from say_what_you_see.serving.model_install import install_model, pack_model
    from say_what_you_see.vision.applications import explained_errors
    from say_what_you_see.vision.encoders import load_encoder_file

    encoder = write_tiny_encoder(folder / "encoder.keras")
    model = folder / "model"
    save_caption_model(CaptionModel(tiny_decoder(), VOCAB, ENCODER, {"scores": {"val_loss": 1.5}}), model)
    packed = pack_model(model, folder / "packed.zip")
    small = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    small.save_weights(folder / "small.weights.h5")
    settings = read_settings({"COURSE_DATA": str(folder / "data"), "DATASET": "scenes"})
    parts = {name: (model / name).read_bytes() for name in ("decoder.keras", "vocabulary.json", "model.json")}

    def read_part(part: str) -> Callable[[Path], None]:
        def read(path: Path) -> None:
            copy = path.parent / "model"
            copy.mkdir(exist_ok=True)
            for name, content in {**parts, part: path.read_bytes()}.items():
                (copy / name).write_bytes(content)
            if part != "model.json":  # who changes a part can also change its checksum
                fit_checksums(copy)
            load_caption_model(copy)

        return read

    def install(path: Path) -> None:
        installed = install_model(str(path), settings, "fuzzed")
        try:
            describe_models(settings)
        finally:
            shutil.rmtree(installed)

    def read_weights(path: Path) -> None:
        with explained_errors("tiny", path):
            small.load_weights(path)

    return {
        "encoder.keras, config": Reader([encoder.read_bytes()], load_encoder_file, ".keras", True, "config.json"),
        "encoder.keras, weights": Reader(
            [encoder.read_bytes()], load_encoder_file, ".keras", False, "model.weights.h5"
        ),
        "weights.h5": Reader([(folder / "small.weights.h5").read_bytes()], read_weights, ".weights.h5"),
        "decoder.keras": Reader([parts["decoder.keras"]], read_part("decoder.keras"), ".keras", True, "config.json"),
        "vocabulary.json": Reader([parts["vocabulary.json"]], read_part("vocabulary.json"), ".json", True),
        "model.json": Reader([parts["model.json"]], read_part("model.json"), ".json", True),
        "a model in a zip": Reader([packed.read_bytes()], install, ".zip", True, "packed/model.json"),
    }
