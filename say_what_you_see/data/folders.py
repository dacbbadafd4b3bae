"""A folder of the user's own as a data set, in one of two forms; nothing is ever written into it."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import MAX_JSON_BYTES
from say_what_you_see.core.text import visible
from say_what_you_see.data.archives import MAX_MEMBER_BYTES, PICTURE_SUFFIXES, open_zip
from say_what_you_see.data.coco_format import (
    DatasetFiles,
    copy_pictures,
    counted,
    course_files,
    make_once,
    pictures_by_name,
    read_captions,
    split_by_seed,
    stamp,
    write_dataset,
)
from say_what_you_see.data.flickr import parse_token_file

BOTH_FORMS = (
    "A folder of your own holds either pictures with a captions.csv (two columns: file, caption; one line a caption) "
    "or a Flickr .token file, or one train*.zip, one val*.zip and one captions*.zip or annotations*.zip with "
    "captions_train*.json and captions_val*.json in COCO's format inside."
)
_LICENCE = "your own"
_PREFIXES = {"train": ("train",), "val": ("val",), "captions": ("captions", "annotations")}


def get_folder_dataset(source: Path, folder: Path, name: str, seed: int) -> DatasetFiles:
    """Find the data set in the user's folder `source`; what has to be made goes into `folder`.

    Raises:
        CourseError: if a part is missing, is there twice, or is not what its name says.
    """
    caption_file = _only_one([path for path in _files(source) if _is_caption_file(path)], "the file with the captions")
    zips = {part: _only_one(_zips(source, prefixes), _names(part)) for part, prefixes in _PREFIXES.items()}
    if caption_file and all(zips.values()):
        raise CourseError(
            f"{source} holds two data sets, {caption_file.name} with pictures and {zips['train'].name} with others. "
            "Leave one of them there."
        )
    if caption_file:
        return _from_pictures(source, caption_file, folder, name, seed)
    if missing := [_names(part) for part, path in zips.items() if path is None]:
        pieces = "captions.csv" if len(missing) == len(zips) else " and ".join(missing)
        raise CourseError(f"{source} holds no {pieces}. {BOTH_FORMS}")
    return _from_zips(source, zips, folder, name)


def read_caption_csv(path: Path) -> dict[str, list[str]]:
    """Captions by picture from a table of two columns, file and caption, with or without a header.

    Raises:
        CourseError: if a line has another number of columns, or the file is no UTF-8; names the line.
    """
    captions: dict[str, list[str]] = {}
    line = 0
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file, strict=True):
                line += 1
                if not row or (line == 1 and row[-1].strip().lower() == "caption"):
                    continue
                if len(row) != 2:
                    raise csv.Error(f"{len(row)} columns where two belong")
                if caption := row[1].strip():
                    captions.setdefault(row[0].strip(), []).append(caption)
    except OSError as error:
        raise CourseError(f"Cannot read {path}: {error.strerror}.") from error
    except csv.Error as error:
        raise CourseError(
            f"Row {line} of {path} cannot be read: {error}. A row is file,caption; a caption with a comma "
            'in it stands in double quotes: dog.jpg,"A dog, running."'
        ) from error
    except UnicodeDecodeError as error:
        raise CourseError(f"{path} is not in UTF-8. Save it again in that encoding.") from error
    return captions


def _files(source: Path) -> list[Path]:
    return sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))


def _is_caption_file(path: Path) -> bool:
    name = path.name.lower()
    return name == "captions.csv" or name.endswith((".token", ".token.txt"))


def _zips(source: Path, prefixes: tuple[str, ...]) -> list[Path]:
    names = {path: path.name.lower() for path in _files(source)}
    found = [path for path, name in names.items() if name.startswith(prefixes) and name.endswith(".zip")]
    return [path for path in found if not names[path].endswith("_sample.zip")]


def _names(part: str) -> str:
    return " or ".join(f"{prefix}*.zip" for prefix in _PREFIXES[part])


def _only_one(candidates: list[Path], part: str) -> Path | None:
    if len(candidates) > 1:
        folder, names = candidates[0].parent, " and ".join(path.name for path in candidates)
        raise CourseError(f"{folder} holds more than one candidate for {part}: {names}. Leave one of them there.")
    return candidates[0] if candidates else None


def _from_pictures(source: Path, caption_file: Path, folder: Path, name: str, seed: int) -> DatasetFiles:
    """Form 1: pictures with a table of captions."""
    pictures = _find_pictures(source)
    files = course_files(folder, name, "pictures", str(source), _LICENCE)

    def convert() -> None:
        captions = _captions_of_pictures(source, caption_file, pictures)
        splits = split_by_seed(captions, seed)
        write_dataset(files, splits, captions, lambda name: _read_picture(pictures[name]))

    stamps = {name: stamp([path])[path.name] for name, path in pictures.items()}
    make_once(folder, {"seed": seed, **stamp([caption_file]), **stamps}, files.zips, convert)
    return files


def _find_pictures(source: Path) -> dict[str, Path]:
    """The pictures of a folder and the folders in it, by bare name, or by whole path where names occur twice."""
    paths = [path for path in sorted(source.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    found = [path.relative_to(source) for path in paths]
    found = [path for path in found if not any(part.startswith((".", "__MACOSX")) for part in path.parts)]
    if nameless := [path.as_posix() for path in found if not _can_be_written(path.as_posix())]:
        print(f"Pictures left out, since their names are no text in any encoding known here: {counted(nameless)}.")
        found = [path for path in found if _can_be_written(path.as_posix())]
    often = max(Counter(path.name for path in found).values(), default=0) > 1
    return {"_".join(path.parts) if often else path.name: source / path for path in found}


def _can_be_written(name: str) -> bool:
    """Whether a name is text: on Linux the name of a file can be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_picture(path: Path) -> bytes:
    if path.stat().st_size > MAX_MEMBER_BYTES:
        raise CourseError(f"{path} is too large to be a picture.")
    return path.read_bytes()


