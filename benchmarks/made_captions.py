"""Captions in COCO's numbers and COCO's format: nobody's sentences, but as many, as long, and as repetitive."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PICTURES, CAPTIONS = 82_783, 414_113
"""The training split of COCO 2014."""

DISTINCT_WORDS = 30_000
"""So many words can be drawn; some 24,000 of them are, and some 8,800 of those five times or more."""

MEMBER = "annotations/captions_train2014.json"
_BEGINNINGS = [a + vowel + b for b in "nrstlmkdgp" for a in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
_BEYOND_ASCII = 400  # every so many words one has an accent
_ENDS = np.array([".", ".", ".", ".", ".", "", " ", "!", " ."])


@dataclass(frozen=True)
class MadeCaptions:
    """Captions as words by number.

    Attributes:
        words: every word that can be drawn, the likeliest first.
        drawn: (words in all,) numbers of words, caption after caption.
        lengths: (captions,) words of each.
        picture: (captions,) which picture each belongs to; every picture has one at least.
        names: of the pictures.
    """

    words: list[str]
    drawn: np.ndarray
    lengths: np.ndarray
    picture: np.ndarray
    names: list[str]


def make_captions(pictures: int = PICTURES, captions: int = CAPTIONS, seed: int = 0) -> MadeCaptions:
    """Draw captions: lengths of 7 words and more, 10.5 in the mean, words by Zipf's law as Mandelbrot bent it."""
    rng = np.random.default_rng(seed)
    lengths = 7 + rng.negative_binomial(1.5, 0.3, captions)
    likely = (np.arange(DISTINCT_WORDS) + 3.0) ** -1.5
    drawn = np.searchsorted(np.cumsum(likely / likely.sum()), rng.random(lengths.sum())).clip(0, DISTINCT_WORDS - 1)
    picture = rng.permutation(np.arange(captions) % pictures)  # in no order, as in COCO's files
    names = [f"COCO_train2014_{number:012d}.jpg" for number in _picture_ids(pictures)]
    return MadeCaptions(_words(DISTINCT_WORDS), drawn.astype(np.int32), lengths, picture, names)


def write_captions(made: MadeCaptions, path: Path, seed: int = 0) -> None:
    """Write captions as a zip that holds JSON in COCO's format, with capitals and punctuation."""
    rng = np.random.default_rng(seed)
    ids = _picture_ids(len(made.names))
    images = [
        {
            "license": 3, "file_name": name, "coco_url": f"http://images.example/train2014/{name}", "height": 480,
            "width": 640, "date_captured": "2013-11-14 11:18:45",
            "flickr_url": f"http://farm4.photos.example/3153/{number * 7919}_cbb{number % 97}_z.jpg", "id": number,
        }
        for name, number in zip(made.names, ids, strict=True)
    ]  # fmt: skip
    ends = _ENDS[rng.integers(len(_ENDS), size=len(made.lengths))].tolist()
    commas = (rng.random(len(made.lengths)) < 0.1).tolist()
    words, last = [made.words[number] for number in made.drawn.tolist()], np.cumsum(made.lengths).tolist()
    annotations = []
    for number, (stop, length) in enumerate(zip(last, made.lengths.tolist(), strict=True)):
        own = words[stop - length : stop]
        own[0] = own[0].capitalize()
        own[3] += "," if commas[number] else ""
        text = " ".join(own) + ends[number]
        annotations.append({"image_id": ids[made.picture[number]], "id": 48 + 3 * number, "caption": text})
    data = {"info": {"description": "made"}, "images": images, "licenses": [], "annotations": annotations}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, json.dumps(data))


def _picture_ids(pictures: int) -> list[int]:
    return [(9 + 7 * number) for number in range(pictures)]


def _words(count: int) -> list[str]:
    """Different words that can be pronounced, the first ones short."""
    words = []
    for number in range(count):
        left, word = number // len(_BEGINNINGS), _BEGINNINGS[number % len(_BEGINNINGS)]
        while left:
            word += _SYLLABLES[left % len(_SYLLABLES)]
            left //= len(_SYLLABLES)
        words.append(word + "é" if number % _BEYOND_ASCII == _BEYOND_ASCII - 1 else word)
    words[0] = "a"
    return words
