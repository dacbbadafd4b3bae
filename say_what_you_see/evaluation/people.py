"""Reference captions as the yardstick: how they compare with one another, and how varied they are."""

from collections.abc import Mapping, Sequence

import numpy as np

from say_what_you_see.evaluation.metrics import diversity, leave_each_out, score_against_references, score_rounds
from say_what_you_see.evaluation.scores import Score
from say_what_you_see.evaluation.tokenizer import tokenize_all


def leave_one_out(references: Sequence[Sequence[str]], seed: int = 0) -> list[list[str]]:
    """The references of each picture without a random one: as many as a reference is compared with."""
    rng = np.random.default_rng(seed)
    out = [int(rng.integers(len(group))) for group in references]
    return [[*group[:i], *group[i + 1 :]] for group, i in zip(references, out, strict=True)]


def compare_with_references(
    captions: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    fewer: Sequence[Sequence[str]],
    java: bool = True,
) -> dict[str, dict[str, Score]]:
    """Score each reference against the other ones (human consistency, where people wrote them), and models likewise.

    Each reference of a picture is left out in one of several rounds, whose mean is its score. More references give
    higher scores. To be fair, the models are compared with as many references as a reference is.

    Args:
        fewer: the references, with one left out for each picture.
    """
    rounds = leave_each_out([tokenize_all(group) for group in references])
    columns = {"references": score_rounds(rounds, java=java)}
    return columns | {name: score_against_references(own, fewer, java=java) for name, own in captions.items()}


def reference_diversity(references: Sequence[Sequence[str]]) -> dict[str, float]:
    """How varied reference captions are, one drawn for each picture."""
    rng = np.random.default_rng(0)
    return diversity([group[int(rng.integers(len(group)))] for group in references])
