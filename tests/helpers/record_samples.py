"""A small data set of the user's own, as zips in COCO's format, for tests of records."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from say_what_you_see.core.settings import Settings, read_settings


def picture(number: int, size: tuple[int, int] = (60, 44), kind: str = "JPEG", mode: str = "RGB", **options) -> bytes:
    """A smooth picture, another one for every number."""
    coarse = np.random.default_rng(number).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}), **options)
    return buffer.getvalue()


def write_data_set(folder: Path, train: Mapping[str, bytes], val: Mapping[str, bytes], captions=None) -> Path:
    """Write pictures by name as a data set; every picture gets two captions unless `captions` has others for it."""
    folder.mkdir(parents=True, exist_ok=True)
    members = {}
    for side, first_id, pictures in (("train", 100, train), ("val", 9000, val)):
        with zipfile.ZipFile(folder / f"{side}.zip", "w") as archive:
            for name, data in pictures.items():
                archive.writestr(f"{side}/{name}", data)
        members[f"captions_{side}.json"] = coco_json(list(pictures), first_id, captions or {})
    with zipfile.ZipFile(folder / "captions.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, json.dumps(data))
    return folder


def coco_json(names: Sequence[str], first_id: int, captions: Mapping[str, list[str]]) -> dict:
    images = [{"id": first_id + 3 * index, "file_name": name} for index, name in enumerate(names)]
    annotations = [
        {"id": image["id"] * 10 + number, "image_id": image["id"], "caption": caption}
        for image in images
        for number, caption in enumerate(captions.get(image["file_name"], default_captions(image["file_name"])))
    ]
    return {"images": images, "annotations": annotations}


def default_captions(name: str) -> list[str]:
    stem = name.partition(".")[0]
    return [f"A picture called {stem}.", f"This is {stem}, and a picture of some colours"]


def settings_for(folder: Path, data: Path, seed: int = 0) -> Settings:
    return read_settings({"DATASET": str(folder), "COURSE_DATA": str(data), "COURSE_SEED": str(seed)})


def small_scenes(data: Path) -> Settings:
    return read_settings({"COURSE_SIZE": "small", "COURSE_DATA": str(data)})
