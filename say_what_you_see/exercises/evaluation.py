"""The exercises of notebook 06: BLEU by hand, exchanged colours, people as the yardstick."""

from __future__ import annotations

import contextlib
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from say_what_you_see.evaluation.bleu_by_hand import bleu_by_hand, brevity_penalty, clipped_matches, count_ngrams
from say_what_you_see.evaluation.caption_variants import COLOUR_NAMES, fit_articles, swap_colours
from say_what_you_see.evaluation.people import leave_one_out
from say_what_you_see.exercises.cases import Case, Exercise, Mistake
from say_what_you_see.exercises.compare import copy_of, short
from say_what_you_see.exercises.facts import Facts

NOTEBOOK = "06_evaluate_captions"

_WORDS = ("a", "red", "blue", "ball", "kite", "the", "above")
Words = Sequence[str]


def _sentence(rng: np.random.Generator, fewest: int = 3, most: int = 9) -> str:
    return " ".join(rng.choice(_WORDS, size=rng.integers(fewest, most + 1)).tolist())


def _split(sentence: str) -> list[str]:
    return sentence.split()


# count_ngrams


def facts_of_counts(function: Callable, words: Words, n: int) -> Facts:
    """What is counted, and by what: the functions after it need what only a Counter can do."""
    found = function(words, n)
    return Facts(type=type(found).__name__, counts=found)


def _ngram_cases(rng: np.random.Generator) -> list[Case]:
    words = _split("a red ball above a red kite")
    return [
        Case("single words, n = 1", (words, 1)),
        Case("pairs, n = 2", (words, 2)),
        Case("triples, n = 3", (words, 3)),
        Case("as many words as n", (_split("a red ball"), 3)),
        Case("fewer words than n", (_split("a ball"), 4)),
        Case("no words", ([], 1)),
        *(Case(f"random words, n = {n}", (_sentence(rng, 6, 12).split(), n)) for n in (1, 2, 4)),
    ]


def _ngrams(
    last: Callable = lambda length, n: length - n + 1,
    step: Callable = lambda n: 1,
    take: Callable = lambda words, i, n: tuple(words[i : i + n]),
    count: Callable = Counter,
) -> Callable:
    """A `count_ngrams` in which one step is done in another way."""

    def wrong(words: Words, n: int) -> Any:
        return count([take(words, i, n) for i in range(0, last(len(words), n), step(n))])

    return wrong


_HOW_MANY = (
    "Write down the pairs of a sentence of four words. How many are there, and at which word does the last begin?"
)

_COUNT_NGRAMS = Exercise(
    count_ngrams,
    NOTEBOOK,
    _ngram_cases,
    mistakes=(
        Mistake("the last run of n words is missing", _ngrams(lambda length, n: length - n), _HOW_MANY),
        Mistake("there are runs at the end that are shorter than n", _ngrams(lambda length, n: length), _HOW_MANY),
        Mistake(
            "each run is counted once, however often it occurs",
            _ngrams(count=lambda runs: Counter(set(runs))),
            "A set forgets that a run came twice.",
        ),
        Mistake(
            "the runs do not overlap",
            _ngrams(step=lambda n: n),
            "After 'a red', the next pair is 'red ball'.",
        ),
        Mistake(
            "the runs are texts, and not tuples of words",
            _ngrams(take=lambda words, i, n: " ".join(words[i : i + n])),
            "The annotation says tuple[str, ...].",
        ),
        Mistake(
            "the runs are lists, which a Counter cannot count",
            _ngrams(take=lambda words, i, n: list(words[i : i + n]), count=lambda runs: {run: 1 for run in [[]]}),
            "Keys have to be such that they never change. What is like a list and cannot be changed?",
        ),
        Mistake(
            "words are counted, and not runs of n words",
            _ngrams(lambda length, n: length, take=lambda words, i, n: (words[i],)),
            "n says how many words stand in a run.",
        ),
        Mistake(
            "the runs come back, and are not counted",
            _ngrams(count=list),
            "collections.Counter counts whatever is in a list.",
        ),
        Mistake(
            "an ordinary dictionary comes back, and not a Counter",
            _ngrams(count=lambda runs: dict(Counter(runs))),
            "The next exercise combines counts by signs that only a Counter knows.",
        ),
        Mistake(
            "the number of runs comes back, and not how often each occurs",
            _ngrams(count=len),
            "collections.Counter counts whatever is in a list, each for itself.",
        ),
    ),
    hints=(
        "words[i : i + n] is a run of n words that begins at position i. Where does the last one begin?",
        "A list cannot be a key of a Counter, a tuple can.",
        "A Counter takes anything that can be gone through, also (something for i in range(...)).",
    ),
    observe=facts_of_counts,
)


