"""Writes drawn scenes as a data set in COCO's format: three zips of JPEGs and a zip of JSON."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from say_what_you_see.core.files import atomic_path, make_folder
from say_what_you_see.core.prefetch import prefetch
from say_what_you_see.core.progress import progress
from say_what_you_see.data.coco_format import DatasetFiles, build_if_stale, captions_json
from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.drawing import draw_scene
from say_what_you_see.data.scenes.scene import COLOURS, KINDS, RELATIONS, Scene, all_relations, invent_scene

LICENCE = "drawn by this course; CC BY 4.0"
_INFO = {"description": "Drawn scenes of Say What You See", "licence": LICENCE}
_DATE = (2020, 1, 1, 0, 0, 0)  # a fixed date in the zips, so that the same scenes give the same bytes
_JPEG_QUALITY = 92
_FIRST_ID = {"train": 1, "val": 1_000_001, "test": 2_000_001}
_IDS_PER_IMAGE = 10
_SALIENT_MENTIONS = 3


def get_scenes(folder: Path, counts: Mapping[str, int], seed: int = 0) -> DatasetFiles:
    """Get the drawn scenes ready in a folder; those drawn from the same counts, seed and colours are used again.

    Args:
        counts: how many to draw for "train", "val" and "test", in this order.
    """
    files = replace(
        DatasetFiles.in_folder(folder, "scenes", "drawn by this course", LICENCE, with_test=True),
        train_instances="annotations/instances_train.json",
        val_instances="annotations/instances_val.json",
        test_instances="annotations/instances_test.json",
    )
    inputs = {"scenes": list(counts.values()), "seed": seed, "colours": list(COLOURS)}
    build_if_stale(folder, inputs, files.zips, lambda: write_scene_dataset(folder, counts, seed))
    return files


def write_scene_dataset(folder: Path, counts: Mapping[str, int], seed: int = 0) -> None:
    """Write train_scenes.zip, val_scenes.zip, test_scenes.zip and captions_scenes.zip into a folder.

    The zip of captions holds `annotations/captions_*.json` and `annotations/instances_*.json`. Beyond COCO's fields,
    the instances have colour, size, whether at least three of the five captions mention the thing (`salient`), and the
    relations between things. Boxes are in pixels of the whole picture.
    """
    make_folder(folder)
    members: dict[str, dict] = {}
    for split, count in counts.items():
        scenes = [invent_scene(split, index, seed) for index in range(count)]
        _write_pictures(folder / f"{split}_scenes.zip", split, scenes)
        captions = [describe_scene(scene) for scene in scenes]
        shown = instances_json(split, scenes, captions)
        captions_of = {image["file_name"]: group for image, group in zip(shown["images"], captions, strict=True)}
        said = captions_json(shown["images"], captions_of, ids_per_image=_IDS_PER_IMAGE)
        members |= {
            f"annotations/captions_{split}.json": {"info": _INFO, **said},
            f"annotations/instances_{split}.json": shown,
        }
    with atomic_path(folder / "captions_scenes.zip") as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), json.dumps(content), zipfile.ZIP_DEFLATED)


def file_name(split: str, index: int) -> str:
    """The file name of a scene's picture."""
    return f"scene_{split}_{index:06d}.jpg"


def _encode(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    draw_scene(scene).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _write_pictures(path: Path, split: str, scenes: list[Scene]) -> None:
    """Draw all scenes of a split into a zip, several at a time."""
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        pictures = progress(prefetch(_encode, scenes), total=len(scenes), description=f"draw {split}", unit="scene")
        for index, picture in enumerate(pictures):
            archive.writestr(zipfile.ZipInfo(f"{split}/{file_name(split, index)}", _DATE), picture)


def instances_json(split: str, scenes: list[Scene], captions: list[list[str]]) -> dict:
    """What was drawn, in COCO's format with colours, sizes, salience and relations."""
    images, annotations, relations = [], [], []
    for index, (scene, group) in enumerate(zip(scenes, captions, strict=True)):
        image_id, (width, height) = _FIRST_ID[split] + index, scene.image_size
        identity = {"id": image_id, "file_name": file_name(split, index)}
        images.append(identity | {"width": width, "height": height, "place": scene.place})
        first_id = image_id * _IDS_PER_IMAGE
        mentioned = [{mention.kind for mention in read_claims(caption).mentions} for caption in group]
        for number, thing in enumerate(scene.things):
            salient = sum(thing.kind in kinds for kinds in mentioned) >= _SALIENT_MENTIONS
            annotations.append(_thing_entry(image_id, number, scene) | {"salient": salient})
        for subject, predicate, other in all_relations(scene):
            ends = {"subject_id": first_id + subject, "object_id": first_id + other}
            relations.append({"image_id": image_id, "predicate": predicate, **ends})
    categories = [{"id": number, "name": kind} for number, kind in enumerate(KINDS, 1)]
    extras = {"colours": list(COLOURS), "predicates": list(RELATIONS)}
    return {"info": _INFO, "images": images, "annotations": annotations, "categories": categories,
            "relations": relations, **extras}  # fmt: skip


def _thing_entry(image_id: int, number: int, scene: Scene) -> dict:
    """A thing as an annotation, its box moved from the centre crop to the whole picture."""
    thing = scene.things[number]
    left, top, width, height = thing.box
    offset_x, offset_y = scene.crop_offset
    return {
        "id": image_id * _IDS_PER_IMAGE + number, "image_id": image_id, "category_id": KINDS.index(thing.kind) + 1,
        "bbox": [left + offset_x, top + offset_y, width, height], "area": width * height, "iscrowd": 0,
        "colour": thing.colour, "size": thing.size,
    }  # fmt: skip
