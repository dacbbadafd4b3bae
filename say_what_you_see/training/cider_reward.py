"""CIDEr-D as a reward: how similar sampled captions are to those that people wrote for the same pictures, in arrays."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from say_what_you_see.language.captions import END, PAD, START, CaptionArrays

LONGEST_NGRAM = 4
LENGTH_DEVIATION = 6.0
"""How quickly captions longer or shorter than the reference lose reward: a Gaussian's standard deviation, in words."""


class _Vectors(NamedTuple):
    """Captions as CIDEr compares them."""

    weights: csr_array  # of each n-gram that occurs in a reference, (captions, n-grams)
    norms: np.ndarray  # of the weights of all n-grams of each length, in references or not, (captions, LONGEST_NGRAM)
    bigrams: np.ndarray  # their number, used to compare lengths, (captions,)


class CiderReward:
    """CIDEr-D (Vedantam et al. 2015, arXiv:1411.5726) of captions of some pictures, with END counted as a word.

    Without END a caption that breaks off, such as "a dog on a", would lose nothing. The fewer of these pictures a word
    or phrase is used for, the more it counts.

    Args:
        references: the pictures' captions as word indices, START and END included.
        vocab: word to index, at most 55,000 words.
    """

    def __init__(self, references: CaptionArrays, vocab: dict[str, int]) -> None:
        self._vocab, self._first = vocab, references.first
        caption, ngram, _ = self._count(references.matrix)
        self._ngrams, column = np.unique(ngram, return_inverse=True)
        pictures, known = references.n_images, len(self._ngrams)
        said_of = np.unique(references.image_of_caption()[caption] * known + column) % known
        self._unknown = np.log(pictures)  # the weight of an n-gram that no picture has, as if one had it
        self._rarity = self._unknown - np.log(np.bincount(said_of, minlength=known))
        self._references = self._vectors(references.matrix)

    def __call__(self, captions: np.ndarray, pictures: np.ndarray) -> np.ndarray:
        """The reward of each caption, (captions,), from 0 to 10.

        Args:
            captions: (captions, words) indices; what comes after the first END does not count.
            pictures: the number of each caption's picture, (captions,).
        """
        own, references = self._vectors(captions), self._references
        counts = np.diff(self._first)[pictures]
        caption = np.repeat(np.arange(len(captions)), counts)  # of each pair of a caption and a reference
        reference = np.arange(len(caption)) - np.repeat(np.cumsum(counts) - counts - self._first[pictures], counts)

        theirs = references.weights[reference]
        shared = own.weights[caption].minimum(theirs).multiply(theirs).tocoo()
        length = self._lengths(self._ngrams[shared.col])
        norms = own.norms[caption[shared.row], length] * references.norms[reference[shared.row], length]
        likeness = np.bincount(shared.row, shared.data / norms, len(caption)) / LONGEST_NGRAM
        likeness *= np.exp(-((own.bigrams[caption] - references.bigrams[reference]) ** 2) / (2 * LENGTH_DEVIATION**2))
        return 10 * np.bincount(caption, likeness, len(captions)) / counts

    def _vectors(self, captions: np.ndarray) -> _Vectors:
        caption, ngram, count = self._count(captions)
        column = np.minimum(np.searchsorted(self._ngrams, ngram), len(self._ngrams) - 1)
        known, length, rows = self._ngrams[column] == ngram, self._lengths(ngram), len(captions)
        weight = count * np.where(known, self._rarity[column], self._unknown)
        squares = np.bincount(caption * LONGEST_NGRAM + length, weight**2, rows * LONGEST_NGRAM)
        cells = weight[known], (caption[known], column[known])
        return _Vectors(
            csr_array(cells, shape=(rows, len(self._ngrams))),
            np.sqrt(squares).reshape(rows, LONGEST_NGRAM),
            np.bincount(caption, count * (length == 1), rows),
        )

    def _count(self, captions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The different n-grams of each caption: the caption's number, the n-gram as a number, and how often it occurs.

        An n-gram is written as a number whose digits are its words, from 1 to the size of the vocabulary.
        """
        ended = np.cumsum(captions == self._vocab[END], axis=1) - (captions == self._vocab[END]) > 0
        real = ~ended & ~np.isin(captions, [self._vocab[START], self._vocab[PAD]])
        words = np.where(real, captions.astype(np.int64) + 1, 0)
        rows, ngrams, ngram = [], [], words
        for length in range(LONGEST_NGRAM):
            if length:
                longer = ngram[:, :-1] * (len(self._vocab) + 1) + words[:, length:]
                ngram = np.where((ngram[:, :-1] > 0) & (words[:, length:] > 0), longer, 0)
            row, position = ngram.nonzero()
            rows.append(row)
            ngrams.append(ngram[row, position])
        different, number = np.unique(np.concatenate(ngrams), return_inverse=True)
        cells, count = np.unique(np.concatenate(rows) * len(different) + number, return_counts=True)
        return cells // len(different), different[cells % len(different)], count

    def _lengths(self, ngrams: np.ndarray) -> np.ndarray:
        """The number of words in each n-gram, minus 1."""
        return np.searchsorted((len(self._vocab) + 1) ** np.arange(1, LONGEST_NGRAM), ngrams, side="right")