# clipped_matches


def _match_cases(rng: np.random.Generator) -> list[Case]:
    people = [_split("a green house below a red ball"), _split("a red ball over a small green house")]
    the = [["the", "cat", "and", "the", "dog"], ["the", "cat"]]
    return [
        Case("words, one of which nobody wrote", (_split("a red ball above a green house"), people, 1)),
        Case("pairs", (_split("a red ball above a green house"), people, 2)),
        Case("a word that is repeated too often", (["the"] * 4, the, 1)),
        Case("a word that stands in two references", (["the", "cat"], the, 1)),
        Case("one reference", (["a", "a", "ball"], [["a", "ball", "and", "a", "kite"]], 1)),
        Case("nothing matches", (["kite"], people, 1)),
        Case("a caption that is shorter than n", (["a", "ball"], people, 3)),
        *(
            Case(f"random captions, n = {n}", (_sentence(rng).split(), [_sentence(rng).split() for _ in range(3)], n))
            for n in (1, 1, 2)
        ),
    ]


def _matches(
    allow: Callable = lambda counts: _largest(counts),
    match: Callable = lambda found, allowed: (found & allowed).total(),
    count: Callable = count_ngrams,
    arrange: Callable = lambda matches, found, allowed: (matches, found.total()),
) -> Callable:
    """A `clipped_matches` in which one step is done in another way."""

    def wrong(candidate: Words, references: Sequence[Words], n: int) -> Any:
        found = count(candidate, n)
        allowed = allow([count(reference, n) for reference in references])
        return arrange(match(found, allowed), found, allowed)

    return wrong


def _largest(counts: Sequence[Counter]) -> Counter:
    """Of each key its largest count."""
    largest: Counter = Counter()
    for each in counts:
        largest |= each
    return largest


_CLIP = "The most that counts is how often the one reference has it that has most of it. Try 'the the the the' by hand."

_CLIPPED_MATCHES = Exercise(
    clipped_matches,
    NOTEBOOK,
    _match_cases,
    mistakes=(
        Mistake(
            "the counts are not clipped: a word that is repeated counts every time",
            _matches(match=lambda found, allowed: sum(count for run, count in found.items() if run in allowed)),
            _CLIP,
        ),
        Mistake(
            "the references are added up, so a word counts as often as all of them together have it",
            _matches(lambda counts: sum(counts, Counter())),
            _CLIP,
        ),
        Mistake(
            "only the first reference is looked at",
            _matches(lambda counts: counts[0]),
            "A match may be in any of the references.",
        ),
        Mistake(
            "only the last reference is looked at",
            _matches(lambda counts: counts[-1]),
            "A match may be in any of the references. What is left of the others when the next one comes?",
        ),
        Mistake(
            "an n-gram must be in every reference to count",
            _matches(lambda counts: Counter({run: min(c[run] for c in counts) for run in counts[0]})),
            "A match may be in any of the references. & takes the smaller count; which sign takes the larger?",
        ),
        Mistake(
            "an n-gram counts once at most",
            _matches(match=lambda found, allowed: len(found & allowed)),
            "A Counter's length is how many different keys it has. Its total is another number.",
        ),
        Mistake(
            "different n-grams are counted, and not how often they occur",
            _matches(
                match=lambda found, allowed: len(found & allowed),
                arrange=lambda matches, found, _: (matches, len(found)),
            ),
            "A Counter's length is how many different keys it has. Its total is another number.",
        ),
        Mistake(
            "the second number belongs to the references, and not to the caption",
            _matches(arrange=lambda matches, found, allowed: (matches, allowed.total())),
            "BLEU asks which share of the caption's n-grams matches.",
        ),
        Mistake(
            "the two numbers have changed places",
            _matches(arrange=lambda matches, found, allowed: (found.total(), matches)),
            "The docstring says which comes first.",
        ),
        Mistake(
            "the share comes back, and not the two numbers",
            _matches(arrange=lambda matches, found, allowed: matches / found.total() if found else 0.0),
            "BLEU of many captions adds up matches and totals before it divides. Both are needed.",
        ),
        Mistake(
            "the matches alone come back",
            _matches(arrange=lambda matches, found, allowed: matches),
            "The docstring says two things: how many match, and how many there are.",
        ),
        Mistake(
            "single words are compared, whatever n is",
            _matches(count=lambda words, n: count_ngrams(words, 1)),
            "Your count_ngrams takes n.",
        ),
    ),
    hints=(
        "Counters can be combined: a & b has the smaller count of each key, a | b the larger, a + b the sum.",
        "First find how often each n-gram is allowed: over all references, the largest count.",
        "What the caption has and what is allowed: which of the three signs gives the matches?",
        "counter.total() is the sum of all counts.",
    ),
)


