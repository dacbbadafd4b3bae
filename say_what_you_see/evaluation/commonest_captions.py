"""The "giraffe next to a tree": how often a model says one and the same thing of all pictures of a kind.

The name comes from pictures of giraffes: there is nearly always a tree, so a model that has seen a giraffe can say
"a giraffe next to a tree" without looking any further, and is mostly right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np

from say_what_you_see.data.scenes.captions import COLOUR_WORDS, SIZE_WORDS
from say_what_you_see.data.scenes.scene import KINDS
from say_what_you_see.evaluation.scene_truth import SceneTruth
from say_what_you_see.language.captions import split_sentence
from utils.plots import BLUE, ORANGE, show_figure

ADJECTIVES = frozenset(word for words in (*COLOUR_WORDS.values(), *SIZE_WORDS.values()) for word in words)
"""Words that give colours and sizes in captions of scenes."""

DRAWS = 200


@dataclass(frozen=True)
class CommonestCaption:
    """The caption that pictures of a kind are given most often, by a model and by people.

    Attributes:
        kind: what the pictures have in common.
        pictures: how many there are.
        caption: the model's commonest caption of them.
        share: the share of the pictures that are given it.
        people_share: the same share for people's own commonest caption, when each picture has one caption, drawn
            from those that people gave it: the mean over many draws.
    """

    kind: str
    pictures: int
    caption: str
    share: float
    people_share: float


def commonest_captions(
    sentences: Sequence[str],
    references: Sequence[Sequence[str]],
    groups: Mapping[str, Sequence[int]],
    leave_out: frozenset[str] = frozenset(),
    seed: int = 0,
) -> list[CommonestCaption]:
    """For each group of pictures, how often its commonest caption is given, by the model and by people.

    People gave several captions to each picture and the model one. The more captions, the less often the same one,
    so people are measured with one caption for each picture, too.

    Args:
        sentences: the model's caption of each picture.
        references: for each picture the captions that people gave it.
        groups: name of a group to the numbers of its pictures; a group may be empty, and is then passed over.
        leave_out: words that do not count when two captions are compared, colours for instance.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    said = [pattern(sentence, leave_out) for sentence in sentences]
    written = [[pattern(caption, leave_out) for caption in group] for group in references]
    found = []
    for kind, pictures in groups.items():
        if len(pictures):
            caption, share = commonest([said[i] for i in pictures])
            people = np.mean([commonest(draw_one_each(written, pictures, rng))[1] for _ in range(DRAWS)])
            found.append(CommonestCaption(kind, len(pictures), caption, share, float(people)))
    return found


def pattern(caption: str, leave_out: frozenset[str]) -> str:
    """A caption as words, without those that do not count; "an" is "a", since colours decide between the two."""
    words = [word for word in split_sentence(caption) if word not in leave_out]
    return " ".join("a" if word == "an" and leave_out else word for word in words)


def commonest(captions: Sequence[str]) -> tuple[str, float]:
    """The caption that occurs most often (of several the first by the alphabet), and its share of all."""
    counts = Counter(captions)
    caption = min(counts, key=lambda caption: (-counts[caption], caption))
    return caption, counts[caption] / len(captions)


def draw_one_each(captions: Sequence[Sequence[str]], pictures: Sequence[int], rng: np.random.Generator) -> list[str]:
    """A random caption of each of the given pictures."""
    return [captions[i][rng.integers(len(captions[i]))] for i in pictures]


def pictures_by_kind(truths: Sequence[SceneTruth]) -> dict[str, list[int]]:
    """For each kind of thing, the scenes that have it."""
    return {kind: [i for i, truth in enumerate(truths) if kind in truth.colours] for kind in KINDS}


def pictures_by_word(references: Sequence[Sequence[str]], words: Sequence[str]) -> dict[str, list[int]]:
    """For each word, the pictures in whose captions most people use it: kinds of things where nobody noted them."""
    spoken = [Counter(word for caption in group for word in set(split_sentence(caption))) for group in references]
    return {word: [i for i, group in enumerate(references) if spoken[i][word] * 2 > len(group)] for word in words}


def mean_shares(found: Sequence[CommonestCaption]) -> tuple[float, float]:
    """The two shares, model's and people's, as means over the kinds; NaN where there is none."""
    if not found:
        return float("nan"), float("nan")
    return float(np.mean([one.share for one in found])), float(np.mean([one.people_share for one in found]))


def commonest_captions_table(found: Sequence[CommonestCaption]) -> str:
    """A line for each kind, the one with the largest share of the model first; the means at the end."""
    lines = [f"{'kind':<10}{'pictures':>9}{'model':>8}{'people':>8}   the model's commonest caption"]
    for one in sorted(found, key=lambda one: -one.share):
        share, people = f"{100 * one.share:.0f} %", f"{100 * one.people_share:.0f} %"
        lines.append(f"{one.kind:<10}{one.pictures:>9}{share:>8}{people:>8}   {one.caption}")
    if found:
        share, people = (f"{100 * mean:.1f} %" for mean in mean_shares(found))
        lines.append(f"{'mean':<19}{share:>8}{people:>8}")
    return "\n".join(lines)


def plot_commonest_captions(found: Sequence[CommonestCaption], alt: str) -> None:
    """Plot the two shares of each kind side by side, the kind with the largest share of the model first."""
    found = sorted(found, key=lambda one: -one.share)
    places, height = np.arange(len(found)), 0.38
    figure, axis = plt.subplots(figsize=(7, 0.38 * len(found) + 1.2))
    axis.barh(places, [one.share for one in found], height, color=BLUE, label="model")
    axis.barh(places + height, [one.people_share for one in found], height, color=ORANGE, label="people")
    axis.set(yticks=places + height / 2, yticklabels=[one.kind for one in found])
    axis.set(xlabel="share of the pictures that are given the commonest caption")
    axis.invert_yaxis()
    axis.legend(loc="lower right")
    show_figure(figure, alt)
