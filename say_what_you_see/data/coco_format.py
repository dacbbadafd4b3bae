"""The files of a data set, in COCO's format: a zip of images for each split, and one with their captions as JSON."""

import json
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, parse_json, read_note, write_errors_explained, write_json
from say_what_you_see.core.progress import progress
from say_what_you_see.core.text import visible
from say_what_you_see.data.archives import image_members, open_zip, read_member

VALIDATION_FRACTION = 1 / 6
"""The fraction of the images that is kept for validation if a data set has no split of its own."""

MAX_ZIPPED_JSON = 192_000_000
"""Larger JSON files in a zip are refused; that of Karpathy's split of COCO has 144 MB."""


@dataclass(frozen=True)
class DatasetFiles:
    """Where the parts of a data set are."""

    train_zip: Path  # train_zip, val_zip: zips of images
    val_zip: Path
    captions_zip: Path  # a zip that holds the JSON members below
    train_json: str  # train_json, val_json: members with captions, in COCO's format
    val_json: str
    source: str  # where the data set comes from
    licence: str  # on what terms it may be used
    # train_instances, val_instances, test_instances: members that say what drawn scenes show; None for photographs
    train_instances: str | None = None
    val_instances: str | None = None
    test_instances: str | None = None
    # test_zip, test_json: images and captions that are kept for the final scores; None if there are none
    test_zip: Path | None = None
    test_json: str | None = None

    @classmethod
    def in_folder(cls, folder: Path, suffix: str, source: str, licence: str, with_test: bool = False) -> "DatasetFiles":
        """The files that the course makes itself: train_SUFFIX.zip, val_SUFFIX.zip, captions_SUFFIX.zip."""
        return cls(
            train_zip=folder / f"train_{suffix}.zip",
            val_zip=folder / f"val_{suffix}.zip",
            captions_zip=folder / f"captions_{suffix}.zip",
            train_json="annotations/captions_train.json",
            val_json="annotations/captions_val.json",
            source=source,
            licence=licence,
            test_zip=folder / f"test_{suffix}.zip" if with_test else None,
            test_json="annotations/captions_test.json" if with_test else None,
        )

    @property
    def zips(self) -> tuple[Path, ...]:
        """All files of the data set."""
        return (*(zip_path for zip_path, _ in self.splits), self.captions_zip)

    @property
    def splits(self) -> tuple[tuple[Path, str], ...]:
        """The zip of images and the member with their captions, for training, validation and, if there is one, test."""
        splits = (self.train_zip, self.train_json), (self.val_zip, self.val_json)
        return (*splits, (self.test_zip, self.test_json)) if self.test_zip and self.test_json else splits

    @property
    def scored(self) -> tuple[Path, str]:
        """The split on which captions are scored: test if there is one, else validation."""
        return self.splits[-1]


def build_if_stale(folder: Path, inputs: dict[str, Any], outputs: Iterable[Path], build: Callable[[], None]) -> None:
    """Call `build`, unless all outputs were made from the same inputs, which `made_from.json` in the folder records."""
    record = folder / "made_from.json"
    if all(output.exists() for output in outputs) and read_note(record) == inputs:
        return
    with write_errors_explained(record):
        record.unlink(missing_ok=True)
    build()
    write_json(inputs, record)


def stamp(paths: Iterable[Path]) -> dict[str, list[int]]:
    """The size in bytes and time of the last change of each file, by name: enough to notice that one was replaced."""
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in paths}


def images_by_name(zip_path: Path) -> dict[str, zipfile.ZipInfo]:
    """The images of a zip by their names without folders, in the order of the zip."""
    images: dict[str, zipfile.ZipInfo] = {}
    for member in image_members(zip_path):
        name = PurePosixPath(member.filename).name
        if name in images:
            raise CourseError(
                f"{zip_path} holds two pictures called {name}, which captions cannot tell apart. Rename one."
            )
        images[name] = member
    return images


def read_captions(zip_path: Path, member: str) -> dict[str, list[str]]:
    """Read the captions of each image, by its name."""
    captions: dict[str, list[str]] = {}
    data = read_zipped_json(zip_path, member)
    try:
        names: dict[Any, str] = {}
        for image in data["images"]:
            if names.setdefault(image["id"], image["file_name"]) != image["file_name"]:
                raise ValueError(f"two pictures have the id {image['id']!r}")
        for annotation in data["annotations"]:
            captions.setdefault(names[annotation["image_id"]], []).append(annotation["caption"])
        for name, group in captions.items():
            for written in (name, *group):
                written.encode()  # fails if it is not text, or has half a character in it
    except Exception as error:  # JSON of another shape fails in many ways
        raise CourseError(
            f"{member} in {zip_path} holds no captions in COCO's format ({type(error).__name__}: {error}). It needs "
            "'images', each with id and file_name, and 'annotations', each with image_id and caption."
        ) from error
    return captions


