"""The files of a data set, in COCO's format: two zips of pictures and a zip with their captions as JSON."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import (
    MAX_JSON_BYTES,
    atomic_path,
    check_is_no_folder,
    read_json,
    write_errors_explained,
    write_json,
)
from say_what_you_see.core.progress import progress
from say_what_you_see.core.text import visible
from say_what_you_see.data.archives import image_members, open_zip, read_bounded, read_member

VALIDATION_SHARE = 1 / 6
"""The share of the pictures that is kept for validation, where a data set brings no split of its own."""


@dataclass(frozen=True)
class DatasetFiles:
    """Where the parts of a data set are.

    Attributes:
        name: a short name.
        train_zip, val_zip: zips of pictures.
        captions_zip: a zip that holds the JSON members below.
        train_json, val_json: members with captions, in COCO's format.
        train_instances, val_instances: members that say what stands where, None where nobody has noted it.
        source: where the data set comes from.
        licence: on what terms it may be used.
        test_zip, test_json: pictures and captions that are kept for the very end, None where there are none.
    """

    name: str
    train_zip: Path
    val_zip: Path
    captions_zip: Path
    train_json: str
    val_json: str
    train_instances: str | None
    val_instances: str | None
    source: str
    licence: str
    test_zip: Path | None = None
    test_json: str | None = None

    @property
    def zips(self) -> tuple[Path, ...]:
        """All files of the data set."""
        return (*(zip_path for zip_path, _ in self.splits), self.captions_zip)

    @property
    def splits(self) -> tuple[tuple[Path, str], ...]:
        """Zip of pictures and member with their captions, for training, for validation and, where it is, for test."""
        splits = (self.train_zip, self.train_json), (self.val_zip, self.val_json)
        return (*splits, self.scored) if self.test_zip else splits

    @property
    def scored(self) -> tuple[Path, str]:
        """The side whose captions are scored: test where there is one, else validation."""
        return (self.test_zip, self.test_json) if self.test_zip and self.test_json else (self.val_zip, self.val_json)


def course_files(folder: Path, name: str, part: str, source: str, licence: str) -> DatasetFiles:
    """The names of the files that the course makes itself: train_PART.zip, val_PART.zip, captions_PART.zip."""
    train_zip, val_zip, captions_zip = (folder / f"{kind}_{part}.zip" for kind in ("train", "val", "captions"))
    members = "annotations/captions_train.json", "annotations/captions_val.json"
    return DatasetFiles(name, train_zip, val_zip, captions_zip, *members, None, None, source, licence)


def make_once(folder: Path, inputs: dict[str, Any], outputs: Iterable[Path], make: Callable[[], None]) -> None:
    """Call `make`, unless it was done from the very same inputs and all outputs are still there.

    `inputs` is anything that JSON can hold; it is kept in the folder as made_from.json.
    """
    record = folder / "made_from.json"
    check_is_no_folder(record)
    if record.exists() and all(output.exists() for output in outputs) and _was_made_from(record, inputs):
        return
    with write_errors_explained(record):
        record.unlink(missing_ok=True)
    make()
    write_json(inputs, record)


def _was_made_from(record: Path, inputs: dict[str, Any]) -> bool:
    try:
        return read_json(record) == inputs
    except CourseError:  # a damaged record tells nothing
        return False


def stamp(paths: Iterable[Path]) -> dict[str, list[int]]:
    """Name, size in bytes and time of the last change of files: enough to notice that one was replaced."""
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in paths}


def pictures_by_name(zip_path: Path) -> dict[str, zipfile.ZipInfo]:
    """The pictures of a zip under their bare names, in the order of the zip.

    Raises:
        CourseError: if it is no zip, holds no picture, or two of the same name.
    """
    pictures: dict[str, zipfile.ZipInfo] = {}
    for member in image_members(zip_path):
        name = PurePosixPath(member.filename).name
        if name in pictures:
            raise CourseError(
                f"{zip_path} holds two pictures called {name}, which captions cannot tell apart. Rename one."
            )
        pictures[name] = member
    return pictures


def read_captions(zip_path: Path, member: str) -> dict[str, list[str]]:
    """Captions by the name of their picture.

    Raises:
        CourseError: if the zip or the member cannot be read, or is no caption JSON in COCO's format.
    """
    captions: dict[str, list[str]] = {}
    text = read_zipped(zip_path, member)
    try:
        data = json.loads(text)
        names: dict[Any, str] = {}
        for image in data["images"]:
            if names.setdefault(image["id"], image["file_name"]) != image["file_name"]:
                raise ValueError(f"two pictures have the id {image['id']!r}")
        for annotation in data["annotations"]:
            captions.setdefault(names[annotation["image_id"]], []).append(annotation["caption"])
        for name, group in captions.items():
            for text in (name, *group):
                text.encode()  # fails where it is no text, or has halves of characters in it
    except Exception as error:  # JSON of another shape fails in many ways
        raise CourseError(
            f"{member} in {zip_path} holds no captions in COCO's format ({type(error).__name__}: {error}). It needs "
            "'images', each with id and file_name, and 'annotations', each with image_id and caption."
        ) from error
    return captions


def read_zipped(zip_path: Path, member: str) -> bytes:
    """The bytes of a JSON file in a zip.

    Raises:
        CourseError: if the zip or the member cannot be read, or is unreasonably large.
    """
    with open_zip(zip_path) as archive:
        if member not in archive.namelist():
            raise CourseError(f"There is no {member} in {zip_path}. Bring a whole copy.")
        return read_bounded(archive, archive.getinfo(member), MAX_JSON_BYTES)


def write_dataset(
    files: DatasetFiles,
    splits: Sequence[Sequence[str]],
    captions: Mapping[str, list[str]],
    read_picture: Callable[[str], bytes],
    ids: Mapping[str, int] | None = None,
) -> None:
    """Write the zips of a data set, the one with the captions last.

    Args:
        files: where to.
        splits: names of the pictures for training, for validation and, where the data set has that side, for test.
        captions: captions by the name of their picture.
        read_picture: gives the bytes of a picture; one that it cannot read is left out, and named.
        ids: the number of each picture; None counts them.
    """
    ids = ids or {name: number for number, name in enumerate((name for names in splits for name in names), 1)}
    members = {}
    for (zip_path, member), names in zip(files.splits, splits, strict=True):
        write_pictures(zip_path, names, read_picture)
        members[member] = json.dumps(_captions_json(names, captions, ids), ensure_ascii=False)
    with atomic_path(files.captions_zip) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for member, text in members.items():
            archive.writestr(zipfile.ZipInfo(member), text, zipfile.ZIP_DEFLATED)


def write_pictures(zip_path: Path, names: Sequence[str], read_picture: Callable[[str], bytes]) -> None:
    """Write pictures into a zip as they are: JPEG does not get smaller, and reading stays quick."""
    unreadable = []
    with atomic_path(zip_path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in progress(names, description=zip_path.name, unit="picture"):
            try:
                picture = read_picture(name)
            except (CourseError, OSError):
                unreadable.append(name)
                continue
            archive.writestr(zipfile.ZipInfo(name), picture)
    if unreadable:
        print(f"Pictures left out of {visible(zip_path.name)}, since they cannot be read: {counted(unreadable)}.")


def copy_pictures(zip_in: Path, zip_out: Path, names: Collection[str]) -> None:
    """Copy the pictures of these names from one zip to another, in the order of the first."""
    members = pictures_by_name(zip_in)
    with open_zip(zip_in) as archive:
        chosen = [name for name in members if name in names]
        write_pictures(zip_out, chosen, lambda name: read_member(archive, members[name]))


def split_by_seed(names: Iterable[str], seed: int) -> tuple[list[str], list[str]]:
    """Split names at random into training and validation, at least one each; the same seed splits alike."""
    names = sorted(names)
    n_val = max(1, round(len(names) * VALIDATION_SHARE))
    val = set(np.random.default_rng(seed).permutation(len(names))[:n_val].tolist())
    splits: tuple[list[str], list[str]] = ([], [])
    for index, name in enumerate(names):
        splits[index in val].append(name)
    return splits


def counted(names: Collection[str]) -> str:
    """How many names, and the first few of them, for a message: `4 (a.jpg, b.jpg, c.jpg, …)`."""
    first = sorted(names)[:3]
    return visible(f"{len(names)} ({', '.join([*first, '…'] if len(names) > len(first) else first)})")


def _captions_json(names: Sequence[str], captions: Mapping[str, list[str]], ids: Mapping[str, int]) -> dict:
    images = [{"id": ids[name], "file_name": name} for name in names]
    annotations = [
        {"id": image["id"] * 100 + number, "image_id": image["id"], "caption": caption}
        for image in images
        for number, caption in enumerate(captions[image["file_name"]])
    ]
    return {"images": images, "annotations": annotations}
