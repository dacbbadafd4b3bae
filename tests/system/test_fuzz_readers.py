"""Every reader of the course gets damaged files: it may read them or refuse them with a CourseError, and no more.

`FUZZ_ROUNDS=1000 python -m pytest tests/system/test_fuzz_readers.py` tries more of them; `FUZZ_SEED` others.
"""

import io
import json
import os
import pickle
import shutil
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from caption_samples import ENCODER, VOCAB, fit_checksums, tiny_decoder, write_tiny_encoder
from cluster_samples import write_folder
from damage import damaged
from hostile_files import animation, picture, write_zip
from record_samples import write_data_set

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_array, read_arrays, read_json
from say_what_you_see.core.pickles import read_pickle
from say_what_you_see.core.settings import read_settings
from say_what_you_see.core.text import visible
from say_what_you_see.data.archives import open_zip, read_member, sample_zip
from say_what_you_see.data.coco_format import images_by_name, read_captions
from say_what_you_see.data.folders import get_folder_dataset
from say_what_you_see.evaluation.coco_results import read_coco_results
from say_what_you_see.language import captions as language
from say_what_you_see.language.caption_table import read_annotations
from say_what_you_see.serving.model_choice import describe_models
from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model, save_caption_model
from say_what_you_see.serving.model_install import install_model, pack_model
from say_what_you_see.vision.applications import explained_errors
from say_what_you_see.vision.encoders import load_encoder_file
from say_what_you_see.vision.pictures import crop_and_resize, decode_image_from_buf

ROUNDS, SEED = int(os.environ.get("FUZZ_ROUNDS", "12")), int(os.environ.get("FUZZ_SEED", "0"))


class Reader(NamedTuple):
    """One reader of files, and sound files to damage; for the rest see `damaged`."""

    seeds: list[bytes]
    read: Callable[[Path], Any]
    suffix: str
    is_json: bool = False
    member: str = ""


