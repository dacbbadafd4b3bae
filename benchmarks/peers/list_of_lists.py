"""Captions as the field's course notebooks have them: lists of lists of numbers, pickled, a matrix for each batch.

Written here, in the way that is usual: one `json.load`, one regular expression a caption, a `Counter`, comprehensions.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PAD, UNK, START, END = "#PAD#", "#UNK#", "#START#", "#END#"
Indexed = list[list[list[int]]]


def read_captions(names: list[str], zip_path: Path, member: str) -> list[list[str]]:
    """The captions of each picture."""
    with zipfile.ZipFile(zip_path) as archive, archive.open(member) as file:
        data = json.load(file)
    name_of = {image["id"]: image["file_name"] for image in data["images"]}
    captions = defaultdict(list)
    for annotation in data["annotations"]:
        captions[name_of[annotation["image_id"]]].append(annotation["caption"])
    return [captions[name] for name in names]


def split_sentence(sentence: str) -> list[str]:
    """Words in small letters."""
    return list(filter(None, re.split(r"\W+", sentence.lower())))


def generate_vocabulary(captions: list[list[str]], min_count: int = 5) -> dict[str, int]:
    """Word to index."""
    counts = Counter(word for group in captions for caption in group for word in split_sentence(caption))
    words = {word for word, count in counts.items() if count >= min_count} | {PAD, UNK, START, END}
    return {word: index for index, word in enumerate(sorted(words))}


def to_indices(captions: list[list[str]], vocab: dict[str, int]) -> Indexed:
    """Lists of indices."""
    unknown, start, end = vocab[UNK], vocab[START], vocab[END]
    return [
        [[start, *(vocab.get(word, unknown) for word in split_sentence(caption)), end] for caption in group]
        for group in captions
    ]


def matrices(indexed: Indexed, pad: int, batch_size: int = 64) -> Iterator[np.ndarray]:
    """Every caption once, in batches: padded int32 matrices, as wide as their longest caption."""
    flat = [caption for group in indexed for caption in group]
    for first in range(0, len(flat), batch_size):
        batch = flat[first : first + batch_size]
        matrix = np.full((len(batch), max(map(len, batch))), pad, dtype="int32")
        for row, caption in enumerate(batch):
            matrix[row, : len(caption)] = caption
        yield matrix
