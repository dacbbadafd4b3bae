"""Flickr8k and Flickr30k: converts the files that their authors distribute to COCO's format."""

import zipfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path, PurePosixPath

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import check_space, make_folder
from say_what_you_see.data.archives import open_zip, read_member
from say_what_you_see.data.caption_files import decode_text, group_captions, parse_token_lines, read_caption_file
from say_what_you_see.data.coco_format import (
    DatasetFiles,
    abbreviated,
    build_if_stale,
    images_by_name,
    split_by_seed,
    stamp,
    write_dataset,
)
from say_what_you_see.data.resources import FLICKR30K_PAGE, FLICKR_TERMS, fetch_resource, licence_of, resources_of

FLICKR8K_IMAGES, FLICKR8K_TEXT = "Flickr8k_Dataset.zip", "Flickr8k_text.zip"
FLICKR8K_CAPTIONS = "Flickr8k.token.txt"
FLICKR30K_IMAGES = ("flickr30k-images.zip", "flickr30k_images.zip")
FLICKR30K_CAPTIONS = "results_20130124.token"


def get_flickr8k(folder: Path) -> DatasetFiles:
    """Download Flickr8k into a folder and convert it, with its authors' split.

    The downloaded zips are not needed after that. If they are gone, a data set made without a test split is used as is.
    """
    source, licence = "Hodosh, Young and Hockenmaier 2013", licence_of("flickr8k")
    files = DatasetFiles.in_folder(folder, "flickr8k", source, licence, with_test=True)
    without_test = replace(files, test_zip=None, test_json=None)
    downloaded = any((place / FLICKR8K_IMAGES).exists() for place in (folder, folder.parent))
    if not (downloaded or files.scored[0].exists()) and all(path.exists() for path in without_test.zips):
        return without_test

    def build() -> None:
        images_zip, text_zip = (fetch_resource(name, folder) for name in (FLICKR8K_IMAGES, FLICKR8K_TEXT))
        convert(files, [images_zip], captions_in_zip(text_zip, FLICKR8K_CAPTIONS), read_official_split(text_zip))

    checksums = {resource.name: resource.checksum for resource in resources_of("flickr8k")}
    build_if_stale(folder, checksums, files.zips, build)
    return files


def read_official_split(text_zip: Path) -> list[list[str]]:
    """The names of Flickr8k's pictures for training, validation and test, from a zip of known checksum."""
    return [text_in_zip(text_zip, f"Flickr_8k.{part}Images.txt").split() for part in ("train", "dev", "test")]


def get_flickr30k(folder: Path, seed: int) -> DatasetFiles:
    """Convert Flickr30k, whose images are distributed on request only, from the files in a folder.

    Raises:
        CourseError: if they are not there; says where to ask for them and where to put them.
    """
    images_zip, captions_path = find_flickr30k(folder)
    files = DatasetFiles.in_folder(folder, "flickr30k", FLICKR30K_PAGE, FLICKR_TERMS)

    def build() -> None:
        is_zip = captions_path.suffix == ".zip"
        captions = captions_in_zip(captions_path, FLICKR30K_CAPTIONS) if is_zip else read_caption_file(captions_path)
        names = captions.keys() & images_by_name(images_zip).keys()
        convert(files, [images_zip], captions, split_by_seed(names, seed))

    build_if_stale(folder, {"seed": seed, **stamp([images_zip, captions_path])}, files.zips, build)
    return files


def find_flickr30k(folder: Path, with_captions: bool = True) -> list[Path]:
    """The zip with the images and, if wanted, the file or zip with the captions, as people receive them."""
    images = (folder / name for name in FLICKR30K_IMAGES if (folder / name).exists())
    found = {FLICKR30K_IMAGES[0]: next(images, None)}
    if with_captions:
        found[f"{FLICKR30K_CAPTIONS} (or a .zip of it)"] = _find_flickr30k_captions(folder)
    if missing := [name for name, path in found.items() if path is None]:
        raise CourseError(
            f"The pictures of Flickr30k are distributed on request only. Ask for them at {FLICKR30K_PAGE} and put "
            f"{' and '.join(missing)} into {folder}."
        )
    return [path for path in found.values() if path]


def _find_flickr30k_captions(folder: Path) -> Path | None:
    """The token file, or the first zip that holds it."""
    if (plain := folder / FLICKR30K_CAPTIONS).exists():
        return plain
    for path in sorted(folder.glob("*.zip")):
        if path.name not in FLICKR30K_IMAGES and zipfile.is_zipfile(path):
            with open_zip(path) as archive:
                if _find_member(archive, FLICKR30K_CAPTIONS):
                    return path
    return None


def convert(
    files: DatasetFiles,
    image_zips: Sequence[Path],
    captions: Mapping[str, list[str]],
    splits: Sequence[Sequence[str]],
    ids: Mapping[str, int] | None = None,
) -> None:
    """Write the data set. No image of a split may be missing: scores on fewer images could not be compared."""
    members = {name: (zip_path, member) for zip_path in image_zips for name, member in images_by_name(zip_path).items()}
    zips = " or ".join(map(str, image_zips))
    if not all(splits):
        raise CourseError(f"{zips} holds no picture that the captions describe. Get complete copies of both.")
    needed = list(chain(*splits))
    if missing := {name for name in needed if name not in members or name not in captions}:
        raise CourseError(
            f"The split names pictures that are not in {zips}, or have no captions: {abbreviated(missing)}. "
            "Get complete copies; without these pictures no score could be compared with a published one."
        )
    make_folder(files.train_zip.parent)
    check_space(files.train_zip, sum(members[name][1].file_size for name in needed))
    with ExitStack() as stack:
        archives = {zip_path: stack.enter_context(open_zip(zip_path)) for zip_path in image_zips}

        def read_image(name: str) -> bytes:
            zip_path, member = members[name]
            return read_member(archives[zip_path], member)

        write_dataset(files, splits, captions, read_image, ids)


def captions_in_zip(zip_path: Path, name: str) -> dict[str, list[str]]:
    """The captions of each image, by its name, from a .token file in a zip."""
    return group_captions(parse_token_lines(text_in_zip(zip_path, name), f"{name} in {zip_path}"))


def text_in_zip(zip_path: Path, name: str) -> str:
    """The text of the member with this name, in any folder of the zip."""
    with open_zip(zip_path) as archive:
        member = _find_member(archive, name)
        if member is None:
            raise CourseError(f"There is no {name} in {zip_path}. Remove the zip and get another copy.")
        return decode_text(read_member(archive, member), f"{name} in {zip_path}")


def _find_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo | None:
    return next((member for member in archive.infolist() if PurePosixPath(member.filename).name == name), None)
