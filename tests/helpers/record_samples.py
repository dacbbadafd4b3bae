"""A small data set of the user's own, as zips in COCO's format, for tests of records."""

import json
from collections.abc import Mapping
from pathlib import Path

import hostile_files
from hostile_files import captions_json, write_zip

from say_what_you_see.core.settings import Settings, read_settings


def picture(number: int, size: tuple[int, int] = (60, 44), kind: str = "JPEG", mode: str = "RGB", **options) -> bytes:
    """A picture of good quality."""
    return hostile_files.picture(kind, size, mode, number, **({"quality": 90} if kind == "JPEG" else {}), **options)


def write_data_set(folder: Path, train: Mapping[str, bytes], val: Mapping[str, bytes], captions=None) -> Path:
    """Write pictures by name as a data set; every picture gets two captions unless `captions` has others for it."""
    folder.mkdir(parents=True, exist_ok=True)
    members = {}
    for side, first_id, pictures in (("train", 100, train), ("val", 9000, val)):
        write_zip(folder / f"{side}.zip", {f"{side}/{name}": data for name, data in pictures.items()})
        described = {name: (captions or {}).get(name) or default_captions(name) for name in pictures}
        members[f"captions_{side}.json"] = json.dumps(captions_json(described, first_id))
    write_zip(folder / "captions.zip", members)
    return folder


def default_captions(name: str) -> list[str]:
    stem = name.partition(".")[0]
    return [f"A picture called {stem}.", f"This is {stem}, and a picture of some colours"]


def settings_for(folder: Path, data: Path, seed: int = 0) -> Settings:
    return read_settings({"DATASET": str(folder), "COURSE_DATA": str(data), "COURSE_SEED": str(seed)})