# brevity_penalty


def _penalty_cases(rng: np.random.Generator) -> list[Case]:
    return [
        Case("as long as the only reference", (7, [7])),
        Case("shorter than the references", (5, [8, 9])),
        Case("longer than the references", (12, [8, 9])),
        Case("between the references, closer to the longer", (7, [3, 8, 20])),
        Case("between the references, closer to the shorter", (7, [20, 6, 12])),
        Case("as close to a longer one as to a shorter one", (7, [9, 5])),
        Case("as close to a shorter one as to a longer one", (7, [5, 9])),
        Case("much shorter than the closest", (2, [9, 11])),
        Case("no words", (0, [7, 8])),
        *(
            Case(f"random lengths, number {n}", (int(rng.integers(1, 9)), rng.integers(5, 14, size=4).tolist()))
            for n in (1, 2, 3)
        ),
    ]


def _closest(length: int, others: Sequence[int]) -> int:
    return min(others, key=lambda other: (abs(other - length), other))


def _penalty(
    choose: Callable = _closest,
    factor: Callable = lambda length, chosen: min(1.0, math.exp(1 - chosen / length)),
    of_nothing: Callable = lambda: 0.0,
) -> Callable:
    """A `brevity_penalty` in which one step is done in another way."""

    def wrong(length: int, reference_lengths: Sequence[int]) -> float:
        chosen = choose(length, reference_lengths)
        return factor(length, chosen) if length else of_nothing()

    return wrong


def _divides_by_zero() -> float:
    raise ZeroDivisionError


_TIE = "The task says which of the two counts. A key can be a pair: where its first part is equal, the second decides."
_WHICH = "The docstring says which reference a caption is compared with. min takes a key."

_BREVITY_PENALTY = Exercise(
    brevity_penalty,
    NOTEBOOK,
    _penalty_cases,
    mistakes=(
        Mistake(
            "upside down: long captions are punished, and short ones are not",
            _penalty(factor=lambda length, chosen: min(1.0, math.exp(1 - length / chosen))),
            "For a caption of 5 words and a reference of 8 the factor must be below 1. Which is divided by which?",
        ),
        Mistake(
            "a caption that is longer than the reference gets more than 1",
            _penalty(factor=lambda length, chosen: math.exp(1 - chosen / length)),
            "A penalty can take off, and never add. What is the largest that it may be?",
        ),
        Mistake(
            "the longest reference is taken, and not the closest",
            _penalty(lambda length, others: max(others)),
            _WHICH,
        ),
        Mistake(
            "the shortest reference is taken, and not the closest",
            _penalty(lambda length, others: min(others)),
            _WHICH,
        ),
        Mistake(
            "the mean length of the references is taken, and not the closest",
            _penalty(lambda length, others: sum(others) / len(others)),
            _WHICH,
        ),
        Mistake(
            "the first reference is taken, and not the closest",
            _penalty(lambda length, others: others[0]),
            _WHICH,
        ),
        Mistake(
            "of two references that are equally close the longer one is taken",
            _penalty(lambda length, others: min(others, key=lambda other: (abs(other - length), -other))),
            _TIE,
        ),
        Mistake(
            "of two references that are equally close the first one is taken, whichever it is",
            _penalty(lambda length, others: min(others, key=lambda other: abs(other - length))),
            _TIE,
        ),
        Mistake(
            "a caption without words ends in a ZeroDivisionError",
            _penalty(of_nothing=_divides_by_zero),
            "Who says nothing gets nothing. Look for a length of 0 before you divide.",
        ),
        Mistake(
            "a caption without words has no penalty",
            _penalty(of_nothing=lambda: 1.0),
            "Who says nothing gets nothing.",
        ),
        Mistake(
            "the factor is length / reference, without the exponential function",
            _penalty(factor=lambda length, chosen: min(1.0, length / chosen)),
            "The factor is e to the power of 1 - reference / length, as the task says.",
        ),
        Mistake(
            "1 comes too much: the factor is e to the power of - reference / length",
            _penalty(factor=lambda length, chosen: min(1.0, math.exp(-chosen / length))),
            "What should come out for a caption that is as long as its reference?",
        ),
        Mistake(
            "the penalty is taken off and not multiplied: 1 minus the factor comes back",
            _penalty(factor=lambda length, chosen: 1 - min(1.0, math.exp(1 - chosen / length))),
            "A factor of 1 takes nothing off.",
        ),
    ),
    hints=(
        "min(values, key=function) finds the value for which the function is smallest.",
        "math.exp(1 - reference / length) is 1 for equal lengths. When is it less, when more?",
        "Two things remain: never more than 1, and a caption of no words.",
    ),
)