def plain_readers() -> dict[str, Reader]:
    values = {"names": ["a.jpg", "b.jpg"], "array": np.arange(12.0).reshape(3, 4), 3: (1.5, [2, 3], b"x", None)}
    pickles = [pickle.dumps(values, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    table, arrays = io.BytesIO(), io.BytesIO()
    np.save(table, np.arange(12, dtype="float32").reshape(3, 4))
    np.savez(arrays, matrix=np.arange(12).reshape(3, 4), first=np.arange(3))
    read_both = partial(read_arrays, names=["matrix", "first"])
    results = json.dumps([{"image_id": 42, "caption": "a ball"}, {"image_id": 43, "caption": "a kite"}]).encode()

    def read_picture(path: Path) -> None:
        data = path.read_bytes()
        assert decode_image_from_buf(data).shape[2] == 3
        assert crop_and_resize(data, (8, 8)).shape == (8, 8, 3)

    pictures = [picture(kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF")]
    pictures += [picture("JPEG", mode="CMYK"), picture("PNG", mode="P"), animation("GIF", 3), animation("WEBP", 3)]
    annotations = b"a.jpg#0\ta ball\na.jpg#1\ta kite\nb.jpg#0\t\xe7\x8b\x97\n"
    return {
        "pickle": Reader(pickles, read_pickle, ".pickle"),
        "JSON": Reader([json.dumps({"a": [1, None, {"b": "c"}]}).encode()], read_json, ".json", True),
        "COCO results": Reader([results], read_coco_results, ".json", True),
        "pictures": Reader(pictures, read_picture, ".png"),
        ".npy": Reader([table.getvalue()], lambda path: read_array(path).sum(), ".npy"),
        ".npz": Reader([arrays.getvalue()], read_both, ".npz", member="matrix.npy"),
        "annotations": Reader([annotations], read_annotations, ".txt"),
    }


def data_set_readers(folder: Path) -> dict[str, Reader]:
    names, member = [f"{letter}.png" for letter in "abcd"], "captions_train.json"
    pictures = dict.fromkeys(names, picture(size=(8, 6)))
    three = {path.name: path.read_bytes() for path in write_data_set(folder / "own", pictures, pictures).iterdir()}
    packed = write_zip(folder / "q.zip", {name: picture("BMP", (8, 6)) for name in names}, packed=True).read_bytes()

    def read_caption_zip(path: Path) -> None:
        found = read_captions(path, member)
        assert language.get_captions_for_fns(list(found), path, member) == list(found.values())  # what the lessons do
        vocab = language.generate_vocabulary(found.values(), 1)
        if found:
            indexed = language.caption_tokens_to_indices(found.values(), vocab)
            language.pack_captions(indexed, vocab[language.PAD])
        json.dumps(found, ensure_ascii=False).encode()

    def read_picture_zip(path: Path) -> None:
        with open_zip(path) as archive:
            for info in images_by_name(path).values():
                read_member(archive, info)
        sample_zip(path, path.with_name("sample.zip"), 0.5)

    def read_folder(name: str, others: dict[str, bytes]) -> Callable[[Path], None]:
        def read(path: Path) -> None:
            source = path.parent / "source"
            write_folder(source, (others | {name: path.read_bytes()}).items())
            files = get_folder_dataset(source, path.parent / "made", seed=0)
            for zip_path, member in files.splits:
                language.get_captions_for_fns(list(images_by_name(zip_path)), files.captions_zip, member)

        return read

    table = "\n".join(["file,caption", *(f'{name},"A ball, {name[0]}"' for name in names)]).encode()
    tokens = "\n".join(f"{name}#0\ta red ball" for name in names).encode()
    return {
        "captions in a zip": Reader([three["captions.zip"]], read_caption_zip, ".zip", True, member),
        "a zip of pictures": Reader([three["train.zip"], packed], read_picture_zip, ".zip"),
        "a folder with captions.csv": Reader([table], read_folder("captions.csv", pictures), ".csv"),
        "a folder with a token file": Reader([tokens], read_folder("mine.token", pictures), ".token"),
        "a folder of zips": Reader([three["captions.zip"]], read_folder("captions.zip", three), ".zip", True, member),
        "a folder of zips, pictures": Reader([three["train.zip"]], read_folder("train.zip", three), ".zip"),
    }


def model_readers(folder: Path) -> dict[str, Reader]:
    encoder, model = write_tiny_encoder(folder / "encoder.keras").read_bytes(), folder / "model"
    save_caption_model(CaptionModel(tiny_decoder(), VOCAB, ENCODER, {"scores": {"val_loss": 1.5}}), model)
    packed = pack_model(model, folder / "packed.zip")
    small = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    small.save_weights(folder / "small.weights.h5")
    settings = read_settings({"COURSE_DATA": str(folder / "data"), "DATASET": "scenes"})
    parts = {name: (model / name).read_bytes() for name in ("decoder.keras", "vocabulary.json", "model.json")}

    def read_part(part: str) -> Callable[[Path], None]:
        def read(path: Path) -> None:
            copy = path.parent / "model"
            write_folder(copy, (parts | {part: path.read_bytes()}).items())
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
        "encoder.keras, config": Reader([encoder], load_encoder_file, ".keras", True, "config.json"),
        "encoder.keras, weights": Reader([encoder], load_encoder_file, ".keras", False, "model.weights.h5"),
        "weights.h5": Reader([(folder / "small.weights.h5").read_bytes()], read_weights, ".weights.h5"),
        "decoder.keras": Reader([parts["decoder.keras"]], read_part("decoder.keras"), ".keras", True, "config.json"),
        "vocabulary.json": Reader([parts["vocabulary.json"]], read_part("vocabulary.json"), ".json", True),
        "model.json": Reader([parts["model.json"]], read_part("model.json"), ".json", True),
        "a model in a zip": Reader([packed.read_bytes()], install, ".zip", True, "packed/model.json"),
    }


@pytest.fixture(scope="module")
def readers(tmp_path_factory) -> dict[str, Reader]:
    """All readers by name."""
    folder = tmp_path_factory.mktemp("sound")
    return plain_readers() | data_set_readers(folder) | model_readers(folder)


def read(reader: Reader, data: bytes, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / f"input{reader.suffix}"
    path.write_bytes(data)
    reader.read(path)


def test_sound_files_are_read_and_damaged_ones_read_or_refused(readers, tmp_path):
    for reader in readers.values():
        for seed in reader.seeds:
            read(reader, seed, tmp_path / "sound")
    findings, counts = [], Counter()
    for number in range(ROUNDS):
        for name, reader in readers.items():
            data = damaged(reader.seeds, Random(f"{SEED} {number} {name}"), reader.is_json, reader.member)
            try:
                read(reader, data, tmp_path / "damaged")
                counts["read"] += 1
            except CourseError as error:
                counts["refused"] += 1
                assert visible(str(error)) == str(error), name
            except Exception:
                kept = tmp_path / f"finding_{len(findings)}{reader.suffix}"
                kept.write_bytes(data)
                findings.append(f"{name}, round {number}, {kept}:\n{traceback.format_exc(limit=-6)}")
    assert not findings, "\n\n".join(findings)
    assert min(counts["read"], counts["refused"]) > 20
