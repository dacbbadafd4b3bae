"""Prepares the captions of a data set as the lessons do, several times as fast and in a fraction of the memory.

The lessons' functions (`say_what_you_see.language.captions`) make lists of lists of words and indices: many millions
of objects. Here the JSON is streamed, and each word becomes a number in one array.
"""

import io
import json
import re
import zipfile
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from say_what_you_see.core.files import atomic_path, sha256_of
from say_what_you_see.language.captions import (
    END,
    LONGEST_CAPTION,
    PAD,
    START,
    UNK,
    CaptionArrays,
    caption_tokens_to_indices,
    generate_vocabulary,
    get_captions_for_fns,
    pack_captions,
    split_sentence,
)

_BLOCK = 4096
"""So many captions are packed at a time: what is made of them in between is small."""

_PIECE = 2**16
"""So many characters of JSON are read at a time."""

_LONGEST_BEGINNING = 100  # characters of a key, its colon and the bracket behind it
_AFTER_ELEMENT = re.compile(r"\s*([,\]])\s*(?=\S)")

_ASCII = map(chr, range(128))
_ASCII_WORDS = {ord(letter): letter.lower() if letter.isalnum() or letter == "_" else " " for letter in _ASCII}


def index_captions(
    fns: Sequence[str], zip_fn: str | Path, member: str, vocab: dict[str, int] | None = None, min_count: int = 5
) -> tuple[dict[str, int], CaptionArrays]:
    """Vocabulary and packed captions of images, the same as from the lessons' functions.

    Args:
        vocab: word to index; None makes it from these captions.
    """
    try:
        captions = _read_captions(fns, zip_fn, member)
    except Exception:  # the lessons' functions read what is unusual, and say what is wrong with what is damaged
        return _index_plainly(fns, zip_fn, member, vocab, min_count)
    vocab = vocab or captions.vocabulary(min_count)
    return vocab, captions.pack(vocab)


def write_caption_arrays(captions: CaptionArrays, path: Path, vocabulary: Path) -> None:
    """Write packed captions as `.npz`, with the checksum of the vocabulary's file, which is there already."""
    checksum = np.frombuffer(bytes.fromhex(sha256_of(vocabulary)), np.uint8)
    with atomic_path(path) as partial:
        np.savez(partial, matrix=captions.matrix, first=captions.first, vocabulary=checksum)


def split_quickly(sentence: str) -> list[str]:
    """What `split_sentence` gives, three times as fast for ASCII."""
    return sentence.translate(_ASCII_WORDS).split() if sentence.isascii() else split_sentence(sentence)


def _index_plainly(
    fns: Sequence[str], zip_fn: str | Path, member: str, vocab: dict[str, int] | None, min_count: int
) -> tuple[dict[str, int], CaptionArrays]:
    captions = get_captions_for_fns(fns, zip_fn, member)
    vocab = vocab or generate_vocabulary(captions, min_count)
    return vocab, pack_captions(caption_tokens_to_indices(captions, vocab), vocab[PAD])


@dataclass(frozen=True)
class _NumberedCaptions:
    """Captions in the order of the file, their words numbered in the order in which they were first seen."""

    words: np.ndarray  # the numbers of all captions one after the other, each from START to END
    lengths: np.ndarray  # (captions,) how many numbers belong to each
    images: np.ndarray  # (captions,) position of the image that each describes
    numbers: list[str]  # the word of each number

    def vocabulary(self, min_count: int) -> dict[str, int]:
        """What `generate_vocabulary` makes of these captions."""
        counts = np.bincount(self.words).tolist()
        frequent = {word for word, count in zip(self.numbers, counts, strict=True) if count >= min_count}
        return {word: index for index, word in enumerate(sorted(frequent | {PAD, UNK, START, END}))}

    def pack(self, vocab: dict[str, int]) -> CaptionArrays:
        """What `pack_captions` makes of these captions."""
        indices = np.array([vocab.get(word, vocab[UNK]) for word in self.numbers])
        columns = np.arange(min(int(self.lengths.max()), LONGEST_CAPTION))
        beginnings = np.cumsum(self.lengths) - self.lengths
        order = np.argsort(self.images, kind="stable")
        matrix = np.full((len(order), len(columns)), vocab[PAD], np.min_scalar_type(max(vocab.values())))
        for first in range(0, len(order), _BLOCK):
            rows = order[first : first + _BLOCK]
            real = columns < self.lengths[rows, None]
            places = (beginnings[rows, None] + columns)[real]
            matrix[first : first + _BLOCK][real] = indices[self.words[places]]
        matrix = matrix.astype(np.min_scalar_type(int(matrix.max())), copy=False)
        return CaptionArrays(matrix, np.cumsum([0, *np.bincount(self.images)]))


def _read_captions(fns: Sequence[str], zip_fn: str | Path, member: str) -> _NumberedCaptions:
    """Stream the captions of images from JSON in a zip.

    Raises:
        Exception: of any kind, if the JSON is damaged or of an unusual form, or an image has no captions.
    """
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__  # each new word gets the next number
    words, lengths, images = array("i"), array("i"), array("i")
    for image, caption in _stream_captions(fns, zip_fn, member):
        tokens = [START, *split_quickly(caption), END]
        words.extend(map(numbers.__getitem__, tokens))
        lengths.append(len(tokens))
        images.append(image)
    if np.bincount(images, minlength=len(fns)).min() == 0:
        raise ValueError("an image has no captions")
    return _NumberedCaptions(np.asarray(words), np.asarray(lengths), np.asarray(images), list(numbers))


def _stream_captions(fns: Sequence[str], zip_fn: str | Path, member: str) -> Iterator[tuple[int, str]]:
    """The captions of images in the order of the file, each with the position of its image among the names."""
    position = {fn: number for number, fn in enumerate(fns)}
    with zipfile.ZipFile(zip_fn) as archive:
        with archive.open(member) as file:
            position_of_id = {image["id"]: position.get(image["file_name"]) for image in stream_list(file, "images")}
        with archive.open(member) as file:
            for annotation in stream_list(file, "annotations"):
                image = position_of_id[annotation["image_id"]]
                if image is not None:
                    yield image, annotation["caption"]
            while file.read(_PIECE):  # at its end the checksum of the zip is looked at
                pass


def stream_list(file: IO[bytes], key: str) -> Iterator[dict]:
    """The objects of a list in a JSON object, one after the other, without the whole in memory.

    Args:
        file: the JSON, in UTF-8.
        key: the name of the list. It may stand in front of no other list.

    Raises:
        ValueError: if there is no such list, or it is damaged.
    """
    stream, decoder = io.TextIOWrapper(file, "utf-8", "surrogatepass"), json.JSONDecoder()
    text, beginning = "", None
    while beginning is None:
        piece = stream.read(_PIECE)
        if not piece:
            raise ValueError(f"there is no list {key!r}")
        text = text[-_LONGEST_BEGINNING:] + piece
        beginning = re.search(rf'"{key}"\s*:\s*\[\s*(?=\{{)', text)
    position = beginning.end()
    while True:
        try:
            element, end = decoder.raw_decode(text, position)
            after = _AFTER_ELEMENT.match(text, end)
        except ValueError:  # damaged, or not yet read to its end
            after = None
        if after:
            yield element
            position = after.end()
            if after[1] == "]":
                break
        else:
            piece = stream.read(max(_PIECE, len(text) - position))
            if not piece:
                raise ValueError(f"the list {key!r} has no end")
            text, position = text[position:] + piece, 0
    stream.detach()  # it would close the file