def read_image_ids(zip_path: Path, member: str) -> dict[str, Any]:
    """The id of each image by its name, from JSON that `read_captions` accepts."""
    return {image["file_name"]: image["id"] for image in read_zipped_json(zip_path, member)["images"]}


def read_zipped_json(zip_path: Path, member: str) -> Any:
    """Read a JSON file in a zip."""
    with open_zip(zip_path) as archive:
        if member not in archive.namelist():
            raise CourseError(f"There is no {member} in {zip_path}. Get a complete copy.")
        data = read_member(archive, archive.getinfo(member), MAX_ZIPPED_JSON)
    return parse_json(data, MAX_ZIPPED_JSON, f"{member} in {zip_path}")


def captions_json(images: Sequence[dict], captions: Mapping[str, Sequence[str]], ids_per_image: int = 100) -> dict:
    """Captions in COCO's format.

    Args:
        images: entries with at least id and file_name.
        captions: captions by file name.
        ids_per_image: an image's captions are numbered from its own id times this.
    """
    annotations = [
        {"id": image["id"] * ids_per_image + number, "image_id": image["id"], "caption": caption}
        for image in images
        for number, caption in enumerate(captions[image["file_name"]])
    ]
    return {"images": list(images), "annotations": annotations}


def write_dataset(
    files: DatasetFiles,
    splits: Sequence[Sequence[str]],
    captions: Mapping[str, list[str]],
    read_image: Callable[[str], bytes],
    ids: Mapping[str, int] | None = None,
) -> None:
    """Write the zips of a data set, the one with the captions last.

    Args:
        splits: names of the images for training, for validation and, where the data set has that split, for test.
        captions: by the name of their image.
        read_image: returns the bytes of an image; one that it cannot read is left out and reported.
        ids: the id of each image; None numbers them.
    """
    ids = ids or {name: number for number, name in enumerate((name for names in splits for name in names), 1)}
    members = {}
    for (zip_path, member), names in zip(files.splits, splits, strict=True):
        write_images(zip_path, names, read_image)
        images = [{"id": ids[name], "file_name": name} for name in names]
        members[member] = json.dumps(captions_json(images, captions), ensure_ascii=False)
    with atomic_path(files.captions_zip) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for member, text in members.items():
            archive.writestr(zipfile.ZipInfo(member), text, zipfile.ZIP_DEFLATED)


def write_images(zip_path: Path, names: Sequence[str], read_image: Callable[[str], bytes]) -> None:
    """Write images into a zip uncompressed: JPEGs would not get smaller, and reading stays fast."""
    unreadable = []
    with atomic_path(zip_path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in progress(names, description=zip_path.name, unit="picture"):
            try:
                image = read_image(name)
            except (CourseError, OSError):
                unreadable.append(name)
            else:
                archive.writestr(zipfile.ZipInfo(name), image)
    if unreadable:
        print(f"Pictures left out of {visible(zip_path.name)}, since they cannot be read: {abbreviated(unreadable)}.")


def copy_images(zip_in: Path, zip_out: Path, names: Collection[str]) -> None:
    """Copy the images with these names from one zip to another, in the order of the first."""
    members = images_by_name(zip_in)
    with open_zip(zip_in) as archive:
        chosen = [name for name in members if name in names]
        write_images(zip_out, chosen, lambda name: read_member(archive, members[name]))


def split_by_seed(names: Iterable[str], seed: int) -> tuple[list[str], list[str]]:
    """Split names at random into training and validation, at least one each; the same seed gives the same split."""
    names = sorted(names)
    n_val = max(1, round(len(names) * VALIDATION_FRACTION))
    val = set(np.random.default_rng(seed).permutation(len(names))[:n_val].tolist())
    splits: tuple[list[str], list[str]] = ([], [])
    for index, name in enumerate(names):
        splits[index in val].append(name)
    return splits


def abbreviated(names: Collection[str]) -> str:
    """How many names, and the first few of them, for a message: `4 (a.jpg, b.jpg, c.jpg, …)`."""
    first = sorted(names)[:3]
    return visible(f"{len(names)} ({', '.join([*first, '…'] if len(names) > len(first) else first)})")
