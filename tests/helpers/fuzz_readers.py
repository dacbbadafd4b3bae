"""The readers of the course with sound files for each, and damage to do to those files."""

from __future__ import annotations

import contextlib
import hashlib
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
    kinds = (_data_set_readers, _state_readers, _model_readers, _record_readers)
    return _plain_readers() | {name: reader for kind in kinds for name, reader in kind(folder).items()}


def _plain_readers() -> dict[str, Reader]:
    from hostile_files import animation, picture

    from say_what_you_see.core.files import read_array, read_arrays, read_json
    from say_what_you_see.core.pickles import read_pickle
    from say_what_you_see.evaluation.coco_results import read_coco_results
    from say_what_you_see.evaluation.scale import RESULTS_FILE, read_evaluations
    from say_what_you_see.language.caption_table import read_annotations
    from say_what_you_see.vision.pictures import crop_and_resize, decode_image_from_buf

    values = {"names": ["a.jpg", "b.jpg"], "array": np.arange(12.0).reshape(3, 4), 3: (1.5, [2, 3], b"x", None)}
    pickles = [pickle.dumps(values, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    table, arrays = io.BytesIO(), io.BytesIO()
    np.save(table, np.arange(12, dtype="float32").reshape(3, 4))
    np.savez(arrays, matrix=np.arange(12).reshape(3, 4), first=np.arange(3))
    results = json.dumps([{"image_id": 42, "caption": "a ball"}, {"image_id": 43, "caption": "a kite"}]).encode()
    evaluations = [{"step": 5, "checkpoint": "0" * 64, "loss": 2.5, "perplexity": 12.2, "words": 9, "seconds": 1.0}]

    def read_picture(path: Path) -> None:
        data = path.read_bytes()
        assert decode_image_from_buf(data).shape[2] == 3
        assert crop_and_resize(data, (8, 8)).shape == (8, 8, 3)

    def read_rows(path: Path) -> None:
        read_array(path).sum()

    def read_results_of_scale(path: Path) -> None:
        shutil.copyfile(path, path.parent / RESULTS_FILE)
        read_evaluations(path.parent)

    pictures = [picture(kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF")]
    pictures += [picture("JPEG", mode="CMYK"), picture("PNG", mode="P"), animation("GIF", 3), animation("WEBP", 3)]
    annotations = b"a.jpg#0\ta ball\na.jpg#1\ta kite\nb.jpg#0\t\xe7\x8b\x97\n"
    return {
        "pickle": Reader(pickles, read_pickle, ".pickle"),
        "JSON": Reader([json.dumps({"a": [1, None, {"b": "c"}]}).encode()], read_json, ".json", True),
        "COCO results": Reader([results], read_coco_results, ".json", True),
        "evaluations at scale": Reader([json.dumps(evaluations).encode()], read_results_of_scale, ".json", True),
        "pictures": Reader(pictures, read_picture, ".png"),
        ".npy": Reader([table.getvalue()], read_rows, ".npy"),
        ".npz": Reader(
            [arrays.getvalue()], lambda path: read_arrays(path, ("matrix", "first")), ".npz", member="matrix.npy"
        ),
        "annotations": Reader([annotations], read_annotations, ".txt"),
    }


def _data_set_readers(folder: Path) -> dict[str, Reader]:
    from hostile_files import captions_json, picture, write_zip

    from say_what_you_see.data.archives import open_zip, read_member, sample_zip
    from say_what_you_see.data.coco_format import images_by_name, read_captions
    from say_what_you_see.data.folders import get_folder_dataset
    from say_what_you_see.data.karpathy import read_split
    from say_what_you_see.language.captions import (
        PAD,
        caption_tokens_to_indices,
        generate_vocabulary,
        get_captions_for_fns,
        pack_captions,
    )

    names = [f"{letter}.png" for letter in "abcd"]
    captions = {name: ["a red ball", "A ball, and a kite."] for name in names}
    member = "captions_train.json"
    split = {"images": [
        {"filename": name, "split": side, "imgid": i, "cocoid": i + 5, "sentences": [{"raw": "a ball"}]}
        for i, (name, side) in enumerate(zip(names, ("train", "restval", "val", "test"), strict=True))
    ]}  # fmt: skip
    zips = {
        "captions": write_zip(folder / "c.zip", {member: json.dumps(captions_json(captions)), "captions_val.json":
                              json.dumps(captions_json(captions))}, packed=True),
        "pictures": write_zip(folder / "p.zip", {f"train/{name}": picture(size=(8, 6)) for name in names}),
        "packed": write_zip(folder / "q.zip", {name: picture("BMP", (8, 6)) for name in names}, packed=True),
        "split": write_zip(folder / "s.zip", {"dataset_coco.json": json.dumps(split)}),
    }  # fmt: skip
    sound = {name: path.read_bytes() for name, path in zips.items()}

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

    pictures = dict.fromkeys(names, picture(size=(8, 6)))
    three = {"train.zip": sound["pictures"], "val.zip": sound["pictures"], "captions.zip": sound["captions"]}
    table = "\n".join(["file,caption", *(f'{name},"A ball, {name[0]}"' for name in names)]).encode()
    tokens = "\n".join(f"{name}#0\ta red ball" for name in names).encode()
    return {
        "captions in a zip": Reader([sound["captions"]], read_caption_zip, ".zip", is_json=True, member=member),
        "a zip of pictures": Reader([sound["pictures"], sound["packed"]], read_picture_zip, ".zip"),
        "a folder with captions.csv": Reader([table], read_folder("captions.csv", pictures), ".csv"),
        "a folder with a token file": Reader([tokens], read_folder("mine.token", pictures), ".token"),
        "a folder of zips": Reader([sound["captions"]], read_folder("captions.zip", three), ".zip", True, member),
        "a folder of zips, pictures": Reader([sound["pictures"]], read_folder("train.zip", three), ".zip"),
        "Karpathy's split": Reader(
            [sound["split"]], lambda path: read_split(path, "coco"), ".zip", True, "dataset_coco.json"
        ),
    }


def _state_readers(folder: Path) -> dict[str, Reader]:
    """What the course notes for itself: how far it got, and what it has checked."""
    from hostile_files import picture, write_zip

    from say_what_you_see.data.archives import image_members
    from say_what_you_see.data.checksums import RECORD, verify
    from say_what_you_see.data.partial_file import PartialFile
    from say_what_you_see.data.scenes.captions import describe_scene
    from say_what_you_see.data.scenes.dataset import instances_json
    from say_what_you_see.data.scenes.scene import invent_scene
    from say_what_you_see.data.scenes.truth import read_scene_truths
    from say_what_you_see.evaluation.scene_scores import count_claims
    from say_what_you_see.training.checkpoints import prepare_checkpoint_folder, read_history
    from say_what_you_see.vision.embedding_table import EmbeddingTable, ImageBatch

    scenes = [invent_scene("val", number) for number in range(3)]
    instances = instances_json("val", scenes, [describe_scene(scene) for scene in scenes])
    truths = write_zip(folder / "t.zip", {"instances.json": json.dumps(instances)}).read_bytes()
    pictures = write_zip(folder / "e.zip", {f"{letter}.png": picture(size=(8, 6)) for letter in "abcd"})
    extraction = {"made_from": {"zip": "e.zip"}, "engine": "keras", "members_done": 3, "skipped": {"b.png": "damaged"}}
    history = [{"epoch": epoch, "loss": 2.5, "val_loss": 2.0, "val_accuracy": 0.5, "seconds": 1.0} for epoch in (1, 2)]
    note = {"url": "http://127.0.0.1/a.zip", "size": 40, "etag": '"x"', "last_modified": None}

    def read_truths(path: Path) -> None:
        for truth in read_scene_truths(path, "instances.json").values():
            count_claims("a red ball above a large blue house", truth)

    def go_on_embedding(path: Path) -> None:
        shutil.copyfile(path, path.parent / "store.json")
        np.save(path.parent / "store.partial.npy", np.zeros((4, 2), "float32"))
        store, made_from = path.parent / "store.npy", extraction["made_from"]
        table = EmbeddingTable(pictures, image_members(pictures), (2,), store=store, made_from=made_from)
        n_left = len(table.members) - table.members_done
        table.add(ImageBatch(np.empty(0), n_left, {}), np.zeros((n_left, 2)))
        table.finish()

    def go_on_training(path: Path) -> None:
        shutil.copyfile(path, path.parent / "training.json")
        prepare_checkpoint_folder(path.parent, "0" * 64)

    def recall(path: Path) -> None:
        shutil.copyfile(path, path.parent / RECORD)
        known = path.with_name("a.zip")
        known.write_bytes(b"abc")
        verify(known, None)

    def go_on_downloading(path: Path) -> None:
        target = path.with_name("a.zip")
        shutil.copyfile(path, target.with_name("a.zip.part.json"))
        target.with_name("a.zip.part").write_bytes(bytes(30))
        PartialFile(target)

    downloads = {"a.zip": {"bytes": 3, "changed": 1, "checksum": f"sha256:{hashlib.sha256(b'abc').hexdigest()}"}}
    return {
        "scene instances": Reader([truths], read_truths, ".zip", is_json=True, member="instances.json"),
        "record of an extraction": Reader([json.dumps(extraction).encode()], go_on_embedding, ".json", is_json=True),
        "history.json": Reader([json.dumps(history).encode()], read_history, ".json", is_json=True),
        "training.json": Reader([json.dumps({"fingerprint": "0" * 64}).encode()], go_on_training, ".json", True),
        "downloads.json": Reader(
            [json.dumps(downloads | {"b.zip": {}}).encode(), b"{}"], recall, ".json", is_json=True
        ),
        "note of a download": Reader([json.dumps(note).encode()], go_on_downloading, ".json", is_json=True),
    }


def _model_readers(folder: Path) -> dict[str, Reader]:
    from caption_samples import VOCAB, tiny_decoder, write_tiny_encoder
    from hostile_files import picture

    from say_what_you_see.core.backend import keras
    from say_what_you_see.core.files import sha256_of, write_json
    from say_what_you_see.core.settings import read_settings
    from say_what_you_see.models.architectures import step_model_of
    from say_what_you_see.page.demo import Demo, ExamplePicture
    from say_what_you_see.page.steps import DemoModel
    from say_what_you_see.serving.captioner import Captioner
    from say_what_you_see.serving.model_choice import describe_models
    from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model, save_caption_model
    from say_what_you_see.serving.model_install import install_model, pack_model
    from say_what_you_see.training.scale.folder import CNN_FILE, CONFIG_FILE, read_cnn, read_config
    from say_what_you_see.vision.applications import explained_errors
    from say_what_you_see.vision.encoders import EncoderInfo, load_encoder_file

    encoder = write_tiny_encoder(folder / "encoder.keras")
    facts = {"name": "tiny", "weights": "random", "weights_checksum": "0" * 64, "input_shape": [24, 24],
             "pictures_kind": "scenes", "encoder_setting": "tiny.keras"}  # fmt: skip
    model = folder / "model"
    save_caption_model(CaptionModel(tiny_decoder(), VOCAB, facts, {"scores": {"val_loss": 1.5}}), model)
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
                known = json.loads(parts["model.json"])
                known["checksums"][part] = sha256_of(copy / part)
                write_json(known, copy / "model.json")
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

    def read_scale(name: str, read_it: Callable[[Path], Any]) -> Callable[[Path], None]:
        def read(path: Path) -> None:
            shutil.copyfile(path, path.parent / name)
            read_it(path.parent)

        return read

    config = {"format": 1, "model": {"vocabulary_size": 9, "vocabulary_sha256": "0" * 64, "side": 24}}
    cnn, shape = load_encoder_file(encoder)
    info = EncoderInfo(cnn, lambda pixels: pixels.astype("float32"), shape, "tiny", "random", "0" * 64)
    captioner = Captioner(info, step_model_of(tiny_decoder(features=8)), VOCAB)
    demo = Demo([DemoModel("The model", captioner)], [ExamplePicture("one", picture())])
    request = {
        "picture": "example-0",
        "model": "The model",
        "method": "greedy",
        "beams": 3,
        "temperature": 1.0,
        "seed": 1,
    }
    other = request | {"method": "sample", "temperature": 0.5}
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
        "config at scale": Reader([json.dumps(config).encode()], read_scale(CONFIG_FILE, read_config), ".json", True),
        "CNN at scale": Reader([small.to_json().encode()], read_scale(CNN_FILE, read_cnn), ".json", True),
        "requests of the page": Reader(
            [json.dumps(request).encode(), json.dumps(other).encode()],
            lambda path: _ask(demo, path),
            ".json",
            is_json=True,
        ),
    }


def _ask(demo: Any, path: Path) -> None:
    """What the server does with a request."""
    from say_what_you_see.core.errors import CourseError
    from say_what_you_see.core.files import read_json

    request = read_json(path)
    if not isinstance(request, dict):
        raise CourseError("That is no JSON object.")
    json.dumps(demo.answer("caption", request))


def _record_readers(folder: Path) -> dict[str, Reader]:
    from hostile_files import picture

    from say_what_you_see.core.backend import suppress_stderr
    from say_what_you_see.core.errors import CourseError
    from say_what_you_see.training.scale.record_input import batches, find_damaged_shard
    from say_what_you_see.training.scale.record_vocabulary import read_word_counts
    from say_what_you_see.training.scale.records import SUMMARY_FILE, read_records, sequence_example

    with suppress_stderr():
        import tensorflow as tf

    shard = folder / "shard"
    examples = [sequence_example(picture("JPEG"), number, ["<S>", "a", "</S>"], [0, 2, 1]) for number in range(3)]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in examples:
            writer.write(example)

    def read_shard(path: Path) -> None:
        records = path.parent / "records"
        records.mkdir(exist_ok=True)
        shutil.copyfile(path, records / "val-00000-of-00001")
        try:
            for _ in batches(records, "val", 2, 16):
                pass
        except tf.errors.OpError as error:  # what a training makes of it
            if find_damaged_shard([records / "val-00000-of-00001"]):
                raise CourseError("the shard is damaged") from error
            raise CourseError("the shard holds other records") from error

    def read_example(path: Path) -> None:
        packed = path.with_name("packed")
        with tf.io.TFRecordWriter(str(packed)) as writer:  # with checksums that fit
            writer.write(examples[0])
            writer.write(path.read_bytes())
        read_shard(packed)

    def read_facts(path: Path) -> None:
        shutil.copyfile(path, path.parent / SUMMARY_FILE)
        (path.parent / "word_counts.txt").write_bytes(words)
        read_records(path.parent).show()

    words = b"<S> 5\n</S> 5\na 4\nball 3\n"
    counts = {"train": 2, "val": 1, "test": 0}
    facts = {"examples": counts, "pictures": counts, "skipped": {"a.zip/b.jpg": "damaged"}, "made_from":
             {"shards": counts}, "word_counts_sha256": hashlib.sha256(words).hexdigest(), "done": {}}  # fmt: skip
    return {
        "TFRecords": Reader([shard.read_bytes()], read_shard, ".tfrecord"),
        "an example of a TFRecord": Reader(examples, read_example, ".example"),
        "records.json": Reader([json.dumps(facts).encode()], read_facts, ".json", is_json=True),
        "word_counts.txt": Reader([words], read_word_counts, ".txt"),
    }