# bleu_by_hand


def bleu_in_silence(function: Callable, candidate: str, references: Words, **options: Any) -> Any:
    """The score; what is printed on the way does not count."""
    with contextlib.redirect_stdout(io.StringIO()):
        return function(candidate, references, **options)


def _bleu_cases(rng: np.random.Generator) -> list[Case]:
    people = ["a green house below a red ball", "a red ball over a small green house in the snow"]
    caption = "a red ball above a green house"
    return [
        Case("BLEU-1", (caption, people), {"n": 1}),
        Case("BLEU-2", (caption, people), {"n": 2}),
        Case("without n, which then is 4", ("a red ball over a small house", people)),
        Case("word for word what somebody wrote", (people[0], people), {"n": 3}),
        Case("a short caption, which pays for it", ("a green house", people), {"n": 2}),
        Case("no pair matches", ("ball red a", people), {"n": 2}),
        Case("a caption that is shorter than n", ("red ball", people), {"n": 3}),
        Case("no words", ("", people), {"n": 2}),
        *(
            Case(f"random captions, BLEU-{n}", (_sentence(rng, 6), [_sentence(rng, 6) for _ in range(4)]), {"n": n})
            for n in (1, 2, 2)
        ),
    ]


def _bleu(
    sizes: Callable = lambda n: range(1, n + 1),
    join: Callable = lambda shares, n: math.prod(shares) ** (1 / n),
    punish: Callable = lambda score, penalty: penalty * score,
    split: Callable = str.split,
    share: Callable = lambda matches, total: matches / total if total else 0.0,
) -> Callable:
    """A `bleu_by_hand` in which one step is done in another way."""

    def wrong(candidate: str, references: Words, n: int = 4) -> float:
        words, others = split(candidate), [split(reference) for reference in references]
        shares = [share(*clipped_matches(words, others, size)) for size in sizes(n)]
        return punish(join(shares, n), brevity_penalty(len(words), list(map(len, others))))

    return wrong


_GEOMETRIC = "The geometric mean of n numbers is the n-th root of their product. A root is a power, too."
_FROM_ONE = "BLEU-2 counts single words and pairs. Which sizes does BLEU-4 count?"

