"""Where captions go wrong: the best and the worst, what is taken for what, and what a metric makes of a mistake."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocoevalcap.cider.cider import Cider

from say_what_you_see.data.scenes.captions import COLOUR_WORDS, NOUNS, PLACE_WORDS, SIZE_WORDS
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.scene import COLOURS, KINDS
from say_what_you_see.evaluation.evaluate import ValidationPictures
from say_what_you_see.evaluation.metrics import MetricScore, score_against_references
from say_what_you_see.evaluation.scene_truth import SceneTruth, Score, score_captions
from say_what_you_see.evaluation.tokenizer import tokenize_all

COLOUR_NAMES = frozenset(word for words in COLOUR_WORDS.values() for word in words)
_OTHER_RELATION_WORDS = {"above": "over", "over": "above", "below": "under", "under": "beneath", "beneath": "below"}


def cider_by_picture(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """CIDEr of each picture's caption, (pictures,): their mean is CIDEr."""
    people = dict(enumerate(tokenize_all(group) for group in references))
    candidates = {number: [caption] for number, caption in enumerate(tokenize_all(captions))}
    return np.asarray(Cider().compute_score(people, candidates)[1])


def wrong_claims(caption: str, truth: SceneTruth) -> list[str]:
    """What a caption of a scene says that is not so, in words; a thing that is not there is counted once."""
    claims, seen, wrong = read_claims(caption), set(), []
    for mention in claims.mentions:
        kind = mention.kind
        if kind not in truth.colours:
            wrong.append(f"there is no {kind}")
        elif kind in seen:
            wrong.append(f"there is only one {kind}")
        else:
            if mention.colour not in (None, truth.colours[kind]):
                wrong.append(f"the {kind} is {truth.colours[kind]}, not {mention.colour}")
            if mention.size not in (None, truth.sizes[kind]):
                wrong.append(f"the {kind} is {truth.sizes[kind]}, not {mention.size}")
        seen.add(kind)
    for subject, relation, other in claims.relations:
        stated = claims.mentions[subject].kind, relation, claims.mentions[other].kind
        if stated not in truth.relations and stated[0] != stated[2]:  # of two houses one is wrong already
            wrong.append(f"the {stated[0]} is not {relation} the {stated[2]}")
    return wrong


def rank_captions(captions: Sequence[str], pictures: ValidationPictures) -> list[int]:
    """The pictures' numbers, the best caption first.

    On scenes the caption with the fewest wrong claims is the best, of equals the one that claims most, then the one
    with the higher CIDEr. Elsewhere CIDEr alone decides.
    """
    cider = cider_by_picture(captions, pictures.references)
    if pictures.truths is None:
        return [int(i) for i in np.argsort(-cider, kind="stable")]
    wrong = [len(wrong_claims(*pair)) for pair in zip(captions, pictures.truths, strict=True)]
    claims = [_count_claims(caption) for caption in captions]
    return sorted(range(len(captions)), key=lambda i: (wrong[i], -claims[i], -cider[i]))


def _count_claims(caption: str) -> int:
    claims = read_claims(caption)
    return len(claims.mentions) + sum(mention.colour is not None for mention in claims.mentions) + len(claims.relations)


# What is taken for what


@dataclass(frozen=True)
class Confusion:
    """How often what is there (rows) is called what (columns)."""

    counts: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]


def confuse_colours(captions: Sequence[str], truths: Sequence[SceneTruth]) -> Confusion:
    """Of the things that are there and are named with a colour: their colour, and the colour that is said."""
    counts = np.zeros((len(COLOURS), len(COLOURS)))
    for caption, truth in zip(captions, truths, strict=True):
        for true, said in _named_colours(caption, truth):
            counts[COLOURS.index(true), COLOURS.index(said)] += 1
    return Confusion(counts, COLOURS, COLOURS)


def _named_colours(caption: str, truth: SceneTruth) -> list[tuple[str, str]]:
    """The true colour and the said one of each thing that is there; of a thing named twice the first time counts."""
    first: dict[str, str | None] = {}
    for mention in read_claims(caption).mentions:
        first.setdefault(mention.kind, mention.colour)
    return [(truth.colours[kind], said) for kind, said in first.items() if said and kind in truth.colours]


def count_swapped_colours(captions: Sequence[str], truths: Sequence[SceneTruth]) -> tuple[int, int]:
    """Of the wrong colours, how many belong to another thing in the same picture, and how many there are in all."""
    swapped = wrong = 0
    for caption, truth in zip(captions, truths, strict=True):
        for true, said in _named_colours(caption, truth):
            wrong += said != true
            swapped += said != true and said in truth.colours.values()
    return swapped, wrong


def confuse_things(captions: Sequence[str], truths: Sequence[SceneTruth]) -> Confusion:
    """The things that are there, and what they are called.

    A thing that is there and not named may have been taken for one that is named and not there: where a caption has
    both, each invented thing is shared equally among the missed ones. What remains was passed over (the last column),
    or is made of nothing (the last row).
    """
    counts = np.zeros((len(KINDS) + 1, len(KINDS) + 1))
    for caption, truth in zip(captions, truths, strict=True):
        named = list(dict.fromkeys(mention.kind for mention in read_claims(caption).mentions))
        missed = [KINDS.index(kind) for kind in truth.colours if kind not in named]
        invented = [KINDS.index(kind) for kind in named if kind not in truth.colours]
        for kind in named:
            counts[KINDS.index(kind), KINDS.index(kind)] += kind in truth.colours
        pairs = min(len(missed), len(invented))
        for row in missed:
            for column in invented:
                counts[row, column] += pairs / (len(missed) * len(invented))
            counts[row, -1] += 1 - pairs / len(missed)
        for column in invented:
            counts[-1, column] += 1 - pairs / len(invented)
    return Confusion(counts, (*KINDS, "nothing"), (*KINDS, "not named"))


