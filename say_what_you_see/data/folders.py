"""The user's own folder as a data set, in one of two forms; nothing is ever written into it."""

import re
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import MAX_PICTURE_BYTES, read_bytes
from say_what_you_see.core.text import visible
from say_what_you_see.data.archives import open_zip, picture_files
from say_what_you_see.data.caption_files import CAPTION_FILES, is_named, read_caption_file
from say_what_you_see.data.coco_format import (
    DatasetFiles,
    abbreviated,
    build_if_stale,
    copy_images,
    images_by_name,
    read_captions,
    split_by_seed,
    stamp,
    write_dataset,
)

BOTH_FORMS = (
    "A folder of your own holds either pictures with a captions.csv (two columns: file, caption; one line per caption) "
    "or a Flickr .token file, or one train*.zip, one val*.zip and one captions*.zip or annotations*.zip with "
    "captions_train*.json and captions_val*.json in COCO's format inside."
)
AnyPath = TypeVar("AnyPath", bound=PurePath)
LICENCE_OF_FOLDERS = "your own"
_SURROGATES = re.compile("[\ud800-\udfff]")  # stand for bytes that are not text, as file names on Linux may have
_ZIPS = {"train": ("train*.zip",), "val": ("val*.zip",), "captions": ("captions*.zip", "annotations*.zip")}


def get_folder_dataset(source: Path, folder: Path, seed: int) -> DatasetFiles:
    """Find the data set in the user's folder `source`; files made from it go into `folder`."""
    paths = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
    tables = [path for path in paths if is_named(path, CAPTION_FILES)]
    caption_file = _only_one(tables, "the file with the captions", source)
    zips = {}
    for part, patterns in _ZIPS.items():
        candidates = [path for path in paths if is_named(path, patterns) and not is_named(path, ["*_sample.zip"])]
        if path := _only_one(candidates, " or ".join(patterns), source):
            zips[part] = path
    if caption_file and len(zips) == len(_ZIPS):
        raise CourseError(
            f"{source} holds two data sets: {caption_file.name} with pictures, and {zips['train'].name} with other "
            "zips. Keep only one of them there."
        )
    if caption_file:
        return _from_images(source, caption_file, folder, seed)
    if missing := [" or ".join(patterns) for part, patterns in _ZIPS.items() if part not in zips]:
        pieces = " and ".join(missing) if zips else "captions.csv"
        raise CourseError(f"{source} holds no {pieces}. {BOTH_FORMS}")
    return _from_zips(source, zips, folder)


def _only_one(candidates: list[AnyPath], part: str, where: Path) -> AnyPath | None:
    """The only candidate for a part of the data set, or None."""
    if len(candidates) > 1:
        names = " and ".join(candidate.name for candidate in candidates)
        raise CourseError(f"{where} holds more than one candidate for {part}: {names}. Keep only one of them there.")
    return candidates[0] if candidates else None


# Form 1: images and a file with their captions


def _from_images(source: Path, caption_file: Path, folder: Path, seed: int) -> DatasetFiles:
    images = _find_images(source)
    files = DatasetFiles.in_folder(folder, "pictures", str(source), LICENCE_OF_FOLDERS)

    def convert() -> None:
        captions = _captions_of_images(source, caption_file, images)
        write_dataset(
            files, split_by_seed(captions, seed), captions, lambda name: read_bytes(images[name], MAX_PICTURE_BYTES)
        )

    stamps = {name: stamp([path])[path.name] for name, path in images.items()}
    build_if_stale(folder, {"seed": seed, **stamp([caption_file]), **stamps}, files.zips, convert)
    return files


def _find_images(source: Path) -> dict[str, Path]:
    """The images of a folder and its subfolders, by the name that each gets in the data set's zips.

    That is the file name or, if any file name occurs twice, the path with `_` for `/`; `_` in front makes it unique.
    """
    paths = [path.relative_to(source) for path in picture_files(source)]
    if unnameable := [path.as_posix() for path in paths if _SURROGATES.search(path.as_posix())]:
        print(f"Pictures left out, since their names are not valid text: {abbreviated(unnameable)}.")
    paths = [path for path in paths if path.as_posix() not in unnameable]
    names_repeat = len({path.name for path in paths}) < len(paths)
    images: dict[str, Path] = {}
    for path in paths:
        name = re.sub(r"[\\:]", "_", "_".join(path.parts) if names_repeat else path.name)  # path characters elsewhere
        while name in images:
            name = f"_{name}"
        images[name] = source / path
    return images