_BLEU = Exercise(
    bleu_by_hand,
    NOTEBOOK,
    _bleu_cases,
    mistakes=(
        Mistake(
            "the arithmetic mean is taken, and not the geometric one",
            _bleu(join=lambda shares, n: sum(shares) / n),
            _GEOMETRIC,
        ),
        Mistake(
            "the root is missing: the shares are only multiplied",
            _bleu(join=lambda shares, n: math.prod(shares)),
            _GEOMETRIC,
        ),
        Mistake(
            "always the fourth root is taken, also where n is smaller",
            _bleu(join=lambda shares, n: math.prod(shares) ** 0.25),
            _GEOMETRIC,
        ),
        Mistake(
            "only runs of exactly n words are counted, and not all from 1 to n",
            _bleu(sizes=lambda n: [n], join=lambda shares, n: shares[0]),
            _FROM_ONE,
        ),
        Mistake("runs of n words are not counted", _bleu(sizes=lambda n: range(1, n)), _FROM_ONE),
        Mistake(
            "the brevity penalty is forgotten",
            _bleu(punish=lambda score, penalty: score),
            "A caption of one right word would be perfect.",
        ),
        Mistake(
            "the brevity penalty goes through the root, too",
            lambda candidate, references, n=4: _bleu(
                join=lambda shares, n: math.prod(shares), punish=lambda score, penalty: (score * penalty) ** (1 / n)
            )(candidate, references, n),
            "First the mean of the shares, then the penalty, as it is.",
        ),
        Mistake(
            "the score is divided by the brevity penalty",
            _bleu(punish=lambda score, penalty: score / penalty if penalty else 0.0),
            "The penalty is a factor below 1. What should it do to the score?",
        ),
        Mistake(
            "the captions are not split, so letters are counted",
            _bleu(split=list),
            "To go through a text is to go through its letters. Which method makes words of it?",
        ),
        Mistake(
            "a caption that is shorter than n ends in a ZeroDivisionError",
            _bleu(share=lambda matches, total: matches / total),
            "Two words have no run of three. What share do they get then?",
        ),
        Mistake(
            "a caption that is shorter than n gets a share of 1 for runs that it does not have",
            _bleu(share=lambda matches, total: matches / total if total else 1.0),
            "Where there is nothing, nothing matches.",
        ),
    ),
    hints=(
        "Split the caption and the references into words. Then go through the sizes from 1 to n.",
        "Your clipped_matches gives matches and total; their quotient is a share. Mind a total of 0.",
        "math.prod multiplies a list of numbers. The n-th root of x is x ** (1 / n).",
        "In the end, brevity_penalty wants lengths: of the caption, and of each reference.",
    ),
    observe=bleu_in_silence,
)  # fmt: skip


# swap_colours


def _swap_cases(rng: np.random.Generator) -> list[Case]:
    fixed = {
        "two colours": "a red ball above a blue kite",
        "articles that have to change": "a red ball above an orange kite",
        "the same colour twice, and then another": "a red ball and a red kite below a blue cloud",
        "the first colour comes once more at the end": "a red ball, a blue kite and a red house",
        "three colours": "a green tree between a black car and a white house",
        "one colour": "a red ball and a kite",
        "one colour, twice": "a red ball and a red kite",
        "no colour": "a small ball in the snow",
    }
    cases = [Case(name, (caption,)) for name, caption in fixed.items()]
    for number in (1, 2, 3):
        colours = rng.choice(["red", "orange", "blue", "green"], size=3).tolist()
        things = rng.choice(["ball", "kite", "house"], size=3, replace=False).tolist()
        said = fit_articles(" and ".join(f"a {c} {t}" for c, t in zip(colours, things, strict=True)).split())
        cases.append(Case(f"random colours, number {number}", (" ".join(said),)))
    return cases


def _places(words: Words) -> list[int]:
    return [i for i, word in enumerate(words) if word in COLOUR_NAMES]


def _second(words: Words, places: Sequence[int]) -> int | None:
    return next((i for i in places if words[i] != words[places[0]]), None)


def _swap(
    second: Callable = _second,
    exchange: Callable = lambda words, i, j: words.__setitem__(slice(None), _exchanged(words, i, j)),
    finish: Callable = fit_articles,
    unchanged: Callable = lambda caption: caption,
) -> Callable:
    """A `swap_colours` in which one step is done in another way."""

    def wrong(caption: str) -> Any:
        words = caption.split()
        places = _places(words)
        other = second(words, places)
        if other is None:
            return unchanged(caption)
        exchange(words, places[0], other)
        return " ".join(finish(words))

    return wrong


def _exchanged(words: Words, i: int, j: int) -> list[str]:
    new = list(words)
    new[i], new[j] = new[j], new[i]
    return new


def _overwrite(words: list[str], i: int, j: int) -> None:
    words[i] = words[j]
    words[j] = words[i]


def _replaced(both: bool) -> Callable:
    def wrong(caption: str) -> str:
        words = caption.split()
        places = _places(words)
        other = _second(words, places)
        if other is None:
            return caption
        one, two = words[places[0]], words[other]
        if not both:
            return " ".join(fit_articles(caption.replace(one, two).replace(two, one).split()))
        swapped = {one: two, two: one}
        return " ".join(fit_articles([swapped.get(word, word) for word in words]))

    return wrong


def _needs_two(caption: str) -> str:
    words = caption.split()
    i, j = _places(words)[:2]
    return " ".join(fit_articles(_exchanged(words, i, j)))


_DIFFERENT = "Two *different* colours are exchanged. Which place has the first colour that is unlike the first of all?"

