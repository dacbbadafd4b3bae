"""Flickr8k and Flickr30k: from the files that their authors give out to COCO's format."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.archives import open_zip, read_member
from say_what_you_see.data.coco_format import (
    DatasetFiles,
    counted,
    course_files,
    make_once,
    pictures_by_name,
    split_by_seed,
    stamp,
    write_dataset,
)
from say_what_you_see.data.resources import FLICKR30K_PAGE, FLICKR_TERMS, fetch_resource, licence_of, resources_of

FLICKR30K_PICTURES = ("flickr30k-images.zip", "flickr30k_images.zip")
FLICKR30K_CAPTIONS = "results_20130124.token"


def parse_token_file(text: str, source: str) -> dict[str, list[str]]:
    """Captions by picture from lines such as `dog.jpg#0<TAB>A dog runs .`; empty captions do not count.

    Raises:
        CourseError: if a line has another form; names the line and `source`.
    """
    captions: dict[str, list[str]] = {}
    for name, caption in parse_token_lines(text, source):
        if caption:
            captions.setdefault(name, []).append(caption)
    return captions


def parse_token_lines(text: str, source: str) -> list[tuple[str, str]]:
    """Picture and caption of each line such as `dog.jpg#0<TAB>A dog runs .`; empty lines do not count.

    Raises:
        CourseError: if a line has another form; names the line and `source`.
    """
    lines = []
    # `splitlines` would also break at characters inside captions
    for number, line in enumerate(text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if not line.strip():
            continue
        key, tab, caption = line.partition("\t")
        name, _, index = key.rpartition("#")
        if not (tab and name and index.isdecimal()):
            raise CourseError(f"Line {number} of {source} is not of the form picture.jpg#0<TAB>caption: {line[:60]!r}.")
        lines.append((name, caption.strip()))
    return lines


def get_flickr8k(folder: Path) -> DatasetFiles:
    """Download Flickr8k into a folder and convert it, with the split of its authors.

    Once converted, the downloaded zips are not needed any more.
    """
    files = course_files(folder, "flickr8k", "flickr8k", "Hodosh, Young and Hockenmaier 2013", licence_of("flickr8k"))

    def convert() -> None:
        pictures, texts = fetch_resource("Flickr8k_Dataset.zip", folder), fetch_resource("Flickr8k_text.zip", folder)
        captions = parse_token_file(_text_in_zip(texts, "Flickr8k.token.txt"), texts.name)
        lists = "Flickr_8k.trainImages.txt", "Flickr_8k.devImages.txt"
        _convert(files, pictures, captions, [_text_in_zip(texts, name).split() for name in lists])

    checksums = {resource.name: resource.checksum for resource in resources_of("flickr8k")}
    make_once(folder, checksums, files.zips, convert)
    return files


def get_flickr30k(folder: Path, seed: int) -> DatasetFiles:
    """Convert Flickr30k, whose pictures are given out on request only, from the files in a folder.

    Raises:
        CourseError: if they are not there; says where to ask for them, and what to put where.
    """
    pictures, texts = find_flickr30k_pictures(folder), _find_flickr30k_captions(folder)
    if not (pictures and texts):
        missing = [FLICKR30K_PICTURES[0]] * (not pictures) + [f"{FLICKR30K_CAPTIONS} (or a .zip of it)"] * (not texts)
        raise CourseError(
            f"The pictures of Flickr30k are given out on request only. Ask for them at {FLICKR30K_PAGE} and put "
            f"{' and '.join(missing)} into {folder}."
        )
    files = course_files(folder, "flickr30k", "flickr30k", FLICKR30K_PAGE, FLICKR_TERMS)

    def convert() -> None:
        captions = parse_token_file(_read_flickr30k_captions(texts), texts.name)
        captioned = set(captions) & set(pictures_by_name(pictures))
        _convert(files, pictures, captions, split_by_seed(captioned, seed))

    make_once(folder, {"seed": seed, **stamp([pictures, texts])}, files.zips, convert)
    return files


def find_flickr30k_pictures(folder: Path) -> Path | None:
    """The zip with the pictures, as people receive it."""
    return next((folder / name for name in FLICKR30K_PICTURES if (folder / name).exists()), None)


def _find_flickr30k_captions(folder: Path) -> Path | None:
    """The token file, or the first zip that holds it."""
    if (plain := folder / FLICKR30K_CAPTIONS).exists():
        return plain
    others = [path for path in sorted(folder.glob("*.zip")) if path.name not in FLICKR30K_PICTURES]
    return next((path for path in others if zipfile.is_zipfile(path) and _find_member(path, FLICKR30K_CAPTIONS)), None)


def _read_flickr30k_captions(path: Path) -> str:
    return _text_in_zip(path, FLICKR30K_CAPTIONS) if path.suffix == ".zip" else _as_text(path.read_bytes(), path)


def _convert(
    files: DatasetFiles, pictures: Path, captions: dict[str, list[str]], splits: Collection[Collection[str]]
) -> None:
    """Write the data set from those pictures of each side that are in the zip and have captions."""
    members = pictures_by_name(pictures)
    missing = {name for names in splits for name in names if name not in members or name not in captions}
    if missing:
        print(f"Pictures left out, since they or their captions are missing: {counted(missing)}.")
    kept = [[name for name in names if name not in missing] for names in splits]
    if not all(kept):
        raise CourseError(f"{pictures} holds no picture that the captions are about. Bring a whole copy of both.")
    with open_zip(pictures) as archive:
        write_dataset(files, kept, captions, lambda name: read_member(archive, members[name]))


def _find_member(zip_path: Path, name: str) -> zipfile.ZipInfo | None:
    """The member of this name, in whatever folder of the zip."""
    with open_zip(zip_path) as archive:
        return next((member for member in archive.infolist() if PurePosixPath(member.filename).name == name), None)


def _text_in_zip(zip_path: Path, name: str) -> str:
    member = _find_member(zip_path, name)
    if member is None:
        raise CourseError(f"There is no {name} in {zip_path}. Remove the zip and bring another copy.")
    with open_zip(zip_path) as archive:
        return _as_text(read_member(archive, member), f"{name} in {zip_path}")


def _as_text(data: bytes, source: object) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CourseError(f"{source} is not in UTF-8. Bring another copy.") from error
