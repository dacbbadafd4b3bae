"""Captions: from sentences to padded matrices of word indices."""

import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError

PAD = "#PAD#"
UNK = "#UNK#"
START = "#START#"
END = "#END#"

LONGEST_CAPTION = 200
"""Captions are cut to this length when they are packed: people write up to about 60 words, and one caption of 10,000
would make the matrix of a large data set too large for memory."""


def get_captions_for_fns(fns: Sequence[str], zip_fn: str | Path, zip_json_path: str) -> list[list[str]]:
    """The captions of each picture, in the order of the file names.

    Args:
        fns: names of the pictures.
        zip_fn: a zip file that holds caption JSON in COCO's format.
        zip_json_path: where in the zip that JSON is.

    Raises:
        CourseError: if a picture has no captions.
    """
    with zipfile.ZipFile(zip_fn) as archive:
        data = json.loads(archive.read(zip_json_path))
    id_to_fn = {image["id"]: image["file_name"] for image in data["images"]}
    fn_to_captions = defaultdict(list)
    for annotation in data["annotations"]:
        fn_to_captions[id_to_fn[annotation["image_id"]]].append(annotation["caption"])
    missing = [fn for fn in fns if fn not in fn_to_captions]
    if missing:
        raise CourseError(f"{Path(zip_fn).name} has no caption for {missing[0]}; pictures without one: {len(missing)}.")
    return [fn_to_captions[fn] for fn in fns]


def split_sentence(sentence: str) -> list[str]:
    """Split a sentence into lower-case words; punctuation is dropped.

    >>> split_sentence("A red ball, below a kite.")
    ['a', 'red', 'ball', 'below', 'a', 'kite']
    """
    return re.findall(r"\w+", sentence.lower())


def generate_vocabulary(train_captions: Sequence[Sequence[str]], min_count: int = 5) -> dict[str, int]:
    """Give an index to every word that occurs `min_count` times or more, and to the four special tokens.

    Args:
        train_captions: the captions of each picture.
        min_count: words that occur less often are left out; `UNK` stands for them.

    Returns:
        Word to index; the indices follow the sorted words.
    """
    counts = Counter(word for captions in train_captions for caption in captions for word in split_sentence(caption))
    words = {word for word, count in counts.items() if count >= min_count}
    return {word: index for index, word in enumerate(sorted(words | {PAD, UNK, START, END}))}


def caption_tokens_to_indices(captions: Sequence[Sequence[str]], vocab: dict[str, int]) -> list[list[list[int]]]:
    """Replace the words of captions by indices, with START before and END after each caption.

    Args:
        captions: the captions of each picture.
        vocab: word to index.

    Returns:
        For each picture, for each caption, a list of indices.
    """

    def to_indices(caption: str) -> list[int]:
        words = [START, *split_sentence(caption), END]
        return [vocab.get(word, vocab[UNK]) for word in words]

    return [[to_indices(caption) for caption in group] for group in captions]


def batch_captions_to_matrix(
    batch_captions: Sequence[Sequence[int]], pad_idx: int, max_len: int | None = None
) -> np.ndarray:
    """Put captions of different lengths into one matrix; shorter ones are padded on the right.

    Args:
        batch_captions: captions as lists of indices.
        pad_idx: the index that fills empty places.
        max_len: longer captions are cut to this many indices; None cuts none.

    Returns:
        int32 array of shape (captions, min(longest caption, max_len)).
    """
    longest = max(map(len, batch_captions))
    columns = longest if max_len is None else min(longest, max_len)
    matrix = np.full((len(batch_captions), columns), pad_idx, dtype=np.int32)
    for row, caption in zip(matrix, batch_captions, strict=True):
        words = caption[:columns]
        row[: len(words)] = words
    return matrix


@dataclass(frozen=True)
class CaptionArrays:
    """The captions of many images as two integer arrays, which take a tenth of the memory of lists."""

    matrix: np.ndarray  # (captions, longest) indices, padded on the right
    first: np.ndarray  # (images + 1,) row where the captions of each image begin; the last is the number of captions

    @property
    def n_images(self) -> int:
        """The number of images that the captions describe."""
        return len(self.first) - 1

    def choose(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A random caption of each given image: (images, longest) indices."""
        begin, end = self.first[images], self.first[images + 1]
        return self.matrix[rng.integers(begin, end)]

    def image_of_caption(self) -> np.ndarray:
        """For each row of the matrix, which image it describes."""
        return np.repeat(np.arange(self.n_images), np.diff(self.first))


def pack_captions(
    captions_indexed: Iterable[Sequence[Sequence[int]]], pad_idx: int, max_len: int | None = LONGEST_CAPTION
) -> CaptionArrays:
    """Pack indexed captions into arrays of the smallest integer type that holds every index.

    Args:
        max_len: longer captions are cut to this many indices; None cuts none.
    """
    groups = list(captions_indexed)
    sizes = [len(group) for group in groups]
    if not groups or 0 in sizes:
        raise CourseError(f"Picture number {sizes.index(0)} has no captions." if sizes else "There are no captions.")
    matrix = batch_captions_to_matrix([caption for group in groups for caption in group], pad_idx, max_len)
    return CaptionArrays(matrix.astype(np.min_scalar_type(int(matrix.max()))), np.cumsum([0, *sizes]))


def invert_vocabulary(vocab: dict[str, int]) -> list[str]:
    """The word of each index."""
    return sorted(vocab, key=vocab.__getitem__)


def indices_to_sentence(indices: Iterable[int], words: Sequence[str]) -> str:
    """Turn a caption's indices into a sentence, up to END and without START and padding.

    Args:
        words: the word of each index, from `invert_vocabulary`.
    """
    sentence = []
    for index in indices:
        if words[index] == END:
            break
        if words[index] not in (START, PAD):
            sentence.append(words[index])
    return " ".join(sentence)


def most_common_caption(captions: Sequence[Sequence[str]]) -> str:
    """The most frequent caption, the alphabetically first of several: the best guess without looking."""
    counts = Counter(" ".join(split_sentence(caption)) for group in captions for caption in group)
    return min(counts, key=lambda sentence: (-counts[sentence], sentence))
