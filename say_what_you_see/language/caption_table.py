"""Captions and features as two files, row by row: the form in which Flickr30k is passed around.

One is text, `picture.jpg#0<TAB>caption` in every line; the other is a NumPy file with one row of features for
every caption, in the same order, so that a picture with five captions stands there five times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, check_space
from say_what_you_see.core.progress import progress

PICTURES_AT_ONCE = 256
"""So many pictures' features are in memory while a table is written."""


def get_data(annotation_path: str | Path, feature_path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Open the two files of a data set such as Flickr30k: row i of the features shows what caption i describes.

    Args:
        annotation_path: text with a line `picture.jpg#0<TAB>caption` for each caption.
        feature_path: a `.npy` file of shape (captions, features).

    Returns:
        The features, memory-mapped, and the captions, an array of as many texts.

    Raises:
        CourseError: if a file is missing or of another form, or if the two do not belong together.
    """
    annotations = read_annotations(annotation_path)
    features = open_features(feature_path)
    if len(features) != len(annotations):
        raise CourseError(counts_differ(annotations, features, Path(annotation_path), Path(feature_path)))
    return features, np.array([annotation.caption for annotation in annotations], dtype=object)


@dataclass(frozen=True)
class Annotation:
    """A line of the text file: the picture's name, the number of the caption among its captions, the caption."""

    picture: str
    number: int
    caption: str


def read_annotations(path: str | Path) -> list[Annotation]:
    """Read the text file, a line for each caption, in order.

    Quotation marks are letters like others here: readers of tables that give them a meaning lose captions.

    Raises:
        CourseError: if it cannot be read, holds nothing, or a line has another form; the message has its number.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CourseError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise CourseError(f"Line {line} of {path} is no UTF-8 text. Save the file as UTF-8.") from error
    lines = text.rstrip("\r\n").split("\n")  # `splitlines` would also break at characters inside captions
    if lines == [""]:
        raise CourseError(f"{path} holds no captions.")
    return [_parse_line(line.removesuffix("\r"), number, path) for number, line in enumerate(lines, 1)]


def _parse_line(line: str, line_number: int, path: Path) -> Annotation:
    key, tab, caption = line.partition("\t")
    picture, _, number = key.rpartition("#")
    if not (tab and picture and number.isascii() and number.isdigit()):
        raise CourseError(
            f"Line {line_number} of {path} is not of the form picture.jpg#0<TAB>caption: {line[:60]!r}. Every line "
            "belongs to a row of features, so none may be left out: correct it, or bring another copy."
        )
    return Annotation(picture, int(number), caption.strip())


def open_features(path: str | Path) -> np.ndarray:
    """Map a `.npy` file of shape (captions, features) into memory: rows are read when they are asked for.

    Raises:
        CourseError: if it is missing, no whole NumPy file, or of another shape or type.
    """
    try:
        features = np.load(path, mmap_mode="r")
    except OSError as error:
        raise CourseError(f"Cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # a damaged file can raise nearly anything
        raise CourseError(
            f"{path} is no whole NumPy file of numbers ({error}). Make it again, or copy it again."
        ) from error
    if not isinstance(features, np.ndarray) or features.ndim != 2 or features.dtype.kind not in "fiu":
        shape = getattr(features, "shape", "several arrays")
        raise CourseError(f"{path} holds {shape}, but features are a table of numbers, (captions, features).")
    return features


def counts_differ(annotations: Sequence[Annotation], features: np.ndarray, texts: Path, rows: Path) -> str:
    """The message for two files that do not belong together."""
    pictures = len({annotation.picture for annotation in annotations})
    hint = " That is one row for each picture; here every caption needs its own." if len(features) == pictures else ""
    return (
        f"{texts.name} has {len(annotations):,} captions, but {rows.name} has {len(features):,} rows.{hint} The two "
        f"files must be made together: `write_caption_table` does so (looked in {texts.parent})."
    )


def write_caption_table(
    fns: Sequence[str],
    captions: Sequence[Sequence[str]],
    embeds: np.ndarray,
    annotation_path: str | Path,
    feature_path: str | Path,
) -> None:
    """Make the two files from any data set of the course.

    Features are copied some pictures at a time, so memory does not grow with the data set. Both files appear
    when both are whole: until then those that were there before stay as they are.

    Args:
        fns: names of the pictures.
        captions: for each picture its captions.
        embeds: (pictures, features), possibly memory-mapped.

    Raises:
        CourseError: if the three are of different lengths, a name cannot be written, or the disk is too full.
    """
    annotation_path, feature_path = Path(annotation_path), Path(feature_path)
    if not len(fns) == len(captions) == len(embeds):
        raise CourseError(f"There are {len(fns)} names, captions of {len(captions)} pictures, and {len(embeds)} rows.")
    lines = list(annotation_lines(fns, captions))
    if not lines:
        raise CourseError(f"There are no captions to write to {annotation_path}.")
    shape = (len(lines), embeds.shape[1])
    with atomic_path(annotation_path) as texts, atomic_path(feature_path) as rows:
        check_space(feature_path, shape[0] * shape[1] * embeds.dtype.itemsize + sum(map(len, lines)))
        texts.write_bytes("".join(lines).encode("utf-8"))
        repeat_rows(embeds, [len(group) for group in captions], rows, feature_path.name)


def annotation_lines(fns: Sequence[str], captions: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of the text file; tabs and line breaks inside a caption become spaces."""
    for fn, group in zip(fns, captions, strict=True):
        if not fn or any(character in fn for character in "\t\r\n"):
            raise CourseError(f"A picture is called {fn!r}, which cannot stand in a line of its own. Rename it.")
        for number, caption in enumerate(group):
            yield f"{fn}#{number}\t{' '.join(caption.split())}\n"


def repeat_rows(embeds: np.ndarray, counts: Sequence[int], path: Path, name: str) -> None:
    """Write each row of features as often as its picture has captions, to a `.npy` file."""
    ends = np.cumsum([0, *counts])
    rows = np.lib.format.open_memmap(path, "w+", embeds.dtype, (int(ends[-1]), embeds.shape[1]))
    for first in progress(range(0, len(embeds), PICTURES_AT_ONCE), description=name, unit="block"):
        last = min(first + PICTURES_AT_ONCE, len(embeds))
        rows[ends[first] : ends[last]] = np.repeat(embeds[first:last], counts[first:last], axis=0)
    rows.flush()
