"""Captions and features as two files that match row by row: the form in which Flickr30k is passed around."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, check_space, read_array, read_bytes
from say_what_you_see.core.progress import progress
from say_what_you_see.data.caption_files import MAX_CAPTION_BYTES, decode_text, parse_token_lines

_BLOCK = 256
"""The number of images whose features are in memory while a table is written."""


def get_data(annotation_path: str | Path, feature_path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Open the two files of a data set such as Flickr30k: row i of the features shows what caption i describes.

    Args:
        annotation_path: text with a line `picture.jpg#0<TAB>caption` for each caption.
        feature_path: a `.npy` file of shape (captions, features).

    Returns:
        The features, memory-mapped, and the captions, an array of strings of the same length.

    Raises:
        CourseError: if a file is missing or of another form, or if one has more rows than the other.
    """
    images, captions = read_annotations(annotation_path)
    features = read_array(feature_path)
    check_table(images, features, Path(annotation_path), Path(feature_path))
    return features, np.array(captions, dtype=object)


def read_annotations(path: str | Path) -> tuple[list[str], list[str]]:
    """Read the text file: the name of the image and the caption in each line."""
    lines = parse_token_lines(decode_text(read_bytes(path, MAX_CAPTION_BYTES), path), str(path))
    if not lines:
        raise CourseError(f"{path} holds no captions. Make it again, or get a complete copy.")
    images, captions = zip(*lines, strict=True)
    return list(images), list(captions)


def check_table(images: Sequence[str], features: np.ndarray, annotation_path: Path, feature_path: Path) -> None:
    """Check that every caption has a row of features.

    Args:
        features: (captions, features) if all is well.
    """
    if features.ndim != 2:
        raise CourseError(f"{feature_path} has the shape {features.shape}, but should be (captions, features).")
    if len(features) != len(images):
        one_each = len(features) == len(set(images))
        hint = " That is one row for each picture; here every caption needs its own." if one_each else ""
        raise CourseError(
            f"{annotation_path.name} has {len(images):,} captions, but {feature_path.name} has {len(features):,} rows."
            f"{hint} The two must be made together: `write_caption_table` does so (looked in {annotation_path.parent})."
        )


def write_caption_table(
    fns: Sequence[str],
    captions: Sequence[Sequence[str]],
    embeds: np.ndarray,
    annotation_path: str | Path,
    feature_path: str | Path,
) -> None:
    """Make the two files from any data set of the course.

    Features are copied block by block, so memory does not grow with the data set. Until both files are complete, older
    ones stay as they are.

    Args:
        embeds: (images, features), possibly memory-mapped.
    """
    feature_path = Path(feature_path)
    lines = list(_annotation_lines(fns, captions))
    ends = np.cumsum([0, *map(len, captions)])
    with atomic_path(annotation_path) as texts, atomic_path(feature_path) as rows:
        check_space(feature_path, len(lines) * embeds.shape[1] * embeds.dtype.itemsize + sum(map(len, lines)))
        texts.write_bytes("".join(lines).encode("utf-8"))
        features = np.lib.format.open_memmap(rows, "w+", embeds.dtype, (len(lines), embeds.shape[1]))
        for first in progress(range(0, len(embeds), _BLOCK), description=feature_path.name, unit="block"):
            block = slice(first, first + _BLOCK)
            counts = np.diff(ends)[block]
            features[ends[first] : ends[first] + counts.sum()] = np.repeat(embeds[block], counts, axis=0)
        features.flush()


def _annotation_lines(fns: Sequence[str], captions: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of the text file; tabs and line breaks inside a caption become spaces."""
    for fn, group in zip(fns, captions, strict=True):
        if not fn or any(character in fn for character in "\t\r\n"):
            raise CourseError(f"Rename the picture {fn!r}: a name must not be empty or have tabs or line breaks.")
        for number, caption in enumerate(group):
            yield f"{fn}#{number}\t{' '.join(caption.split())}\n"
