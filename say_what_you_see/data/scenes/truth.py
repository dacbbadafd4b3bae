"""What each drawn scene shows, according to its data set's instances JSON."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.coco_format import read_zipped_json
from say_what_you_see.data.scenes.scene import COLOURS, KINDS, RELATIONS, SIZES, Scene, invent_scene

Box = tuple[float, float, float, float]
"""Left, top, width and height as fractions of the crop's side."""


@dataclass(frozen=True)
class SceneTruth:
    """What a scene shows."""

    colours: dict[str, str]  # colours, sizes: of the things, by kind
    sizes: dict[str, str]
    relations: frozenset[tuple[str, str, str]]  # between kinds, as (subject, relation, object)
    salient: frozenset[str]  # the kinds that people mention
    boxes: dict[str, Box] = field(default_factory=dict)  # of the things in the centre crop, by kind


def read_scene_truths(captions_zip: Path, instances_json: str | None) -> dict[str, SceneTruth]:
    """Read what each scene shows from the instances JSON: file name to truth."""
    if instances_json is None:
        raise CourseError(f"{captions_zip} does not say what the images show: only the drawn scenes come with that.")
    data = read_zipped_json(captions_zip, instances_json)
    try:
        return _scene_truths(data)
    except Exception as error:  # JSON of another form fails in many ways
        raise CourseError(
            f"{instances_json} in {captions_zip} does not say what the scenes show ({type(error).__name__}: {error}). "
            "Remove the zip and draw the scenes again: say-what-you-see resources"
        ) from error


def _scene_truths(data: dict) -> dict[str, SceneTruth]:
    """What each scene shows, by file name, from the content of the instances JSON."""
    kinds = {category["id"]: _one_of(KINDS, category["name"]) for category in data["categories"]}
    kind_of = {annotation["id"]: kinds[annotation["category_id"]] for annotation in data["annotations"]}
    things: dict[int, dict[str, dict]] = {image["id"]: {} for image in data["images"]}
    for annotation in data["annotations"]:
        things[annotation["image_id"]][kind_of[annotation["id"]]] = annotation
    relations: dict[int, set] = {image["id"]: set() for image in data["images"]}
    for relation in data["relations"]:
        subject, other = (kind_of[relation[f"{end}_id"]] for end in ("subject", "object"))
        relations[relation["image_id"]].add((subject, _one_of(RELATIONS, relation["predicate"]), other))
    return {
        image["file_name"]: _scene_truth(image, things[image["id"]], relations[image["id"]]) for image in data["images"]
    }


def _scene_truth(image: dict, things: dict[str, dict], relations: set[tuple[str, str, str]]) -> SceneTruth:
    """What one scene shows, from its entries in the instances JSON; `things` are annotations by kind."""
    width, height = image["width"], image["height"]
    return SceneTruth(
        colours={kind: _one_of(COLOURS, thing["colour"]) for kind, thing in things.items()},
        sizes={kind: _one_of(SIZES, thing["size"]) for kind, thing in things.items()},
        relations=frozenset(relations),
        salient=frozenset(kind for kind, thing in things.items() if thing["salient"]),
        boxes={kind: box_in_centre_crop(thing["bbox"], width, height) for kind, thing in things.items()},
    )


def _one_of(values: Sequence[str], value: str) -> str:
    if value not in values:
        raise ValueError(f"{value!r} is not one of {', '.join(values)}")
    return value


def box_in_centre_crop(box: Sequence[float], width: int, height: int) -> Box:
    """Convert a box from pixels of the whole picture to fractions of its centre crop's side."""
    side = min(width, height)
    left, top = box[0] - (width - side) // 2, box[1] - (height - side) // 2
    return left / side, top / side, box[2] / side, box[3] / side


def recreate_scenes(
    fns: Sequence[str], split: str, seed: int, truths: Sequence[SceneTruth] | None = None
) -> list[Scene]:
    """The scenes behind the pictures of the built-in data set, from their names and the seed.

    Args:
        fns: names of pictures, such as `scene_train_000012.jpg`.
        split: "train", "val" or "test".
        seed: the seed that the data set was drawn with.
        truths: what the pictures show, to check that the scenes are the same.
    """
    scenes = []
    for fn in fns:
        match = re.fullmatch(rf"scene_{split}_(\d+)\.jpg", fn)
        if not match:
            raise CourseError(f"{fn} is not the name of a {split} scene that the course drew.")
        scenes.append(invent_scene(split, int(match[1]), seed))
    for fn, scene, truth in zip(fns, scenes, truths, strict=True) if truths else ():
        if truth.colours != {thing.kind: thing.colour for thing in scene.things}:
            raise CourseError(
                f"{fn} does not show the scene that seed {seed} gives. Remove the scenes' folder to draw them again."
            )
    return scenes
