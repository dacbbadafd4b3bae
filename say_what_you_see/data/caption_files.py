"""Files of captions, one per line: a table `captions.csv`, and the .token file of Flickr8k and Flickr30k.

To add a format, write a function that parses it and add a line to `CAPTION_FILES`, at the end.
"""

import csv
import io
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_bytes

MAX_CAPTION_BYTES = 128_000_000
"""Larger caption files are refused: all of COCO's captions take 50 MB."""


def is_named(path: Path, patterns: Iterable[str]) -> bool:
    """Whether a file's name, in lower case, matches one of these patterns, such as "*.token"."""
    return any(fnmatch(path.name.lower(), pattern) for pattern in patterns)


def read_caption_file(path: Path) -> dict[str, list[str]]:
    """Read the captions of each image, by its name, from a file in one of these formats, without empty ones."""
    parse = next(parse for pattern, parse in CAPTION_FILES.items() if is_named(path, [pattern]))
    return group_captions(parse(decode_text(read_bytes(path, MAX_CAPTION_BYTES), path), path))


def parse_token_lines(text: str, source: object) -> list[tuple[str, str]]:
    """The image and caption of each line such as `dog.jpg#0<TAB>A dog runs .`; blank lines are skipped.

    Quotation marks are ordinary characters here: a CSV reader would give them a meaning, and lose captions.
    """
    pairs = []
    for number, line in enumerate(io.StringIO(text.lstrip("\ufeff"), newline=""), 1):
        if not line.strip():
            continue
        key, tab, caption = line.partition("\t")
        image, _, index = key.rpartition("#")
        if not (tab and image and index.isdecimal()):
            raise CourseError(
                f"Line {number} of {source} is not of the form picture.jpg#0<TAB>caption: {line[:60].rstrip()!r}. "
                "Correct it, or get another copy."
            )
        pairs.append((image, caption.strip()))
    return pairs


def group_captions(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """The captions of each image, by its name, without empty ones."""
    captions: dict[str, list[str]] = {}
    for image, caption in pairs:
        if caption:
            captions.setdefault(image, []).append(caption)
    return captions


def parse_caption_rows(text: str, path: object) -> list[tuple[str, str]]:
    """The image and caption of each row of a table of two columns, file and caption, with or without a header."""
    pairs, row_number = [], 1
    try:
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            if row and not (row_number == 1 and row[-1].strip().lower() == "caption"):
                if len(row) != 2:
                    raise csv.Error(f"{len(row)} columns instead of two")
                pairs.append((row[0], row[1].strip()))
            row_number += 1
    except csv.Error as error:
        raise CourseError(
            f"Row {row_number} of {path} cannot be read: {error}. A row is file,caption; a caption with a comma "
            'in it needs double quotes: dog.jpg,"A dog, running."'
        ) from error
    return pairs


def decode_text(data: bytes, source: object) -> str:
    """Decode bytes in UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise CourseError(f"Line {line} of {source} is not in UTF-8. Save it again in that encoding.") from error


CAPTION_FILES: dict[str, Callable[[str, Path], list[tuple[str, str]]]] = {
    "captions.csv": parse_caption_rows,
    "*.token": parse_token_lines,
    "*.token.txt": parse_token_lines,
}
"""For each file name pattern, the function that gets pairs of image and caption from the file's text and path; a folder
may hold only one such file."""
