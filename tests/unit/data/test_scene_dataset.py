"""The built-in data set is COCO's format, the same bytes every time, and true to the scenes."""

import io
import json
import zipfile
from itertools import chain, repeat
from pathlib import Path
from unittest.mock import DEFAULT, Mock

import numpy as np
import pytest
from PIL import Image
from scene_samples import scenes_of

from say_what_you_see.data.coco_format import read_captions
from say_what_you_see.data.scenes import dataset
from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.dataset import file_name, write_scene_dataset
from say_what_you_see.data.scenes.drawing import draw_scene

COUNT = {"train": 12, "val": 10, "test": 11}
SEED = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scene_dataset(folder, COUNT, SEED)
    return folder


def load(folder: Path, name: str) -> dict:
    with zipfile.ZipFile(folder / "captions_scenes.zip") as archive:
        return json.loads(archive.read(f"annotations/{name}.json"))


def test_two_writings_are_equal_byte_for_byte_and_another_seed_differs(folder, tmp_path):
    write_scene_dataset(tmp_path / "same", COUNT, SEED)
    write_scene_dataset(tmp_path / "other", COUNT, SEED + 1)
    names = [path.name for path in folder.iterdir()]
    assert sorted(names) == ["captions_scenes.zip", "test_scenes.zip", "train_scenes.zip", "val_scenes.zip"]
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "same" / name).read_bytes()
        assert (folder / name).read_bytes() != (tmp_path / "other" / name).read_bytes()
        with zipfile.ZipFile(folder / name) as archive:
            assert len({info.date_time for info in archive.infolist()}) == 1


@pytest.mark.parametrize("split", COUNT)
def test_pictures_show_the_scenes(folder, split):
    images = load(folder, f"captions_{split}")["images"]
    with zipfile.ZipFile(folder / f"{split}_scenes.zip") as archive:
        assert archive.namelist() == [f"{split}/{file_name(split, index)}" for index in range(COUNT[split])]
        for image, scene in zip(images, scenes_of(split, COUNT[split], SEED), strict=True):
            with Image.open(io.BytesIO(archive.read(f"{split}/{image['file_name']}"))) as picture:
                assert picture.format == "JPEG"
                assert picture.size == scene.image_size == (image["width"], image["height"])
                difference = np.abs(np.asarray(picture).astype(int) - np.asarray(draw_scene(scene)))
            assert difference.mean() < 4, "a JPEG of the scene, hardly altered by compression"


def test_captions_are_in_the_format_of_coco_and_no_id_occurs_twice(folder):
    for split, count in COUNT.items():
        scenes = scenes_of(split, count, SEED)
        captions = read_captions(folder / "captions_scenes.zip", f"annotations/captions_{split}.json")
        assert captions == {file_name(split, i): describe_scene(scene) for i, scene in enumerate(scenes)}
    for kind in ("captions", "instances"):
        for part in ("images", "annotations"):
            ids = [entry["id"] for split in COUNT for entry in load(folder, f"{kind}_{split}")[part]]
            assert len(set(ids)) == len(ids)


def test_an_interruption_ends_drawing_and_leaves_nothing(tmp_path, monkeypatch):
    effects = chain([DEFAULT, DEFAULT, KeyboardInterrupt], repeat(DEFAULT))  # other threads draw on for a moment
    draw = Mock(wraps=draw_scene, side_effect=effects)
    monkeypatch.setattr(dataset, "draw_scene", draw)
    with pytest.raises(KeyboardInterrupt):
        write_scene_dataset(tmp_path, {"train": 300, "val": 1, "test": 1})
    assert list(tmp_path.iterdir()) == []
    assert draw.call_count < 150, "the scenes that were not begun yet are not drawn"
