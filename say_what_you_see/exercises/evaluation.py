"""The exercises of notebook 06: BLEU by hand, exchanged colours, people as the yardstick."""

import contextlib
import copy
import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from say_what_you_see.evaluation.bleu_by_hand import bleu_by_hand, brevity_penalty, clipped_matches, count_ngrams
from say_what_you_see.evaluation.caption_variants import fit_articles, swap_colours
from say_what_you_see.evaluation.people import leave_one_out
from say_what_you_see.exercises.compare import Properties, short
from say_what_you_see.exercises.exercise import Cases, Exercise, random_cases

_WORDS = ("a", "red", "blue", "ball", "kite", "the", "above")
Words = Sequence[str]


def _draw_sentence(rng: np.random.Generator, fewest: int = 3, most: int = 9) -> str:
    return " ".join(rng.choice(_WORDS, size=rng.integers(fewest, most + 1)).tolist())


def counts_and_type(function: Callable, *arguments: Any) -> Properties:
    """The counts and their type: the next functions need what only a Counter can do."""
    counts = function(*arguments)
    return Properties(type=type(counts).__name__, counts=counts)


def _ngram_cases(rng: np.random.Generator) -> Cases:
    words = ["a", "red", "ball", "above", "a", "red", "kite"]
    return {
        "single words, n = 1": (words, 1),
        "pairs, n = 2": (words, 2),
        "triples, n = 3": (words, 3),
        "as many words as n": (words[:3], 3),
        "fewer words than n": (["a", "ball"], 4),
        "no words": ([], 1),
        **random_cases("words", 3, lambda number: (_draw_sentence(rng, 6, 12).split(), number)),
    }


def _match_cases(rng: np.random.Generator) -> Cases:
    caption = ["a", "red", "ball", "above", "a", "green", "house"]
    people = [
        ["a", "green", "house", "below", "a", "red", "ball"],
        ["a", "red", "ball", "over", "a", "small", "green", "house"],
    ]
    the = [["the", "cat", "and", "the", "dog"], ["the", "cat"]]

    def draw(number: int) -> tuple:
        return _draw_sentence(rng).split(), [_draw_sentence(rng).split() for _ in range(3)], 1 + number // 3

    return {
        "words, one of which is in no reference": (caption, people, 1),
        "pairs": (caption, people, 2),
        "a word that is repeated too often": (["the"] * 4, the, 1),
        "a word that is in two references": (["the", "cat"], the, 1),
        "one reference": (["a", "a", "ball"], [["a", "ball", "and", "a", "kite"]], 1),
        "nothing matches": (["kite"], people, 1),
        "a caption that is shorter than n": (["a", "ball"], people, 3),
        **random_cases("captions", 3, draw),
    }


def _penalty_cases(rng: np.random.Generator) -> Cases:
    return {
        "as long as the only reference": (7, [7]),
        "shorter than the references": (5, [8, 9]),
        "longer than the references": (12, [8, 9]),
        "between the references, closer to the longer": (7, [3, 8, 20]),
        "between the references, closer to the shorter": (7, [20, 6, 12]),
        "as close to a longer one as to a shorter one": (7, [9, 5]),
        "as close to a shorter one as to a longer one": (7, [5, 9]),
        "much shorter than the closest": (2, [9, 11]),
        "no words": (0, [7, 8]),
        **random_cases("lengths", 3, lambda number: (int(rng.integers(1, 9)), rng.integers(5, 14, size=4).tolist())),
    }


def bleu_in_silence(function: Callable, *arguments: Any) -> Any:
    """The score; what is printed on the way is ignored."""
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments)


def _bleu_cases(rng: np.random.Generator) -> Cases:
    people = ["a green house below a red ball", "a red ball over a small green house in the snow"]

    def draw(number: int) -> tuple:
        return _draw_sentence(rng, 6), [_draw_sentence(rng, 6) for _ in range(4)], min(number, 2)

    return {
        "BLEU-1": ("a red ball above a green house", people, 1),
        "BLEU-2": ("a red ball above a green house", people, 2),
        "no n given, so it is 4": ("a red ball over a small house", people),
        "word for word what a person wrote": (people[0], people, 3),
        "a short caption, which is penalised": ("a green house", people, 2),
        "no pair matches": ("ball red a", people, 2),
        "a caption that is shorter than n": ("red ball", people, 3),
        "no words": ("", people, 2),
        **random_cases("captions", 3, draw),
    }


