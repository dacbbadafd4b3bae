"""Made-up captions in COCO's format: not real sentences, but as many, as long and as repetitive as COCO's."""

import json
import zipfile
from itertools import islice, product
from pathlib import Path

import numpy as np

PICTURES, CAPTIONS = 82_783, 414_113  # the training split of COCO 2014
DISTINCT_WORDS = 30_000
"""The number of words to draw from; about 24,000 are drawn, and about 8,800 of those five times or more."""

MEMBER = "annotations/captions_train2014.json"
_BEYOND_ASCII = 400  # one word in this many has an accent
_ENDS = np.array([".", ".", ".", ".", ".", "", " ", "!", " ."])


def draw_captions(captions: int, words: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The words of all captions one after another, as numbers, smaller for likelier words; and each caption's length.

    Words follow the Zipf-Mandelbrot law. Captions have 10.5 words on average (standard deviation 2.4), at least 6, with
    a long tail.
    """
    lengths = 6 + np.rint(rng.gamma(3.5, 4.5 / 3.5, captions)).astype(int)
    likely = (np.arange(words) + 3.0) ** -1.5
    return rng.choice(words, size=lengths.sum(), p=likely / likely.sum()), lengths


def write_captions(path: Path, pictures: int = PICTURES, captions: int = CAPTIONS) -> list[str]:
    """Write captions as a zip of JSON in COCO's format, with capitals and punctuation.

    Returns:
        The names of the pictures, each of which has at least one caption.
    """
    rng = np.random.default_rng(0)
    names = {9 + 7 * number: f"COCO_train2014_{9 + 7 * number:012d}.jpg" for number in range(pictures)}
    always = {"license": 3, "height": 480, "width": 640, "date_captured": "2013-11-14 11:18:45"}
    address = "http://images.example/train2014/"
    images = [
        {"file_name": name, "coco_url": address + name, "flickr_url": address + name, **always, "id": number}
        for number, name in names.items()
    ]
    drawn, lengths = draw_captions(captions, DISTINCT_WORDS, rng)
    known = _words(DISTINCT_WORDS)
    words = iter([known[number] for number in drawn.tolist()])
    owners = [images[number]["id"] for number in rng.permutation(np.arange(captions) % pictures)]  # in random order
    ends, commas = rng.choice(_ENDS, captions).tolist(), (rng.random(captions) < 0.1).tolist()
    annotations = []
    for number, (length, owner, end, comma) in enumerate(zip(lengths, owners, ends, commas, strict=True)):
        own = list(islice(words, length))
        own[3] += "," * comma
        text = " ".join(own).capitalize() + end
        annotations.append({"image_id": owner, "id": 48 + 3 * number, "caption": text})
    data = {"info": {"description": "made"}, "images": images, "licenses": [], "annotations": annotations}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, json.dumps(data))
    return list(names.values())


def _words(count: int) -> list[str]:
    """Different pronounceable words, the first ones short."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
    made = ("".join(parts) for size in (1, 2, 3) for parts in product(syllables, repeat=size))
    return [word + "é" * (number % _BEYOND_ASCII == 0) for number, word in enumerate(islice(made, count), start=1)]