def _captions_of_images(source: Path, caption_file: Path, images: dict[str, Path]) -> dict[str, list[str]]:
    """The captions, by the name that each image will have in the data set."""
    name_of = _names_by_spelling(source, images)
    captions: dict[str, list[str]] = {}
    missing = []
    for written, group in read_caption_file(caption_file).items():
        cleaned = written.strip()
        spellings = (written, cleaned, PurePosixPath(cleaned.replace("\\", "/")).as_posix())
        names = (name_of.get(form) for text in spellings for form in (text, unicodedata.normalize("NFC", text)))
        if name := next(filter(None, names), None):
            captions.setdefault(name, []).extend(group)
        else:
            missing.append(written)
    if missing:
        raise CourseError(
            f"{caption_file} names pictures that are not in the folder: {abbreviated(missing)}. "
            "Add the pictures, or remove the lines."
        )
    if len(captions) < 2:
        raise CourseError(
            f"{caption_file} has captions for too few pictures: {abbreviated(captions)}. At least two are needed, one "
            "for training and one for validation."
        )
    if without := set(images) - set(captions):
        print(f"Pictures left out, since {visible(caption_file.name)} has no caption for them: {abbreviated(without)}.")
    return captions


def _names_by_spelling(source: Path, images: dict[str, Path]) -> dict[str, str]:
    """The name of each image in the data set, by its path, by its file name if that is unique, and by that name itself.

    An exact match comes first, then one that Unicode treats as equal: macOS writes accents as extra characters.
    """
    count = Counter(path.name for path in images.values())
    names = {path.relative_to(source).as_posix(): name for name, path in images.items()}
    names |= {path.name: name for name, path in images.items() if count[path.name] == 1 and path.name not in names}
    names |= {name: name for name in images if name not in names}
    return {unicodedata.normalize("NFC", text): name for text, name in reversed(names.items())} | names


# Form 2: zips like COCO's, used where they are


def _from_zips(source: Path, zips: dict[str, Path], folder: Path) -> DatasetFiles:
    captions_zip = zips["captions"]
    with open_zip(captions_zip) as archive:
        members = [PurePosixPath(member) for member in archive.namelist() if member.endswith(".json")]
    train_json, val_json = (
        _only_one([path for path in members if path.name.startswith(prefix)], f"{prefix}*.json", captions_zip)
        for prefix in ("captions_train", "captions_val")
    )
    if not (train_json and val_json):
        raise CourseError(f"{captions_zip} lacks captions_train*.json or captions_val*.json. {BOTH_FORMS}")
    files = DatasetFiles(
        train_zip=zips["train"],
        val_zip=zips["val"],
        captions_zip=captions_zip,
        train_json=str(train_json),
        val_json=str(val_json),
        source=str(source),
        licence=LICENCE_OF_FOLDERS,
    )
    copies = [folder / zips[split].name for split in ("train", "val")]

    def build() -> None:
        for copy, (zip_path, member) in zip(copies, files.splits, strict=True):
            copy.unlink(missing_ok=True)
            _copy_captioned(zip_path, captions_zip, member, copy)

    build_if_stale(folder, stamp(zips.values()), [], build)
    train, val = (copy if copy.exists() else zip_path for copy, zip_path in zip(copies, files.zips, strict=False))
    return replace(files, train_zip=train, val_zip=val)


def _copy_captioned(zip_path: Path, captions_zip: Path, member: str, copy: Path) -> None:
    """Check that images and captions match; write a copy without the images that have no captions, if there are any."""
    images, captions = images_by_name(zip_path), read_captions(captions_zip, member)
    captioned = images.keys() & captions.keys()
    if not captioned:
        raise CourseError(
            f"{member} in {captions_zip} has no caption for any picture in {zip_path}: its pictures are called "
            f"{abbreviated(captions)}, those in the zip {abbreviated(images)}."
        )
    if missing := captions.keys() - captioned:
        print(visible(f"Pictures that {member} names but {zip_path.name} does not hold: {abbreviated(missing)}."))
    if without := images.keys() - captioned:
        print(visible(f"Pictures of {zip_path.name} left out, since they have no caption: {abbreviated(without)}."))
        copy_images(zip_path, copy, captioned)
