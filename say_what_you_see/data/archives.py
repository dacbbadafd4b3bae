"""Zips of pictures: opened, listed and read within safe limits, whatever is in them."""

import os
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import MAX_PICTURE_BYTES, atomic_path, join_chunks

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif")

MAX_RATIO = 200
"""A zip whose files add up to more than this many times its size is refused; a single picture may shrink further."""

_HARMLESS_BYTES = 256 * 1024**2  # unpacked, whatever the ratio
_CHUNK = 1 << 16
_SMALL_CHUNK = 1 << 12  # for bzip2 and LZMA, which unpack all of a chunk at once


def sample_zip(fn_in: str | Path, fn_out: str | Path, rate: float = 0.01, seed: int = 42) -> None:
    """Copy a random fraction of the pictures of a zip into a smaller zip, in the same order.

    The same seed chooses the same pictures. At least one is chosen, however small the rate.

    Raises:
        CourseError: if `fn_in` is not a zip file with pictures in it, or `rate` is not between 0 and 1.
    """
    if not 0 < rate <= 1:
        raise CourseError(f"The rate of a sample must be above 0 and at most 1, not {rate}.")
    members = image_members(fn_in)
    count = max(1, round(rate * len(members)))
    chosen = np.random.default_rng(seed).choice(len(members), size=count, replace=False)
    with open_zip(fn_in) as zip_in, atomic_path(fn_out) as part, zipfile.ZipFile(part, "w") as zip_out:
        for index in sorted(chosen):
            zip_out.writestr(members[index], read_member(zip_in, members[index]))


def picture_files(folder: Path) -> list[Path]:
    """The pictures in a folder and its subfolders, recognised by their suffix; hidden ones are left out."""
    paths = sorted(folder.rglob("*"))
    return [path for path in paths if is_picture(path.relative_to(folder).as_posix()) and path.is_file()]


@contextmanager
def open_zip(zip_fn: str | Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip to read it.

    Raises:
        CourseError: if there is no such file, if it is not a zip file, or if it would be enormous when unpacked.
    """
    try:
        archive = zipfile.ZipFile(zip_fn)
    except FileNotFoundError as error:
        raise CourseError(f"There is no file {zip_fn}. Check the path, or make the data set again.") from error
    except Exception as error:  # a damaged zip can raise nearly anything
        raise CourseError(f"{zip_fn} is not a zip file, or only a part of one. Get a complete copy.") from error
    with archive:
        size = archive.fp.seek(0, os.SEEK_END) if archive.fp else 0  # also of a file at an address
        packed = sum(info.compress_size for info in archive.infolist())  # more than the zip if files overlap
        unpacked = sum(info.file_size for info in archive.infolist())
        if packed > size or unpacked > max(MAX_RATIO * size, _HARMLESS_BYTES):
            raise CourseError(
                f"{zip_fn} has {size / 1e6:,.1f} MB and claims to hold {unpacked / 1e6:,.0f} MB. Nothing was unpacked. "
                "Get another copy."
            )
        yield archive


def image_members(zip_fn: str | Path) -> list[zipfile.ZipInfo]:
    """The pictures of a zip, in its own order, recognised by their suffix; hidden files are left out.

    Raises:
        CourseError: if there is no such file, if it is not a zip file, if it holds no picture, or if the name of one
            leads out of the zip.
    """
    with open_zip(zip_fn) as archive:
        entries = {info.filename: info for info in archive.infolist()}  # of two with the same name the last one counts
    members = [info for info in entries.values() if is_picture(info.filename) and not info.is_dir()]
    if not members:
        raise CourseError(f"There is no picture in {zip_fn}. It should hold {', '.join(PICTURE_SUFFIXES)} files.")
    for info in members:  # a careless program would unpack some of these anywhere on the disk
        name, is_link = info.filename.replace("\\", "/"), stat.S_ISLNK(info.external_attr >> 16)
        if is_link or name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:", name):
            raise CourseError(
                f"{zip_fn} holds {info.filename[:200]!r}, a link or a name that leads out of the folder where it would "
                "be unpacked. Do not unpack it; get another copy."
            )
    return members


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int = MAX_PICTURE_BYTES) -> bytes:
    """The bytes of one file of a zip; several threads may read from the same archive.

    Args:
        limit: files with more bytes are refused, and no more are unpacked, whatever size the zip states.

    Raises:
        CourseError: if it is damaged, encrypted or too large.
    """
    return join_chunks(member_chunks(archive, member, limit), limit, _name(archive, member))


def member_chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> Iterator[bytes]:
    """The bytes of one file of a zip, a part at a time; refuses files larger than `limit` by what the zip states."""
    name = _name(archive, member)
    if member.flag_bits & 1:
        raise CourseError(f"{name} is encrypted. Unpack it with its password, and pack it again without one.")
    if member.file_size > limit:
        raise CourseError(
            f"{name} is too large: it has {member.file_size / 1e6:,.0f} MB, at most {limit / 1e6:,.0f} MB are read."
        )
    chunk = _CHUNK if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else _SMALL_CHUNK
    try:
        with archive.open(member) as file:
            yield from iter(lambda: file.read(chunk), b"")
    except Exception as error:  # a damaged zip can raise nearly anything
        raise CourseError(f"{name} cannot be unpacked ({error}).") from error


def _name(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    return f"{member.filename[:200]} in {archive.filename}"


def is_picture(name: str) -> bool:
    """Whether a path has the suffix of a picture and is not hidden."""
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a path has a part that is hidden, or that macOS adds to zips."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
