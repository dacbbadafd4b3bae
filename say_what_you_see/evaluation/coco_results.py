"""Captions in COCO's results format, which evaluators outside the course read as well."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json


def write_coco_results(path: str | Path, image_ids: Sequence[int], captions: Sequence[str]) -> None:
    """Write captions in COCO's results format, `[{"image_id": 42, "caption": "..."}]`, which other evaluators read.

    Args:
        image_ids: the picture of each caption, each picture once.
        captions: one for each picture.

    Raises:
        CourseError: if the numbers differ, an entry is of the wrong type, or an id comes twice. An older file stays.
    """
    if len(image_ids) != len(captions):
        raise CourseError(f"{path} was not written: {len(image_ids)} pictures but {len(captions)} captions.")
    ids = [int(i) if isinstance(i, np.integer) else i for i in image_ids]
    results = [{"image_id": i, "caption": caption} for i, caption in zip(ids, captions, strict=True)]
    _captions_by_id(results, None, f"{path} was not written")
    write_json(results, path)


def read_coco_results(path: str | Path, known_ids: Collection[int] | None = None) -> dict[int, str]:
    """Read a file in COCO's results format: id of the picture to its caption, in the order of the file.

    Args:
        known_ids: the pictures of the data set; None accepts any.
    """
    results = read_json(path)
    return _captions_by_id(results if isinstance(results, list) else [results], known_ids, f"{path} cannot be used")


def _captions_by_id(results: Sequence, known_ids: Collection[int] | None, problem: str) -> dict[int, str]:
    """The caption of each picture, or a CourseError about the first entry that is not as it should be."""
    captions: dict[int, str] = {}
    for number, result in enumerate(results):
        match result:
            case {"image_id": int(image_id), "caption": str(caption)} if not isinstance(image_id, bool):
                if image_id in captions:
                    raise CourseError(f"{problem}: picture {image_id} comes twice. Keep one caption for each picture.")
                if known_ids is not None and image_id not in known_ids:
                    raise CourseError(f"{problem}: the data set has no picture {image_id}. Caption its own pictures.")
                captions[image_id] = caption
            case _:
                form = '[{"image_id": 42, "caption": "..."}, ...]'
                raise CourseError(f"{problem}: entry {number} is {str(result)[:80]!r}, but must have the form {form}.")
    return captions