_SWAP = Exercise(
    swap_colours,
    NOTEBOOK,
    _swap_cases,
    mistakes=(
        Mistake(
            "the articles do not fit any more: 'a orange'",
            _swap(finish=list),
            "fit_articles was imported above for this.",
        ),
        Mistake(
            "the first two colours are exchanged, also where they are the same",
            _swap(lambda words, places: places[1] if len(places) > 1 else None),
            _DIFFERENT,
        ),
        Mistake(
            "the first colour is exchanged with the last",
            _swap(lambda words, places: places[-1] if _second(words, places) is not None else None),
            _DIFFERENT,
        ),
        Mistake(
            "one colour is lost: both places have the same one now",
            _swap(exchange=_overwrite),
            "After the first line the old colour is gone. Python can give two places new values in one line.",
        ),
        Mistake(
            "one colour is lost: the second replacement takes back the first",
            _replaced(both=False),
            "After the first replacement both colours are the same, and the second cannot tell them apart.",
        ),
        Mistake(
            "all words of the two colours are exchanged, and not one of each",
            _replaced(both=True),
            "Only two places change, however often a colour comes.",
        ),
        Mistake(
            "a caption with fewer than two colours ends in a ValueError",
            _needs_two,
            "A caption may have one colour, or none. It comes back as it is.",
        ),
        Mistake(
            "a caption with fewer than two colours comes back as None",
            _swap(unchanged=lambda caption: None),
            "It comes back as it is.",
        ),
        Mistake(
            "a list of words comes back, and not a caption",
            lambda caption: swap_colours(caption).split(),
            "The opposite of split is join.",
        ),
        Mistake(
            "nothing is exchanged",
            lambda caption: caption,
            "Lists can be changed, texts cannot. Do you return the new words?",
        ),
    ),
    hints=(
        "Split the caption into words, and find the places that hold a colour: the word is in COLOUR_NAMES.",
        "The other place is the first whose colour is not that of the first place. next((...), None) finds it or None.",
        "words[i], words[j] = words[j], words[i] exchanges two places of a list.",
        "Then fit_articles, and join the words again.",
    ),
)


# leave_one_out


def facts_of_leaving(function: Callable, references: Sequence[Words]) -> Facts:
    """What is so for all of forty seeds: any random choice is fine."""
    results = [function(references, 0), *(function(copy_of(references), seed) for seed in range(1, 40))]
    if not all(isinstance(result, list) and all(isinstance(g, list) for g in result) for result in results):
        return Facts({"form": f"no list of lists, but {short(results[0])}"} | dict.fromkeys(_LEAVING_FACTS))
    again = [function(copy_of(references), seed) for seed in range(40)]
    fits = all(len(result) == len(references) for result in results)
    out = [[_left_out(*pair) for pair in zip(references, result, strict=True)] for result in results] if fits else []
    values = (
        fits,
        fits and all(len(g) == len(r) - 1 for result in results for g, r in zip(result, references, strict=True)),
        fits and all(caption is not None for row in out for caption in row),
        _always_left_out(references, out),
        again == results,
        any(result != results[0] for result in results),
        fits and all(len({row[i] for row in out}) == len(set(group)) for i, group in enumerate(references)),
        fits and len({tuple(map(_place, references, row)) for row in out}) > max(map(len, references)),
    )
    return Facts({"form": "a list of lists"} | dict(zip(_LEAVING_FACTS, values, strict=True)))


_LEAVING_FACTS = (
    "each picture is still there",
    "one caption of each picture is left out",
    "the others are still there",
    "what is always left out",
    "the same seed leaves out the same",
    "another seed leaves out others",
    "every caption can be left out",
    "the pictures choose independently",
)


def _always_left_out(references: Sequence[Words], out: Sequence[Sequence[str | None]]) -> str:
    """Whether it is the first or the last caption of each picture, over all seeds."""
    for name, place in (("the first caption", 0), ("the last caption", -1)):
        if out and all(row == [group[place] for group in references] for row in out):
            return name
    return "nothing"


def _place(group: Words, caption: str | None) -> int:
    return list(group).index(caption) if caption in group else -1


def _left_out(before: Words, after: Words) -> str | None:
    """The one caption that is no longer there; None where it is not one."""
    missing = Counter(before) - Counter(after)
    return next(iter(missing)) if missing.total() == 1 and not Counter(after) - Counter(before) else None


