"""Where the images to caption come from: files, folders, patterns, addresses on the web, standard input."""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import MAX_PICTURE_BYTES, join_chunks, read_bytes
from say_what_you_see.data.archives import PICTURE_SUFFIXES

STANDARD_INPUT = "-"
_TIMEOUT = (10, 30)  # seconds to connect, seconds without a byte
_SECONDS = 120  # for a whole picture
_CHUNK = 1 << 16


@dataclass(frozen=True)
class ImageSource:
    """An image that is not read yet.

    Attributes:
        name: as the user gave it: a path, or an address.
        read: its bytes; raises CourseError where it cannot be had.
    """

    name: str
    read: Callable[[], bytes]


def find_images(arguments: Sequence[str]) -> list[ImageSource]:
    """The images that arguments of a command line stand for, in their order.

    A folder stands for the pictures in it and below it, by name; `*`, `?` and `[…]` for the paths that fit
    (for shells that leave patterns as they are); `-` for standard input: a picture, or paths, one a line.
    What cannot be found becomes a source that says so when it is read, so that the others go on.
    """
    return [source for argument in arguments for source in _sources_of(argument)]


def _sources_of(argument: str) -> list[ImageSource]:
    if argument == STANDARD_INPUT:
        return _from_standard_input()
    if re.match(r"https?://", argument, re.IGNORECASE):
        return [ImageSource(argument, lambda: fetch_image(argument))]
    path = Path(argument)
    if path.is_dir():
        return _of_folder(path)
    if not path.exists() and glob.has_magic(argument):
        paths = sorted(map(Path, glob.glob(argument, recursive=True)), key=natural_order)
        return [_file(path) for path in paths] or [_missing(argument, f"No file fits the pattern {argument}.")]
    return [_file(path)]


def _of_folder(folder: Path) -> list[ImageSource]:
    paths = [
        path
        for path in sorted(folder.rglob("*"), key=natural_order)
        if path.suffix.lower() in PICTURE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    known = ", ".join(sorted(PICTURE_SUFFIXES))
    return [_file(path) for path in paths] or [_missing(str(folder), f"There are no pictures in {folder} ({known}).")]


def _from_standard_input() -> list[ImageSource]:
    """One picture, or paths and addresses as `find` or `ls` print them."""
    try:
        data = join_chunks(iter(lambda: sys.stdin.buffer.read(_CHUNK), b""), MAX_PICTURE_BYTES, "Standard input")
    except CourseError as error:
        return [_missing(STANDARD_INPUT, str(error))]
    if b"\0" in data[:_CHUNK]:
        return [ImageSource(STANDARD_INPUT, lambda: data)]
    try:
        lines = [line.strip() for line in data.decode("utf-8").splitlines()]
    except UnicodeDecodeError:
        return [ImageSource(STANDARD_INPUT, lambda: data)]
    return find_images([line for line in lines if line and line != STANDARD_INPUT]) or [
        _missing(STANDARD_INPUT, "Standard input is empty. Send a picture, or paths, one a line.")
    ]


def natural_order(path: Path) -> list[tuple[str, int]]:
    """A key that sorts picture2.jpg before picture10.jpg."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(part, 0) if not part.isdecimal() else ("", int(part)) for part in parts]


def _file(path: Path) -> ImageSource:
    return ImageSource(str(path), lambda: read_bytes(path, MAX_PICTURE_BYTES))


def _missing(name: str, message: str) -> ImageSource:
    def read() -> bytes:
        raise CourseError(message)

    return ImageSource(name, read)


def fetch_image(url: str) -> bytes:
    """Download a picture into memory.

    Raises:
        CourseError: if it cannot be had, or is too large.
    """
    try:
        with requests.get(url, headers={"Accept-Encoding": "identity"}, stream=True, timeout=_TIMEOUT) as answer:
            if not answer.ok:
                raise CourseError(f"{url} answers {answer.status_code} {answer.reason}.")
            chunks = iter(lambda: answer.raw.read1(_CHUNK), b"")  # what is there; `read` waits for all of a chunk
            return join_chunks(chunks, MAX_PICTURE_BYTES, url, _SECONDS)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise CourseError(f"Cannot fetch {url}: no connection, or it broke off. Check the address.") from error
