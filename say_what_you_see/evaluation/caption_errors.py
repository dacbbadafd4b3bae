"""Where captions go wrong: the best and the worst, what is taken for what, scores by number of things."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.scene import COLOURS, KINDS
from say_what_you_see.data.scenes.truth import SceneTruth
from say_what_you_see.evaluation.commonest_captions import agreed_words
from say_what_you_see.evaluation.metrics import cider_per_picture, score_against_references
from say_what_you_see.evaluation.reference_scores import frequent_words
from say_what_you_see.evaluation.scene_scores import judge_claims, score_captions, true_mentions, wrong_claims
from say_what_you_see.evaluation.scores import Score, Table, format_table
from say_what_you_see.evaluation.trained import ValidationPictures
from say_what_you_see.language.captions import split_sentence


def best_and_worst(
    captions: Sequence[str], pictures: ValidationPictures, most: int = 10
) -> tuple[list[int], list[int]]:
    """The numbers of the pictures with the best captions, best first, and with the worst ones, worst first.

    On scenes the caption with the fewest wrong claims is the best, of equals the one that claims most, then the one
    with the higher CIDEr. Elsewhere CIDEr alone decides.
    """
    quality: list[tuple[float, ...]] = [(cider,) for cider in cider_per_picture(captions, pictures.references)]
    if pictures.truths is not None:
        for i, (caption, truth) in enumerate(zip(captions, pictures.truths, strict=True)):
            claims = sum(claim.sort != "sizes" for claim in judge_claims(caption, truth))
            quality[i] = (-len(wrong_claims(caption, truth)), claims, *quality[i])
    order = sorted(range(len(captions)), key=quality.__getitem__, reverse=True)
    most = min(most, len(order) // 2)
    return order[:most], order[::-1][:most]


# What is taken for what


@dataclass(frozen=True)
class Confusion:
    """How often what is there (rows) is called what (columns)."""

    counts: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]


def colour_confusion(captions: Sequence[str], truths: Sequence[SceneTruth]) -> Confusion:
    """Of the things that are there and are named with a colour: the true colour against the given one."""
    counts = np.zeros((len(COLOURS), len(COLOURS)))
    for caption, truth in zip(captions, truths, strict=True):
        for true, given in _named_colours(caption, truth):
            counts[COLOURS.index(true), COLOURS.index(given)] += 1
    return Confusion(counts, COLOURS, COLOURS)


def _named_colours(caption: str, truth: SceneTruth) -> list[tuple[str, str]]:
    """The true and the given colour of each thing that is there; of a thing named twice the first mention counts."""
    mentions = true_mentions(read_claims(caption).mentions, truth)
    return [(truth.colours[mention.kind], mention.colour) for mention in mentions if mention.colour]


def count_swapped_colours(captions: Sequence[str], truths: Sequence[SceneTruth]) -> tuple[int, int]:
    """Of the wrong colours, how many belong to another thing in the same picture, and how many there are in all."""
    swapped = wrong = 0
    for caption, truth in zip(captions, truths, strict=True):
        for true, given in _named_colours(caption, truth):
            wrong += given != true
            swapped += given != true and given in truth.colours.values()
    return swapped, wrong


def thing_confusion(captions: Sequence[str], truths: Sequence[SceneTruth]) -> Confusion:
    """The things that are there, and what they are called.

    A thing that is there and not named may have been taken for one that is named and not there: where a caption has
    both, each invented thing is shared equally among the missed ones. What remains was passed over (the last column),
    or is made of nothing (the last row).
    """
    there = [frozenset(truth.colours) for truth in truths]
    named = [{mention.kind for mention in read_claims(caption).mentions} for caption in captions]
    return _confusion(KINDS, named, there, there)


def word_confusion(captions: Sequence[str], references: Sequence[Sequence[str]], most: int = 10) -> Confusion:
    """The same for photographs: the most frequent words that most references have, and what captions say.

    A word is there if most references of the picture have it, and it is invented if none has.
    """
    words, there, mentioned = frequent_words(references, most), [], []
    for group in references:
        there.append(agreed_words(group))
        mentioned.append({word for reference in group for word in split_sentence(reference)})
    return _confusion(tuple(words), [set(split_sentence(caption)) for caption in captions], there, mentioned)


def _confusion(
    names: tuple[str, ...], named: Sequence[Set[str]], there: Sequence[Set[str]], possible: Sequence[Set[str]]
) -> Confusion:
    """Counts of names that are there (rows) and are named (columns); what is named and not possible is invented."""
    counts = np.zeros((len(names) + 1, len(names) + 1))
    for said, shown, allowed in zip(named, there, possible, strict=True):
        missed = [i for i, name in enumerate(names) if name in shown and name not in said]
        invented = [i for i, name in enumerate(names) if name in said and name not in allowed]
        right = [i for i, name in enumerate(names) if name in said and name in shown]
        counts[right, right] += 1
        pairs = min(len(missed), len(invented))
        if pairs:
            counts[np.ix_(missed, invented)] += pairs / (len(missed) * len(invented))
        counts[missed, -1] += 1 - pairs / max(1, len(missed))
        counts[-1, invented] += 1 - pairs / max(1, len(invented))
    return Confusion(counts, (*names, "nothing"), (*names, "not named"))


def confusion_in_words(confusion: Confusion, most: int = 3) -> str:
    """The diagonal's share, and the most frequent confusions, for an alternative text."""
    total = confusion.counts.sum()
    if not total:
        return "empty"
    entries = {
        (row, column): confusion.counts[i, j]
        for i, row in enumerate(confusion.rows)
        for j, column in enumerate(confusion.columns)
    }
    right = sum(count for (row, column), count in entries.items() if row == column)
    wrong = [(names, count) for names, count in entries.items() if names[0] != names[1] and count]
    wrong = sorted(wrong, key=lambda entry: -entry[1])[:most]
    phrases = [f"{row} called {column} {count:g} times" for (row, column), count in wrong]
    return "; ".join([f"{100 * right / total:.0f} % on the diagonal", *phrases])