def _leaving_cases(rng: np.random.Generator) -> list[Case]:
    fixed = [["a ball", "the ball", "a red ball"], ["a kite", "one kite", "kites"], ["a car", "the car", "cars"]]
    twice = [["a ball", "a red ball", "a ball", "balls"], ["a kite", "a kite", "kites"], ["a car", "cars", "a car"]]
    drawn = [[f"caption {i} of {p}" for i in range(rng.integers(2, 6))] for p in range(4)]
    return [
        Case("three pictures of three captions", (fixed,)),
        Case("captions that two people wrote", (twice,)),
        Case("random numbers of captions", (drawn,)),
    ]


def _leaving(
    choose: Callable = lambda rng, group: int(rng.integers(len(group))),
    leave: Callable = lambda group, i: [*group[:i], *group[i + 1 :]],
    generator: Callable = np.random.default_rng,
) -> Callable:
    """A `leave_one_out` in which one step is done in another way."""

    def wrong(references: Sequence[Words], seed: int = 0) -> list:
        rng = generator(seed)
        return [leave(group, choose(rng, group)) for group in references]

    return wrong


def _same_place(references: Sequence[Words], seed: int = 0) -> list[list[str]]:
    i = int(np.random.default_rng(seed).integers(min(map(len, references))))
    return [[*group[:i], *group[i + 1 :]] for group in references]


def _new_generator_each(references: Sequence[Words], seed: int = 0) -> list[list[str]]:
    out = [int(np.random.default_rng(seed).integers(len(group))) for group in references]
    return [[*group[:i], *group[i + 1 :]] for group, i in zip(references, out, strict=True)]


def _popped(group: list[str], i: int) -> list[str]:
    group.pop(i)
    return group


_INDEPENDENT = "Each picture leaves out a random one of its own. Make one generator, and draw from it for each picture."

_LEAVE = Exercise(
    leave_one_out,
    NOTEBOOK,
    _leaving_cases,
    mistakes=(
        Mistake(
            "the references that it was given are changed: they are gone for everybody else, too",
            _leaving(leave=_popped),
            "pop, remove and del change a list for everybody who has it. Make a new list of what is left.",
        ),
        Mistake(
            "always the first caption is left out",
            _leaving(lambda rng, group: 0),
            "A random one: the generator can draw a whole number.",
        ),
        Mistake(
            "always the last caption is left out",
            _leaving(lambda rng, group: len(group) - 1),
            "A random one: the generator can draw a whole number.",
        ),
        Mistake(
            "the last caption is never left out",
            _leaving(lambda rng, group: int(rng.integers(len(group) - 1))),
            "rng.integers(n) draws from 0 to n - 1.",
        ),
        Mistake(
            "a caption that two people wrote is left out twice",
            _leaving(leave=lambda group, i: [caption for caption in group if caption != group[i]]),
            "Leave out a place, and not a text: two people may write the same.",
        ),
        Mistake(
            "the caption that was drawn is kept, and the others are left out",
            _leaving(leave=lambda group, i: [group[i]]),
            "Of five captions four should be left.",
        ),
        Mistake(
            "the caption that was drawn comes back, and not a list",
            _leaving(leave=lambda group, i: group[i]),
            "Of five captions four should be left, in a list for each picture.",
        ),
        Mistake("all pictures leave out the same place", _same_place, _INDEPENDENT),
        Mistake(
            "each picture has a generator with the same seed, so they choose alike",
            _new_generator_each,
            _INDEPENDENT,
        ),
        Mistake(
            "seed is not used, so no two results are the same",
            _leaving(generator=lambda seed: np.random.default_rng()),
            "np.random.default_rng takes a seed.",
        ),
        Mistake(
            "seed is not used: it is always the same choice",
            _leaving(generator=lambda seed: np.random.default_rng(0)),
            "np.random.default_rng takes a seed.",
        ),
    ),
    hints=(
        "np.random.default_rng(seed) makes a generator; draw a place for each picture from it.",
        "group[:i] is what stands before place i. What stands after it?",
        "[*one, *other] makes a new list of two.",
    ),
    observe=facts_of_leaving,
)  # fmt: skip


EXERCISES = (_COUNT_NGRAMS, _CLIPPED_MATCHES, _BREVITY_PENALTY, _BLEU, _SWAP, _LEAVE)
"""In the order of the notebook."""
