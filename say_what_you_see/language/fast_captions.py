"""Prepares the captions of a data set as the lessons do, several times as fast and in a tenth of the memory.

The lessons' functions (`say_what_you_see.language.captions`) make lists of lists of words and indices: many millions of objects. Here
captions are read some hundred at a time, and what stays of each is the numbers of its words, all in one array.
"""

from __future__ import annotations

import itertools
import zipfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from say_what_you_see.core.files import MAX_JSON_BYTES, atomic_path, sha256_of, write_array
from say_what_you_see.language.captions import (
    END,
    LONGEST_CAPTION,
    PAD,
    START,
    UNK,
    caption_tokens_to_indices,
    generate_vocabulary,
    get_captions_for_fns,
    pack_captions,
    split_sentence,
)
from say_what_you_see.language.json_lists import Unusual, read_lists

_BETWEEN = "\uffff"
"""Stands behind each caption. Unicode promises that it is no character: no word has it."""

_BETWEEN_BYTES = _BETWEEN.encode()
_AT_ONCE = 2**17  # numbers that are worked on at a time
_SMALL_LETTERS = bytes(
    byte if byte >= 128 else ord(chr(byte).lower()) if chr(byte).isalnum() or byte == ord("_") else ord(" ")
    for byte in range(256)
)
"""For each byte of UTF-8 what `split_sentence` makes of it: capitals become small, what belongs to no word a space."""


@dataclass(frozen=True)
class CaptionRows:
    """The padded matrix of captions that `pack_captions` makes, not yet made.

    Attributes:
        shape: of the matrix, (captions, longest).
        dtype: of the matrix.
        first: (pictures + 1,) row where the captions of each picture begin.
        blocks: gives the matrix from top to bottom, some rows at a time.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    first: np.ndarray
    blocks: Callable[[], Iterable[np.ndarray]]


def index_captions(
    fns: Sequence[str], zip_fn: str | Path, member: str, vocab: dict[str, int] | None = None, min_count: int = 5
) -> tuple[dict[str, int], CaptionRows]:
    """Vocabulary and matrix of the captions of pictures, as the functions of notebook 03 make them.

    Args:
        fns: names of the pictures.
        zip_fn: a zip file that holds caption JSON in COCO's format.
        member: where in the zip that JSON is.
        vocab: word to index; None makes it from these captions.
        min_count: words that occur less often are left out of the vocabulary.

    Raises:
        CourseError: if a picture has no captions.
    """
    try:
        numbers = _known_numbers(vocab) if vocab else _NewNumbers()
        captions = _read_captions(fns, zip_fn, member, numbers)
    except Exception:  # what is unusual or damaged in any way is left to the plain functions and their messages
        return _index_plainly(fns, zip_fn, member, vocab, min_count)
    if vocab is None:
        vocab = captions.use_vocabulary(numbers, min_count)
    return vocab, captions.rows(vocab)


def write_caption_rows(captions: CaptionRows, path: Path, vocabulary: Path) -> None:
    """Write a matrix of captions some rows at a time, where they begin, and the checksum of their vocabulary.

    Args:
        path: the `.npz` file, with the arrays `matrix`, `first` and `vocabulary`.
        vocabulary: the file with the vocabulary, which is there already.
    """
    checksum = np.frombuffer(bytes.fromhex(sha256_of(vocabulary)), np.uint8)
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w") as file:
        write_array(file, "matrix", captions.shape, captions.dtype, captions.blocks())
        for name, values in (("first", captions.first), ("vocabulary", checksum)):
            write_array(file, name, values.shape, values.dtype, [values])


def _index_plainly(
    fns: Sequence[str], zip_fn: str | Path, member: str, vocab: dict[str, int] | None, min_count: int
) -> tuple[dict[str, int], CaptionRows]:
    """The same by the lessons' functions, for files of unusual forms and for the errors of damaged ones."""
    captions = get_captions_for_fns(fns, zip_fn, member)
    vocab = vocab or generate_vocabulary(captions, min_count)
    packed = pack_captions(caption_tokens_to_indices(captions, vocab), vocab[PAD])
    return vocab, CaptionRows(packed.matrix.shape, packed.matrix.dtype, packed.first, lambda: [packed.matrix])


