"""Where captions go wrong: the best and the worst, what is taken for what, scores by number of things."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product

import numpy as np

from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.scene import COLOURS, KINDS
from say_what_you_see.data.scenes.truth import SceneTruth
from say_what_you_see.evaluation.commonest_captions import agreed_words
from say_what_you_see.evaluation.evaluate import Evaluation, evaluate_captions
from say_what_you_see.evaluation.metrics import cider_per_picture
from say_what_you_see.evaluation.reference_scores import frequent_words
from say_what_you_see.evaluation.scene_scores import MAIN_SCORES, judge_claims, true_mentions, wrong_claims
from say_what_you_see.evaluation.scores import Table, format_table
from say_what_you_see.evaluation.trained import ScoredPictures
from say_what_you_see.language.captions import split_sentence


def best_and_worst(captions: Sequence[str], pictures: ScoredPictures, most: int = 10) -> tuple[list[int], list[int]]:
    """The numbers of the pictures with the best captions, best first, and with the worst ones, worst first.

    On scenes, captions are ranked by fewest wrong claims, then by most claims, then by CIDEr; elsewhere by CIDEr
    alone.
    """
    quality: list[tuple[float, ...]] = [(cider,) for cider in cider_per_picture(captions, pictures.references)]
    for i, truth in enumerate(pictures.truths or ()):
        claims = sum(claim.sort != "sizes" for claim in judge_claims(captions[i], truth))
        quality[i] = (-len(wrong_claims(captions[i], truth)), claims, *quality[i])
    order = sorted(range(len(captions)), key=quality.__getitem__, reverse=True)
    most = min(most, len(order) // 2)
    return order[:most], order[::-1][:most]


@dataclass(frozen=True)
class Confusion:
    """How often what is there (rows) is called what (columns)."""

    counts: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]


def colour_confusion(captions: Sequence[str], truths: Sequence[SceneTruth]) -> Confusion:
    """The true colour against the given one, for things that are there and are named with a colour."""
    counts = Counter((true, given) for true, given, _ in _named_colours(captions, truths))
    table = np.array([[counts[true, given] for given in COLOURS] for true in COLOURS], float)
    return Confusion(table, COLOURS, COLOURS)


def _named_colours(captions: Sequence[str], truths: Sequence[SceneTruth]) -> Iterator[tuple[str, str, bool]]:
    """The true and the given colour of each thing that is there, and whether anything there has the given one."""
    for caption, truth in zip(captions, truths, strict=True):
        for mention in true_mentions(caption, truth):
            if mention.colour:
                yield truth.colours[mention.kind], mention.colour, mention.colour in truth.colours.values()


def count_swapped_colours(captions: Sequence[str], truths: Sequence[SceneTruth]) -> tuple[int, int]:
    """Of the wrong colours, how many belong to another thing in the same picture, and how many there are in all."""
    wrong = [there for true, given, there in _named_colours(captions, truths) if given != true]
    return sum(wrong), len(wrong)


def thing_confusion(captions: Sequence[str], truths: Sequence[SceneTruth]) -> Confusion:
    """The things that are there, and what they are called.

    A missed thing (there, but not named) may have been taken for an invented one (named, but not there): where a
    caption has both, each invented thing is shared equally among the missed ones. The rest counts as not named (the
    last column), or as invented out of nothing (the last row).
    """
    there = [frozenset(truth.colours) for truth in truths]
    named = [{mention.kind for mention in read_claims(caption).mentions} for caption in captions]
    return _confusion(KINDS, named, there, there)


def word_confusion(captions: Sequence[str], references: Sequence[Sequence[str]], most: int = 10) -> Confusion:
    """The same for photographs, with the words that most references share most often.

    A word counts as there if most references of the picture have it, and as invented if none has.
    """
    there, mentioned = map(agreed_words, references), [set(split_sentence(" ".join(group))) for group in references]
    words = tuple(frequent_words(references, most))
    return _confusion(words, [set(split_sentence(caption)) for caption in captions], list(there), mentioned)


def _confusion(
    names: tuple[str, ...], named: Sequence[Set[str]], there: Sequence[Set[str]], possible: Sequence[Set[str]]
) -> Confusion:
    """Counts of what is there (rows) by what is named (columns); what is named but not possible is invented."""
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
    entries = list(zip(product(confusion.rows, confusion.columns), confusion.counts.ravel(), strict=True))
    right = sum(count for (row, column), count in entries if row == column)
    wrong = [(count, row, column) for (row, column), count in entries if row != column and count]
    wrong.sort(key=lambda entry: -entry[0])
    phrases = [f"{row} called {column} {count:g} times" for count, row, column in wrong[:most]]
    return "; ".join([f"{100 * right / total:.0f} % on the diagonal", *phrases])


def score_by_thing_count(captions: Sequence[str], pictures: ScoredPictures) -> dict[int, Evaluation]:
    """Measure the captions of scenes with one thing, with two, and so on, without the metrics that need Java.

    CIDEr weighs words by how rare they are in the group, so its values for two groups are not comparable.
    """
    groups = defaultdict(list)
    for i, truth in enumerate(pictures.truths or ()):
        groups[len(truth.colours)].append(i)
    return {
        count: evaluate_captions([captions[i] for i in chosen], pictures.take(chosen), java=False)
        for count, chosen in sorted(groups.items())
    }


def thing_count_table(groups: Mapping[int, Evaluation]) -> Table:
    """A line for each number of things."""
    columns = {f"{short} right": MAIN_SCORES[short] for short in ("things", "colours", "relations")}
    columns |= {"BLEU-4": "BLEU-4", "ROUGE-L": "ROUGE-L"}
    rows: list[list[object]] = [["things", "scenes", *columns]]
    for count, group in groups.items():
        scores = group.metrics | (group.exact or {})
        rows.append([str(count), len(group.captions), *(scores[name].show() for name in columns.values())])
    return format_table(rows, [8, 6, *[21] * 5])
