"""Where the images to caption come from: files, folders, patterns, web addresses, standard input."""

from __future__ import annotations

import codecs
import glob
import re
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import MAX_PICTURE_BYTES, join_chunks, read_bytes
from say_what_you_see.core.text import visible, without_password
from say_what_you_see.data.archives import PICTURE_SUFFIXES, is_hidden, picture_files
from say_what_you_see.vision.pictures import crop_and_resize

STANDARD_INPUT = "-"
_TIMEOUT = (10, 30)  # seconds to connect, seconds without a byte
MAX_SECONDS = 120  # for a whole picture
UNREADABLE = (".avif", ".heic", ".heif", ".tif", ".tiff")
"""Pictures by their suffix that are left out of folders."""

_CHUNK = 1 << 16
_OF_PICTURES = re.compile(rb"[\x01-\x08\x0e-\x1f]|GIF8|WEBP|ftyp")  # with a 0, in pictures' first bytes, not in names
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # PowerShell writes lists in UTF-16


@dataclass(frozen=True)
class ImageSource:
    """An image that has not been read yet."""

    name: str  # as the user gave it: a path, or an address, without a password
    fetch: Callable[[], bytes]  # returns its bytes; may raise anything if it cannot

    def read(self) -> bytes:
        """The bytes of the image.

        Raises:
            CourseError: naming the image, whatever went wrong.
        """
        try:
            return self.fetch()
        except CourseError:
            raise
        except Exception as error:  # impossible names, invalid addresses: each raises its own
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise CourseError(f"Cannot read {self.name}: {reason}.") from error

    def squares(self, *shapes: tuple[int, int]) -> list[np.ndarray]:
        """The square in the middle of the image, once for each (height, width): uint8, (height, width, 3).

        Raises:
            CourseError: naming the image, whatever is wrong with it.
        """
        data = self.read()
        try:
            return [crop_and_resize(data, shape) for shape in shapes]
        except CourseError as error:
            raise CourseError(f"{self.name} cannot be read as a picture: {error}.") from error


def find_images(arguments: Sequence[str]) -> list[ImageSource]:
    """The images that arguments of a command line stand for, in order.

    A folder stands for the pictures in it and its subfolders, by name; how many have a format that cannot be read is
    printed on standard error. `*`, `?` and `[…]` stand for the paths that match (for shells that do not expand
    patterns), `-` for standard input: a picture, or paths, one per line.
    What cannot be found becomes a source that says so when it is read, so that the others are still read.
    """
    return [source for argument in arguments for source in _found(argument)]


def _found(argument: str) -> list[ImageSource]:
    try:
        return _sources_of(argument)
    except Exception as error:  # it may not be a possible name, or be in a folder that may not be read
        reason = error

    def fail() -> bytes:
        raise reason

    return [ImageSource(without_password(argument), fail)]


def _sources_of(argument: str) -> list[ImageSource]:
    if not argument:
        raise CourseError("'' is not the name of a picture. The current folder is called . (a full stop).")
    if argument == STANDARD_INPUT:
        return _from_standard_input()
    if re.match(r"https?://", argument, re.IGNORECASE):
        return [ImageSource(without_password(argument), lambda: fetch_image(argument))]
    path = Path(argument)
    if path.is_dir():
        paths = picture_files(path)
        _name_left_out(path)
        missing = f"There are no pictures in {path} ({', '.join(sorted(PICTURE_SUFFIXES))})."
    elif not path.exists() and glob.has_magic(argument):
        paths = [Path(found) for found in glob.glob(argument, recursive=True)]
        missing = f"No file matches the pattern {argument}."
    else:
        return [image_file(path)]
    if not paths:
        raise CourseError(missing)
    return [image_file(path) for path in sorted(paths, key=natural_order)]


def _name_left_out(folder: Path) -> None:
    """Say how many pictures in a folder have a format that cannot be read, as those of many phones do."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix.lower() in UNREADABLE)
    suffixes = [Path(name).suffix.lower() for name in names if not is_hidden(name)]
    if suffixes:
        count, kinds = len(suffixes), ", ".join(sorted(set(suffixes)))
        what = f"{count} picture{'s' * (count != 1)} in a format that cannot be read ({kinds})"
        print(visible(f"Left out of {folder}: {what}. Save them as JPEG or PNG first."), file=sys.stderr)


def _from_standard_input() -> list[ImageSource]:
    """One picture, or paths and addresses as `find` or `ls` print them, in whatever encoding file names have here."""
    if sys.stdin is None:
        raise CourseError("Standard input is closed. Send a picture, or paths, one per line.")
    data = join_chunks(iter(lambda: sys.stdin.buffer.read(_CHUNK), b""), MAX_PICTURE_BYTES, "Standard input")
    in_utf_16 = data.startswith(_UTF_16)
    first = data[:32]
    if b"\0" in first and _OF_PICTURES.search(first) and not in_utf_16:
        return [ImageSource(STANDARD_INPUT, lambda: data)]
    text = data.decode("utf-16" if in_utf_16 else "utf-8-sig", "surrogateescape")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    names = [line for line in lines if line.strip() and line != STANDARD_INPUT]
    if not names:
        raise CourseError("Standard input is empty. Send a picture, or paths, one per line.")
    return find_images(names)


def natural_order(path: Path) -> list[tuple[str, int]]:
    """A key that sorts picture2.jpg before picture10.jpg."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(part, 0) if not part.isdecimal() else ("", int(part)) for part in parts]


def image_file(path: Path) -> ImageSource:
    """The image in a file."""
    return ImageSource(str(path), lambda: read_bytes(path, MAX_PICTURE_BYTES))


def fetch_image(url: str) -> bytes:
    """Download a picture into memory.

    Raises:
        CourseError: if it cannot be fetched, is too large, or takes too long.
    """
    picture: Future[bytes] = Future()

    def fetch() -> None:
        try:
            picture.set_result(_fetch(url))
        except Exception as error:
            picture.set_exception(error)

    # a thread can be abandoned when time is up: a server may send even its header a byte at a time
    threading.Thread(target=fetch, daemon=True).start()
    try:
        return picture.result(MAX_SECONDS)
    except TimeoutError:
        raise CourseError(f"{url} did not arrive within {MAX_SECONDS} seconds. Download it by hand.") from None


def _fetch(url: str) -> bytes:
    import requests  # here, since few pictures come from the web, and every caption would wait for it
    import urllib3

    try:
        with requests.get(url, headers={"Accept-Encoding": "identity"}, stream=True, timeout=_TIMEOUT) as answer:
            if not answer.ok:
                raise CourseError(f"{url} answers {answer.status_code} {answer.reason}.")
            return join_chunks(answer.raw.stream(_CHUNK, decode_content=False), MAX_PICTURE_BYTES, url)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise CourseError(f"Cannot fetch {url}: no connection, or it broke off. Check the address.") from error