class _NewNumbers(dict):
    """Gives each word, in UTF-8, the next number; the first is for what stands behind a caption."""

    def __init__(self) -> None:
        super().__init__({_BETWEEN_BYTES: 0})

    def __missing__(self, word: bytes) -> int:
        number = self[word] = len(self)
        return number


class _KnownNumbers(dict):
    """Gives each word its index in a vocabulary, END to what stands behind a caption, UNK to all others."""

    def __missing__(self, word: bytes) -> int:
        return self[UNK.encode()]


def _known_numbers(vocab: dict[str, int]) -> _KnownNumbers:
    return _KnownNumbers({word.encode(): index for word, index in vocab.items()} | {_BETWEEN_BYTES: vocab[END]})


def split_captions(captions: Iterable[str]) -> list[bytes]:
    """The words of captions in UTF-8, as `split_sentence` finds them, and U+FFFF behind each caption.

    What is plain ASCII is split all at once; the few others are split by `split_sentence` before.
    """
    plain = (caption if caption.isascii() else " ".join(split_sentence(caption)) for caption in captions)
    text = "".join([f"{caption} {_BETWEEN} " for caption in plain])
    return text.encode().translate(_SMALL_LETTERS).split()


@dataclass
class _Captions:
    """Captions in the order of their pictures' names.

    Attributes:
        words: of all captions, one after the other as they were read, with the number of `_BETWEEN` behind each; at
            the end zeros, so that any caption can be read on for as long as the longest.
        begins, ends: (captions,) where each begins in `words`, and what stands behind it.
        first: (pictures + 1,) where the captions of each picture begin.
    """

    words: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    first: np.ndarray

    def use_vocabulary(self, numbers: Mapping[bytes, int], min_count: int) -> dict[str, int]:
        """Make the vocabulary of these words, and replace their numbers by indices."""
        counts = sum(np.bincount(self.words[some], minlength=len(numbers)) for some in _parts(self.words))
        enough = (counts >= max(1, min_count)).tolist()
        kept = {word.decode(): number for word, number in numbers.items() if number and enough[number]}
        vocab = {word: index for index, word in enumerate(sorted({*kept, PAD, UNK, START, END}))}
        indices = np.full(len(numbers), vocab[UNK], self.words.dtype)
        indices[0] = vocab[END]
        indices[list(kept.values())] = [vocab[word] for word in kept]
        for some in _parts(self.words):
            self.words[some] = indices[self.words[some]]
        return vocab

    def rows(self, vocab: dict[str, int]) -> CaptionRows:
        """The matrix of these captions, whose words are indices by now."""
        lengths = self.ends - self.begins + 2
        columns = min(int(lengths.max()), LONGEST_CAPTION)
        windows = np.lib.stride_tricks.sliding_window_view(self.words, columns - 1)
        step = max(1, _AT_ONCE // columns)

        def blocks(dtype: np.dtype) -> Iterator[np.ndarray]:
            for top in range(0, len(lengths), step):
                begins = self.begins[top : top + step]
                block = np.empty((len(begins), columns), dtype)
                block[:, 0], block[:, 1:] = vocab[START], windows[begins]
                block[np.arange(columns) >= lengths[top : top + step, None]] = vocab[PAD]
                yield block

        largest = max(int(self.words.max()), vocab[PAD], vocab[START])
        if lengths.max() > columns:  # the last word of the vocabulary may be among what is cut off
            largest = max(int(block.max()) for block in blocks(self.words.dtype))
        dtype = np.min_scalar_type(largest)
        return CaptionRows((len(lengths), columns), dtype, self.first, lambda: blocks(dtype))


def _read_captions(fns: Sequence[str], zip_fn: str | Path, member: str, numbers: Mapping[bytes, int]) -> _Captions:
    """Read the captions of pictures; their words become numbers."""
    words, rows = _read_words(fns, zip_fn, member, numbers)
    return _in_order(words, numbers[_BETWEEN_BYTES], rows, len(fns))


def _read_words(
    fns: Sequence[str], zip_fn: str | Path, member: str, numbers: Mapping[bytes, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The words of all captions, as numbers and with zeros at the end; (captions,) row of each one's picture or -1."""
    lists = _read_lists(zip_fn, member)
    pictures, annotations = _read_pictures(fns, lists)
    words, rows = array("H"), array("i")
    for elements in annotations:
        rows.frombytes(pictures.rows(_column(elements, "image_id", int)).tobytes())
        split = split_captions(_column(elements, "caption", str))
        found = np.fromiter(map(numbers.__getitem__, split), np.int32, len(split))
        if words.typecode == "H" and len(numbers) > 2**16:
            words = array("I", words)
        words.frombytes(found.astype(words.typecode).tobytes())
    words.frombytes(bytes(words.itemsize * LONGEST_CAPTION))
    return np.asarray(words), np.asarray(rows)


@dataclass(frozen=True)
class _Pictures:
    """Ids of pictures in rising order, and the row of each one's name; -1 where it is none of ours."""

    ids: np.ndarray
    names: np.ndarray

    def rows(self, ids: list[int]) -> np.ndarray:
        """(ids,) rows of the pictures with these ids."""
        wanted = np.array(ids, np.int64)
        place = np.searchsorted(self.ids, wanted).clip(max=len(self.ids) - 1)
        if (self.ids[place] != wanted).any():
            raise Unusual("an id stands for no picture")
        return self.names[place]


def _read_pictures(fns: Sequence[str], lists: Iterator[tuple[str, list[dict]]]) -> tuple[_Pictures, Iterator[list]]:
    """Read the list of pictures, which comes first; what is left are the annotations."""
    row_of = {fn: row for row, fn in enumerate(fns)}
    if len(row_of) != len(fns):
        raise Unusual("a picture is named twice")
    ids, rows = array("q"), array("i")
    for name, elements in lists:
        if name != "images":
            break
        ids.extend(_column(elements, "id", int))
        rows.extend(row_of.get(fn, -1) for fn in _column(elements, "file_name", str))
    order = np.argsort(np.asarray(ids))
    pictures = _Pictures(np.asarray(ids)[order], np.asarray(rows)[order])
    if not len(order) or (pictures.ids[1:] == pictures.ids[:-1]).any():
        raise Unusual("the pictures do not come first, or an id stands for two")
    return pictures, (found for _, found in itertools.chain([(name, elements)], lists))


def _read_lists(zip_fn: str | Path, member: str) -> Iterator[tuple[str, list[dict]]]:
    """The pictures and the captions that a zip holds, some at a time."""
    with zipfile.ZipFile(zip_fn) as archive:
        info = archive.getinfo(member)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.file_size > MAX_JSON_BYTES:
            raise Unusual("it is packed in another way, or very large")
        with archive.open(info) as file:
            yield from read_lists(file, ("images", "annotations"))


def _column(elements: list[dict], key: str, kind: type) -> list:
    """The values of one key, all of the same kind."""
    values = [element.get(key) for element in elements]
    if set(map(type, values)) != {kind}:
        raise Unusual(f"{key!r} is missing or of another kind")
    return values


def _in_order(words: np.ndarray, between: int, rows: np.ndarray, pictures: int) -> _Captions:
    """Find the captions of each picture among all words; those of other pictures go."""
    places = _places(words, between)
    if rows.min() < 0:
        kept = np.repeat(rows >= 0, np.diff(places))
        words = np.concatenate([words[: len(kept)][kept], words[-LONGEST_CAPTION:]])
        places, rows = _places(words, between), rows[rows >= 0]
    counts = sum(np.bincount(rows[some], minlength=pictures) for some in _parts(rows))
    if counts.min() == 0:
        raise Unusual("a picture has no captions")
    order = np.argsort(rows, kind="stable").astype(np.int32)
    begins = places[order]
    begins += 1
    return _Captions(words, begins, places[1:][order], np.concatenate([[0], np.cumsum(counts)]))


def _places(words: np.ndarray, between: int) -> np.ndarray:
    """(captions + 1,) where the captions end, and first -1."""
    captions, small = words[:-LONGEST_CAPTION], np.min_scalar_type(-len(words))
    found = [
        np.flatnonzero(captions[some] == between).astype(small) + small.type(some.start) for some in _parts(captions)
    ]
    return np.concatenate([np.full(1, -1, small), *found])


def _parts(values: np.ndarray) -> list[slice]:
    """A long array in parts, since NumPy counts and looks up with 8 bytes a number."""
    return [slice(begin, begin + _AT_ONCE) for begin in range(0, len(values), _AT_ONCE)]