def _captions_of_pictures(source: Path, caption_file: Path, pictures: dict[str, Path]) -> dict[str, list[str]]:
    """Captions by the name that a picture will have in the data set."""
    by_path = {path.relative_to(source).as_posix(): name for name, path in pictures.items()}
    captions: dict[str, list[str]] = {}
    missing = []
    for written, group in _read_caption_file(caption_file).items():
        path = PurePosixPath(written.replace("\\", "/")).as_posix()
        picture = by_path.get(path) or (path if path in pictures else None)
        if picture:
            captions.setdefault(picture, []).extend(group)
        else:
            missing.append(written)
    if missing:
        raise CourseError(
            f"{caption_file} names pictures that are not in the folder: {counted(missing)}. "
            "Bring the pictures, or remove the lines."
        )
    if len(captions) < 2:
        raise CourseError(
            f"{caption_file} has captions for {counted(captions)}; it takes two pictures at least, one to learn from "
            "and one to check."
        )
    if without := set(pictures) - set(captions):
        print(f"Pictures left out, since {visible(caption_file.name)} has no caption for them: {counted(without)}.")
    return captions


def _read_caption_file(path: Path) -> dict[str, list[str]]:
    if path.suffix.lower() == ".csv":
        return read_caption_csv(path)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise CourseError(f"{path} is larger than {MAX_JSON_BYTES / 1e6:.0f} MB. Bring a smaller file.")
    try:
        return parse_token_file(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise CourseError(f"{path} is not in UTF-8. Save it again in that encoding.") from error


def _from_zips(source: Path, zips: dict[str, Path], folder: Path, name: str) -> DatasetFiles:
    """Form 2: zips as COCO has them, used where they are."""
    captions_zip = zips["captions"]
    members = [_caption_member(captions_zip, f"captions_{side}") for side in ("train", "val")]
    if None in members:
        raise CourseError(f"{captions_zip} lacks captions_train*.json or captions_val*.json. {BOTH_FORMS}")
    instances = [_caption_member(captions_zip, f"instances_{side}") for side in ("train", "val")]
    files = DatasetFiles(name, zips["train"], zips["val"], captions_zip, *members, *instances, str(source), _LICENCE)
    copies = [folder / zips[side].name for side in ("train", "val")]

    def make() -> None:
        for copy, (zip_path, member) in zip(copies, files.splits, strict=True):
            copy.unlink(missing_ok=True)
            _leave_out_uncaptioned(zip_path, captions_zip, member, copy)

    make_once(folder, stamp(zips.values()), [], make)
    train, val = (copy if copy.exists() else zip_path for copy, zip_path in zip(copies, files.zips, strict=False))
    return replace(files, train_zip=train, val_zip=val)


def _caption_member(captions_zip: Path, prefix: str) -> str | None:
    with open_zip(captions_zip) as archive:
        names = [PurePosixPath(member) for member in archive.namelist()]
    found = [path for path in names if path.name.startswith(prefix) and path.suffix == ".json"]
    if len(found) > 1:
        raise CourseError(
            f"{captions_zip} holds more than one candidate for {prefix}*.json: {found[0]} and {found[1]}. "
            "Leave one of them there."
        )
    return str(found[0]) if found else None


def _leave_out_uncaptioned(zip_path: Path, captions_zip: Path, member: str, copy: Path) -> None:
    """See whether pictures and captions belong together; write a copy where some pictures have no captions."""
    pictures, captions = pictures_by_name(zip_path), read_captions(captions_zip, member)
    captioned = pictures.keys() & captions.keys()
    if not captioned:
        raise CourseError(
            f"{member} in {captions_zip} has no caption for any picture in {zip_path}: it tells of "
            f"{counted(captions)}, the pictures are called {counted(pictures)}."
        )
    if missing := captions.keys() - captioned:
        print(visible(f"Pictures that {member} names and {zip_path.name} does not hold: {counted(missing)}."))
    if without := pictures.keys() - captioned:
        print(visible(f"Pictures of {zip_path.name} left out, since they have no caption: {counted(without)}."))
        copy_pictures(zip_path, copy, captioned)
