"""The exercises of notebook 03: from sentences to padded matrices."""

import json
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.data.coco_format import captions_json
from say_what_you_see.exercises.exercise import Cases, Exercise, random_cases
from say_what_you_see.language.captions import (
    END,
    PAD,
    START,
    UNK,
    batch_captions_to_matrix,
    caption_tokens_to_indices,
    generate_vocabulary,
    get_captions_for_fns,
    split_sentence,
)

_WORDS = ("a", "red", "blue", "small", "ball", "kite", "house", "below", "2", "café", "the")


def _draw_captions(rng: np.random.Generator, count: int) -> list[list[str]]:
    """One to three captions for each of `count` pictures."""

    def sentence() -> str:
        return " ".join(rng.choice(_WORDS, size=rng.integers(1, 7)).tolist())

    return [[sentence() for _ in range(rng.integers(1, 4))] for _ in range(count)]


def captions_from_zip(function: Callable, fns: Sequence[str], pictures: dict[str, list[str]]) -> Any:
    """Let a function read the captions of some pictures from a real zip, whose ids differ from positions.

    Args:
        pictures: names with their captions, in the order of the JSON.
    """
    images = [{"id": 100 + 7 * position, "file_name": fn} for position, fn in enumerate(pictures)]
    data = captions_json(images, pictures, ids_per_image=100)
    data["annotations"].sort(key=lambda annotation: annotation["id"] % 100)  # as in COCO, captions are scattered
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("annotations/captions.json", json.dumps(data))
        return function(fns, path, "annotations/captions.json")


def _zip_cases(rng: np.random.Generator) -> Cases:
    pictures = {"b.jpg": ["a red ball", "a ball"], "a.jpg": ["a kite"], "c.jpg": ["a house", "the house", "houses"]}

    def draw(number: int) -> tuple:
        names = [f"{n}.jpg" for n in rng.permutation(6)]
        return rng.permutation(names)[:4].tolist(), dict(zip(names, _draw_captions(rng, 6), strict=True))

    return {
        "one picture": (["a.jpg"], {"a.jpg": ["a kite", "the kite"]}),
        "the pictures in the order of the JSON": (list(pictures), pictures),
        "the pictures in another order": (["c.jpg", "b.jpg", "a.jpg"], pictures),
        "some of the pictures": (["c.jpg"], pictures),
        "a picture that has no caption": (["b.jpg", "d.jpg"], pictures | {"d.jpg": []}),
        **random_cases("pictures", 2, draw),
    }


def _sentence_cases(rng: np.random.Generator) -> Cases:
    def draw(number: int) -> tuple:
        marks = rng.choice([" ", ", ", ". ", "-", "! ", "  "], size=6).tolist()
        words = [word.upper() if rng.random() < 0.3 else word for word in rng.choice(_WORDS, size=6).tolist()]
        return ("".join(map("".join, zip(words, marks, strict=True))),)

    return {
        "words and spaces": ("a red ball",),
        "capital letters": ("A Red BALL",),
        "punctuation at the ends": ("A red ball, below a kite.",),
        "punctuation within a word": ("A black-and-white dog's ball",),
        "digits and letters with accents": ("2 cafés in 1999",),
        "several spaces, a tab and a line break": ("  a  red\tball \n",),
        "a word twice": ("the ball and the kite",),
        "no word at all": (" ... !",),
        **random_cases("words and marks", 3, draw),
    }


def _vocabulary_cases(rng: np.random.Generator) -> Cases:
    toy = [["a b", "b c"], ["d"]]
    return {
        "a word that occurs exactly min_count times": (toy, 2),
        "every word is kept": (toy, 1),
        "a word that occurs often in one caption": ([["ball ball ball", "kite"], ["kite"]], 3),
        "capital letters and punctuation": ([["The red ball, the ball.", "A ball!"], ["a red kite"]], 2),
        "words that are not in alphabetical order": ([["zebra kite ball"]], 1),
        "no word occurs often enough": (toy, 9),
        "no min_count given, so it is 5": ([["a a a a a b b b b"]],),
        **random_cases("captions", 3, lambda number: (_draw_captions(rng, 4), int(rng.integers(2, 4)))),
    }


def _index_cases(rng: np.random.Generator) -> Cases:
    vocab = generate_vocabulary([["a red ball kite house"]], 1)

    def draw(number: int) -> tuple:
        return _draw_captions(rng, 3), generate_vocabulary([rng.choice(_WORDS, size=6).tolist()], 1)

    return {
        "one caption of known words": ([["a red ball"]], vocab),
        "a word that is not in the vocabulary": ([["a purple ball"]], vocab),
        "capital letters and punctuation": ([["A red ball, a kite!"]], vocab),
        "two pictures, one of them with two captions": ([["a kite", "a red kite"], ["a house"]], vocab),
        "a caption without words": ([["..."]], vocab),
        "another vocabulary": ([["a red ball"]], {START: 7, END: 3, UNK: 5, PAD: 0, "a": 2, "ball": 11}),
        **random_cases("captions", 3, draw),
    }


def _matrix_cases(rng: np.random.Generator) -> Cases:
    def draw(number: int) -> tuple:
        captions = [rng.integers(2, 90, size=rng.integers(1, 9)).tolist() for _ in range(4)]
        return captions, 1, None if number == 1 else int(rng.integers(2, 6))

    return {
        "captions of different lengths": ([[1, 2, 3], [4, 5]], 9),
        "the longest caption is not the first": ([[4], [1, 2, 3, 6], [5, 6]], 9),
        "max_len cuts the long ones": ([[1, 2, 3, 4], [5, 6]], 9, 3),
        "max_len is longer than all captions": ([[1, 2, 3], [4, 5]], 9, 7),
        "PAD is 0": ([[1, 2, 3], [4]], 0),
        "one caption": ([[3, 1, 2]], 1),
        **random_cases("captions", 3, draw),
    }


EXERCISES = (
    Exercise(get_captions_for_fns, _zip_cases, captions_from_zip),
    Exercise(split_sentence, _sentence_cases),
    Exercise(generate_vocabulary, _vocabulary_cases),
    Exercise(caption_tokens_to_indices, _index_cases),
    Exercise(batch_captions_to_matrix, _matrix_cases),
)
