"""Prepares captions as the lessons do, but faster and in less memory: words become numbers while the JSON is parsed."""

import json
import zipfile
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
"""The number of captions that are packed at a time, so that intermediate arrays stay small."""

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
    except Exception:  # the lessons' functions read unusual files, and say what is wrong with damaged ones
        plain = get_captions_for_fns(fns, zip_fn, member)
        vocab = vocab or generate_vocabulary(plain, min_count)
        return vocab, pack_captions(caption_tokens_to_indices(plain, vocab), vocab[PAD])
    vocab = vocab or captions.vocabulary(min_count)
    return vocab, captions.pack(vocab)


def write_caption_arrays(captions: CaptionArrays, path: Path, vocabulary: Path) -> None:
    """Write packed captions as `.npz`, with the checksum of the vocabulary's file, which must exist."""
    checksum = np.frombuffer(bytes.fromhex(sha256_of(vocabulary)), np.uint8)
    with atomic_path(path) as partial:
        np.savez(partial, matrix=captions.matrix, first=captions.first, vocabulary=checksum)


def split_quickly(sentence: str) -> list[str]:
    """The same as `split_sentence`, but three times as fast for ASCII."""
    return sentence.translate(_ASCII_WORDS).split() if sentence.isascii() else split_sentence(sentence)


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
    """Read the captions of images from JSON in a zip; each entry is used as it is parsed, and not kept.

    Raises any error if the JSON is damaged or of an unusual form, or if an image has no captions.
    """
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__  # each new word gets the next number
    words, lengths, images = array("i"), array("i"), array("i")
    place = {fn: number for number, fn in enumerate(fns)}
    place_of_id: dict[Any, int | None] = {}
    counts = {"images": 0, "annotations": 0}

    def take(part: dict) -> dict | None:
        if "caption" in part:
            counts["annotations"] += 1
            if (image := place_of_id[part["image_id"]]) is not None:
                tokens = [START, *split_quickly(part["caption"]), END]
                words.extend(map(numbers.__getitem__, tokens))
                lengths.append(len(tokens))
                images.append(image)
        elif "file_name" in part:
            counts["images"] += 1
            place_of_id[part["id"]] = place.get(part["file_name"])
        else:
            return part
        return None

    with zipfile.ZipFile(zip_fn) as archive:
        data = json.loads(archive.read(member), object_hook=take)
    if any(len(data[key]) != count for key, count in counts.items()):
        raise ValueError("something elsewhere looks like an image or a caption, too")
    if np.bincount(images, minlength=len(fns)).min() == 0:
        raise ValueError("an image has no captions")
    return _NumberedCaptions(np.asarray(words), np.asarray(lengths), np.asarray(images), list(numbers))