# Scores by number of things


@dataclass(frozen=True)
class GroupScores:
    """Scores of the captions of some of the scenes."""

    scenes: int
    exact: dict[str, Score]
    metrics: dict[str, Score]


def score_by_thing_count(captions: Sequence[str], pictures: ValidationPictures) -> dict[int, GroupScores]:
    """Scores of scenes with one thing, with two, and so on, without the metrics that need Java.

    CIDEr weighs words by how rare they are in the group, so that its values of two groups are not comparable.
    """
    truths = pictures.truths
    if truths is None:
        raise CourseError("How many things a picture shows is known of the drawn scenes only (DATASET=scenes).")
    counts = np.array([len(truth.colours) for truth in truths])
    groups = {}
    for count in np.unique(counts).tolist():
        chosen = np.flatnonzero(counts == count).tolist()
        sentences, references = [captions[i] for i in chosen], [pictures.references[i] for i in chosen]
        metrics = score_against_references(sentences, references, java=False)
        groups[count] = GroupScores(len(chosen), score_captions(sentences, [truths[i] for i in chosen]), metrics)
    return groups


def thing_count_table(groups: Mapping[int, GroupScores]) -> Table:
    """A line for each number of things."""
    exact = {
        "things right": "things named that are there",
        "colours right": "colours joined to the right thing",
        "relations right": "stated relations that are true",
    }
    metrics = ["BLEU-4", "ROUGE-L"]
    rows: list[list[object]] = [["things", "scenes", *exact, *metrics]]
    for count, group in groups.items():
        scores = [*(group.exact[name] for name in exact.values()), *(group.metrics[name] for name in metrics)]
        rows.append([str(count), group.scenes, *(score.show() for score in scores)])
    return format_table(rows, [8, 6, *[21] * 5])