def confusion_in_words(confusion: Confusion, most: int = 3) -> str:
    """The diagonal's share, and the most frequent confusions, for an alternative text."""
    counts, total = confusion.counts, confusion.counts.sum()
    off = [
        (counts[i, j], f"{row} called {column} {counts[i, j]:g} times")
        for i, row in enumerate(confusion.rows)
        for j, column in enumerate(confusion.columns)
        if row != column and counts[i, j] > 0
    ]
    right = sum(counts[i, j] for i, r in enumerate(confusion.rows) for j, c in enumerate(confusion.columns) if r == c)
    share = f"{100 * right / total:.0f} % on the diagonal" if total else "empty"
    return "; ".join([share, *(text for _, text in sorted(off, key=lambda pair: -pair[0])[:most])])


# Scores by number of things


@dataclass(frozen=True)
class GroupScores:
    """Scores of the captions of some of the scenes."""

    scenes: int
    exact: dict[str, Score]
    metrics: dict[str, MetricScore]


def score_by_things(captions: Sequence[str], pictures: ValidationPictures) -> dict[int, GroupScores]:
    """Scores of scenes with one thing, with two, and so on, without the metrics that need Java.

    CIDEr weighs words by how rare they are in the group, so that its values of two groups are not comparable.
    """
    numbers = np.array([len(truth.colours) for truth in pictures.truths])
    groups = {}
    for number in sorted(set(numbers.tolist())):
        chosen = np.flatnonzero(numbers == number)
        sentences, some = [captions[i] for i in chosen], pictures.take(chosen)
        metrics = score_against_references(sentences, some.references, java=False)
        groups[number] = GroupScores(len(chosen), score_captions(sentences, some.truths), metrics)
    return groups


def things_table(groups: dict[int, GroupScores]) -> str:
    """A line for each number of things."""
    columns = {
        "things right": lambda group: group.exact["things named that are there"],
        "colours right": lambda group: group.exact["colours joined to the right thing"],
        "relations right": lambda group: group.exact["stated relations that are true"],
        "BLEU-4": lambda group: group.metrics["BLEU-4"],
        "ROUGE-L": lambda group: group.metrics["ROUGE-L"],
    }
    lines = [f"{'things':<8}{'scenes':>6}" + "".join(f"{column:>21}" for column in columns)]
    for number, group in groups.items():
        lines.append(f"{number:<8}{group.scenes:>6}" + "".join(f"{_show(get(group)):>21}" for get in columns.values()))
    return "\n".join(lines)


def _show(score: Score | MetricScore) -> str:
    if math.isnan(score.value):
        return "none"
    return f"{100 * score.value:.1f} ({100 * score.low:.1f}-{100 * score.high:.1f})"


# What a metric makes of a mistake


def swap_colours(caption: str) -> str:
    """The same caption with its first two different colours exchanged; unchanged if it has fewer.

    >>> swap_colours("a red ball above an orange kite")
    'an orange ball above a red kite'
    """
    words = caption.split()
    places = [i for i, word in enumerate(words) if word in COLOUR_NAMES]
    other = next((i for i in places if words[i] != words[places[0]]), None)
    if other is None:
        return caption
    words[places[0]], words[other] = words[other], words[places[0]]
    return " ".join(fit_articles(words))


def use_other_words(caption: str) -> str:
    """The same claims in other words, where the scenes' grammar has any; unchanged where it has none.

    >>> use_other_words("a tiny red car above a house at sea")
    'a small red automobile over a cottage out on the ocean'
    """
    for phrases in PLACE_WORDS.values():
        found = next((phrase for phrase in phrases if f" {phrase} " in f" {caption} "), None)
        if found:
            caption = f" {caption} ".replace(f" {found} ", f" {_next_of(phrases, found)} ").strip()
            break
    return " ".join(fit_articles([_OTHER_WORD.get(word, word) for word in caption.split()]))


def _next_of(options: Sequence[str], option: str) -> str:
    """The option after this one, in a circle; options that stand twice count once."""
    distinct = list(dict.fromkeys(options))
    return distinct[(distinct.index(option) + 1) % len(distinct)]


_OTHER_WORD = {
    word: _next_of(words, word)
    for table in (NOUNS, COLOUR_WORDS, SIZE_WORDS)
    for words in table.values()
    for word in words
    if len(set(words)) > 1
} | _OTHER_RELATION_WORDS


def fit_articles(words: Sequence[str]) -> list[str]:
    """Make each 'a' or 'an' fit the word after it."""
    fitted = list(words)
    for i, word in enumerate(fitted[:-1]):
        if word in ("a", "an"):
            fitted[i] = "an" if fitted[i + 1][0] in "aeiou" else "a"
    return fitted
