"""The built-in data set is COCO's format, the same bytes every time, and true to the scenes."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scene_samples import scenes_of

import say_what_you_see.data.scenes.dataset
from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.dataset import file_name, write_scene_dataset
from say_what_you_see.data.scenes.drawing import draw_scene
from say_what_you_see.data.scenes.scene import COLOURS, KINDS, RELATIONS, all_relations
from say_what_you_see.data.scenes.truth import read_scene_truths
from say_what_you_see.language.captions import get_captions_for_fns

COUNT = {"train": 12, "val": 10}
SEED = 3


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", "off")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scene_dataset(folder, COUNT["train"], COUNT["val"], SEED)
    return folder


def load(folder: Path, name: str) -> dict:
    with zipfile.ZipFile(folder / "captions_scenes.zip") as archive:
        return json.loads(archive.read(f"annotations/{name}.json"))


def test_the_files_and_their_members(folder):
    assert {path.name for path in folder.iterdir()} == {"train_scenes.zip", "val_scenes.zip", "captions_scenes.zip"}
    for split, count in COUNT.items():
        with zipfile.ZipFile(folder / f"{split}_scenes.zip") as archive:
            assert archive.namelist() == [f"{split}/{file_name(split, index)}" for index in range(count)]
            assert archive.testzip() is None
            assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    with zipfile.ZipFile(folder / "captions_scenes.zip") as archive:
        expected = {f"annotations/{kind}_{split}.json" for kind in ("captions", "instances") for split in COUNT}
        assert set(archive.namelist()) == expected


def test_two_writings_are_equal_byte_for_byte(folder, tmp_path):
    write_scene_dataset(tmp_path, COUNT["train"], COUNT["val"], SEED)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
        with zipfile.ZipFile(path) as archive:
            assert len({info.date_time for info in archive.infolist()}) == 1


def test_another_seed_gives_other_pictures(folder, tmp_path):
    write_scene_dataset(tmp_path, 1, 1, SEED + 1)
    for name in (f"{split}_scenes.zip" for split in COUNT):
        with zipfile.ZipFile(folder / name) as one, zipfile.ZipFile(tmp_path / name) as other:
            assert one.namelist()[:1] == other.namelist()
            assert one.read(one.namelist()[0]) != other.read(one.namelist()[0])


@pytest.mark.parametrize("split", COUNT)
def test_pictures_show_the_scenes(folder, split):
    images = load(folder, f"captions_{split}")["images"]
    with zipfile.ZipFile(folder / f"{split}_scenes.zip") as archive:
        for image, scene in zip(images, scenes_of(split, COUNT[split], SEED), strict=True):
            with Image.open(io.BytesIO(archive.read(f"{split}/{image['file_name']}"))) as picture:
                assert picture.format == "JPEG"
                assert picture.size == scene.image_size == (image["width"], image["height"])
                difference = np.abs(np.asarray(picture).astype(int) - np.asarray(draw_scene(scene)))
            assert difference.mean() < 4, "a JPEG of the scene, hardly altered by compression"


@pytest.mark.parametrize("split", COUNT)
def test_captions_are_in_the_format_of_coco(folder, split):
    data = load(folder, f"captions_{split}")
    scenes = scenes_of(split, COUNT[split], SEED)
    ids = [image["id"] for image in data["images"]]
    assert len(set(ids)) == len(ids) == COUNT[split]
    assert len({annotation["id"] for annotation in data["annotations"]}) == len(data["annotations"])
    assert {annotation["image_id"] for annotation in data["annotations"]} == set(ids)
    fns = [image["file_name"] for image in data["images"]]
    captions = get_captions_for_fns(fns, folder / "captions_scenes.zip", f"annotations/captions_{split}.json")
    assert captions == [describe_scene(scene) for scene in scenes]


def test_no_number_is_used_on_both_sides(folder):
    for kind in ("captions", "instances"):
        for part in ("images", "annotations"):
            train, val = ({entry["id"] for entry in load(folder, f"{kind}_{split}")[part]} for split in COUNT)
            assert not train & val


@pytest.mark.parametrize("split", COUNT)
def test_instances_are_the_things(folder, split):
    data = load(folder, f"instances_{split}")
    assert {category["name"] for category in data["categories"]} == set(KINDS)
    assert (tuple(data["colours"]), tuple(data["predicates"])) == (COLOURS, RELATIONS)
    kinds = {category["id"]: category["name"] for category in data["categories"]}
    for image, scene in zip(data["images"], scenes_of(split, COUNT[split], SEED), strict=True):
        things = [entry for entry in data["annotations"] if entry["image_id"] == image["id"]]
        assert image["place"] == scene.place
        found = [(kinds[entry["category_id"]], entry["colour"], entry["size"]) for entry in things]
        assert found == [(thing.kind, thing.colour, thing.size) for thing in scene.things]
        for entry, thing in zip(things, scene.things, strict=True):
            (left, top, width, height), (crop_left, crop_top) = entry["bbox"], scene.crop_offset
            assert (left - crop_left, top - crop_top, width, height) == thing.box
            assert 0 <= left <= image["width"] - width and 0 <= top <= image["height"] - height
            assert entry["area"] == width * height and isinstance(entry["salient"], bool)


@pytest.mark.parametrize("split", COUNT)
def test_relations_are_all_relations_of_the_scenes(folder, split):
    data = load(folder, f"instances_{split}")
    for image, scene in zip(data["images"], scenes_of(split, COUNT[split], SEED), strict=True):
        things = [entry["id"] for entry in data["annotations"] if entry["image_id"] == image["id"]]
        found = [
            (things.index(entry["subject_id"]), entry["predicate"], things.index(entry["object_id"]))
            for entry in data["relations"]
            if entry["image_id"] == image["id"]
        ]
        assert found == all_relations(scene)
    assert data["relations"]


def test_truths_can_be_read_for_every_picture(folder):
    for split in COUNT:
        truths = read_scene_truths(folder / "captions_scenes.zip", f"annotations/instances_{split}.json")
        assert list(truths) == [file_name(split, index) for index in range(COUNT[split])]
        assert all(truth.salient <= set(truth.colours) for truth in truths.values())
        assert any(truth.salient for truth in truths.values())


@pytest.mark.parametrize("where", ["_encode", "_member"])
def test_an_interruption_ends_drawing_and_leaves_nothing(where, tmp_path, monkeypatch):
    """Whether it comes while a scene is drawn or while one is written."""
    drawn, calls = [], []

    def draw(scene):
        drawn.append(scene)
        time.sleep(0.005)
        return b""

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw(*arguments) if where == "_encode" else real(*arguments)

    real = say_what_you_see.data.scenes.dataset._member
    monkeypatch.setattr(say_what_you_see.data.scenes.dataset, "_encode", draw)
    monkeypatch.setattr(say_what_you_see.data.scenes.dataset, where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_scene_dataset(tmp_path, 300, 1)
    assert list(tmp_path.iterdir()) == []
    assert len(drawn) < 150, "the scenes that were not begun yet are not drawn"
