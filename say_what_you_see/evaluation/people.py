"""People as the yardstick: how their captions compare with other people's, and how varied they are."""

from collections.abc import Mapping, Sequence

import numpy as np

from say_what_you_see.evaluation.metrics import diversity, score_against_references, score_human_consistency
from say_what_you_see.evaluation.scores import Score


def leave_one_out(references: Sequence[Sequence[str]], seed: int = 0) -> list[list[str]]:
    """The references of each picture without a random one: what a person's caption is compared with, too."""
    rng = np.random.default_rng(seed)
    out = [int(rng.integers(len(group))) for group in references]
    return [[*group[:i], *group[i + 1 :]] for group, i in zip(references, out, strict=True)]


def compare_with_people(
    captions: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    fewer: Sequence[Sequence[str]],
    java: bool = True,
) -> dict[str, dict[str, Score]]:
    """Score people's captions against the other people's, and models' against as many.

    More references give higher scores. So that nobody has an advantage, the models are compared with as many
    references as people are.

    Args:
        fewer: the same, one of each left out.
    """
    columns = {"people": score_human_consistency(references, java=java)}
    return columns | {name: score_against_references(own, fewer, java=java) for name, own in captions.items()}


def people_diversity(references: Sequence[Sequence[str]]) -> dict[str, float]:
    """How varied people's captions are, one drawn for each picture."""
    rng = np.random.default_rng(0)
    return diversity([group[int(rng.integers(len(group)))] for group in references])
