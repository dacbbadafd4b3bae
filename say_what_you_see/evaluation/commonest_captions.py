"""The "giraffe next to a tree": how often a model says the same thing of pictures of the same kind.

In pictures of giraffes there is nearly always a tree: a model that has seen a giraffe can mention one without looking.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from say_what_you_see.data.scenes.captions import COLOUR_WORDS, SIZE_WORDS
from say_what_you_see.data.scenes.scene import KINDS
from say_what_you_see.data.scenes.truth import SceneTruth
from say_what_you_see.evaluation.scores import Table, format_table
from say_what_you_see.language.captions import split_sentence

ADJECTIVES = frozenset(word for words in (*COLOUR_WORDS.values(), *SIZE_WORDS.values()) for word in words)
"""Words that give colours and sizes in captions of scenes."""


@dataclass(frozen=True)
class CommonestCaption:
    """The caption that pictures of a kind are given most often, by a model and by people."""

    kind: str  # what the pictures have in common
    pictures: int  # how many there are
    caption: str  # the model's commonest caption of them
    share: float  # the share of the pictures that get it
    people_share: float  # the same for people's captions, one drawn for each picture: the mean over many draws


def commonest_captions(
    sentences: Sequence[str],
    references: Sequence[Sequence[str]],
    groups: Mapping[str, Sequence[int]],
    leave_out: frozenset[str] = frozenset(),
) -> list[CommonestCaption]:
    """For each group of pictures, how often its commonest caption is given, by the model and by people.

    One of people's captions is drawn for each picture: among several, the commonest would have a smaller share.

    Args:
        groups: name of a group to the numbers of its pictures; empty groups are skipped.
        leave_out: words that are ignored when captions are compared, colours for instance.
    """
    rng = np.random.default_rng(0)
    patterns = [_pattern(sentence, leave_out) for sentence in sentences]
    people = [[_pattern(caption, leave_out) for caption in group] for group in references]
    results = []
    for kind, pictures in groups.items():
        if len(pictures):
            caption, share = _commonest([patterns[i] for i in pictures])
            draws = ([people[i][rng.integers(len(people[i]))] for i in pictures] for _ in range(200))
            people_share = float(np.mean([_commonest(draw)[1] for draw in draws]))
            results.append(CommonestCaption(kind, len(pictures), caption, share, people_share))
    return results


def _pattern(caption: str, leave_out: frozenset[str]) -> str:
    """A caption without the words to leave out; "an" becomes "a", since colours decide between the two."""
    words = [word for word in split_sentence(caption) if word not in leave_out]
    return " ".join("a" if word == "an" and leave_out else word for word in words)


def _commonest(captions: Sequence[str]) -> tuple[str, float]:
    """The caption that occurs most often (of equals the first in the alphabet), and its share of all."""
    [(caption, count)] = Counter(sorted(captions)).most_common(1)
    return caption, count / len(captions)


def pictures_by_kind(truths: Sequence[SceneTruth]) -> dict[str, list[int]]:
    """For each kind of thing, the scenes that have it."""
    return {kind: [i for i, truth in enumerate(truths) if kind in truth.colours] for kind in KINDS}


def pictures_by_word(references: Sequence[Sequence[str]], words: Sequence[str]) -> dict[str, list[int]]:
    """For each word, the pictures that most people describe with it: kinds of things where nobody noted them."""
    agreed = [agreed_words(group) for group in references]
    return {word: [i for i, group in enumerate(agreed) if word in group] for word in words}


def agreed_words(captions: Sequence[str]) -> set[str]:
    """The words that more than half of the captions have."""
    counts = Counter(word for caption in captions for word in set(split_sentence(caption)))
    return {word for word, count in counts.items() if count * 2 > len(captions)}


def mean_shares(commonest: Sequence[CommonestCaption]) -> tuple[float, float]:
    """The model's share and people's, as means over the kinds; NaN if there are none."""
    shares = [(one.share, one.people_share) for one in commonest] or [(float("nan"), float("nan"))]
    share, people_share = np.mean(shares, axis=0).tolist()
    return share, people_share


def commonest_captions_table(commonest: Sequence[CommonestCaption]) -> Table:
    """A line for each kind, by the model's share, the largest first; the means at the end."""
    rows: list[list[object]] = [["kind", "pictures", "model", "references", "   the model's commonest caption"]]
    for one in sorted(commonest, key=lambda one: -one.share):
        shares = f"{100 * one.share:.0f} %", f"{100 * one.people_share:.0f} %"
        rows.append([one.kind, one.pictures, *shares, f"   {one.caption}"])
    if commonest:
        rows.append(["mean", "", *(f"{100 * share:.1f} %" for share in mean_shares(commonest))])
    return format_table(rows, [10, 9, 8, 12, 0])