def _swap_cases(rng: np.random.Generator) -> Cases:
    def draw(number: int) -> tuple:
        colours = rng.choice(["red", "orange", "blue", "green"], size=3).tolist()
        things = rng.choice(["ball", "kite", "house"], size=3, replace=False).tolist()
        phrases = [f"a {colour} {thing}" for colour, thing in zip(colours, things, strict=True)]
        return (" ".join(fit_articles(" and ".join(phrases).split())),)

    return {
        "two colours": ("a red ball above a blue kite",),
        "articles that must change": ("a red ball above an orange kite",),
        "the same colour twice, and then another": ("a red ball and a red kite below a blue cloud",),
        "the first colour comes again at the end": ("a red ball, a blue kite and a red house",),
        "three colours": ("a green tree between a black car and a white house",),
        "one colour": ("a red ball and a kite",),
        "one colour, twice": ("a red ball and a red kite",),
        "no colour": ("a small ball in the snow",),
        **random_cases("colours", 3, draw),
    }


def properties_of_leaving(function: Callable, references: Sequence[Words]) -> Properties:
    """What is true over forty seeds: any random choice is fine."""
    results = [function(references, 0), *(function(copy.deepcopy(references), seed) for seed in range(1, 40))]
    if not all(isinstance(result, list) and all(isinstance(g, list) for g in result) for result in results):
        return Properties(form=f"not a list of lists, but {short(results[0])}")
    if any(len(result) != len(references) for result in results):
        return Properties({"form": "a list of lists", "each picture is still there": False})
    pairs = [list(zip(references, result, strict=True)) for result in results]
    out = [[_left_out(*pair) for pair in row] for row in pairs]
    ends = {"the first caption": 0, "the last caption": -1}
    always = (name for name, i in ends.items() if all(row == [group[i] for group in references] for row in out))
    chosen = [set(column) for column in zip(*out, strict=True)]
    return Properties(
        {
            "form": "a list of lists",
            "each picture is still there": True,
            "one caption of each picture is left out": all(len(g) - len(left) == 1 for row in pairs for g, left in row),
            "the others are still there": all(caption is not None for row in out for caption in row),
            "what is always left out": next(always, "nothing"),
            "the same seed leaves out the same": results
            == [function(copy.deepcopy(references), seed) for seed in range(40)],
            "another seed leaves out others": any(result != results[0] for result in results),
            "every caption can be left out": [*map(len, chosen)] == [len(set(group)) for group in references],
            "the pictures choose independently": len(set(map(tuple, out))) > max(map(len, references)),
        }
    )


def _left_out(before: Words, after: Words) -> str | None:
    """The one caption that is no longer there; None if it is not exactly one."""
    missing = Counter(before) - Counter(after)
    return next(iter(missing)) if missing.total() == 1 and not Counter(after) - Counter(before) else None


def _leaving_cases(rng: np.random.Generator) -> Cases:
    fixed = [["a ball", "the ball", "a red ball"], ["a kite", "one kite", "kites"], ["a car", "the car", "cars"]]
    twice = [["a ball", "a red ball", "a ball", "balls"], ["a kite", "a kite", "kites"], ["a car", "cars", "a car"]]
    drawn = [[f"caption {i} of {p}" for i in range(rng.integers(2, 6))] for p in range(4)]
    return {
        "three pictures of three captions": (fixed,),
        "captions that two people wrote": (twice,),
        "random numbers of captions": (drawn,),
    }


EXERCISES = (
    Exercise(count_ngrams, _ngram_cases, counts_and_type),
    Exercise(clipped_matches, _match_cases),
    Exercise(brevity_penalty, _penalty_cases),
    Exercise(bleu_by_hand, _bleu_cases, bleu_in_silence),
    Exercise(swap_colours, _swap_cases),
    Exercise(leave_one_out, _leaving_cases, properties_of_leaving),
)
