"""Scores captions of drawn scenes against what was drawn: which things, which colours, which relations are right."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from say_what_you_see.data.scenes.claims import Mention, read_claims
from say_what_you_see.data.scenes.scene import UNSEEN_PAIRS
from say_what_you_see.data.scenes.truth import SceneTruth
from say_what_you_see.evaluation.scores import Score, Table, format_table, mean_score, ratio_scores

_RATIOS = {
    "things named that are there": ("things right", "things named"),
    "colours joined to the right thing": ("pairs right", "pairs named"),
    "sizes given to the right thing": ("sizes right", "sizes named"),
    "stated relations that are true": ("relations right", "relations named"),
    "salient things that are named": ("salient named", "salient things"),
    "things named per caption": ("things named", "captions"),
    "two-thing captions with a relation": ("captions with a relation", "captions with two things"),
}
MAIN_SCORES = {
    "things": "things named that are there",
    "colours": "colours joined to the right thing",
    "relations": "stated relations that are true",
    "salient": "salient things that are named",
}
"""The scores that every table and figure shows, by short names."""


def true_mentions(caption: str, truth: SceneTruth) -> list[Mention]:
    """The mentions of things that are there; a second one of the same kind is wrong, since no scene has two."""
    first: dict[str, Mention] = {}
    for mention in read_claims(caption).mentions:
        first.setdefault(mention.kind, mention)
    return [mention for kind, mention in first.items() if kind in truth.colours]


@dataclass(frozen=True)
class JudgedClaim:
    """A claim that a caption makes about a scene."""

    sort: str  # "things", "pairs" (a colour joined to a thing), "sizes" or "relations"
    right: bool  # whether it holds
    correction: str  # what is wrong with it, in words; empty where another claim's correction already says so


def judge_claims(caption: str, truth: SceneTruth) -> list[JudgedClaim]:
    """Every claim of a caption, compared with what was drawn."""
    claims = read_claims(caption)
    right, judged = true_mentions(caption, truth), []
    for mention in claims.mentions:
        kind, is_right = mention.kind, mention in right
        quantity = f"only one {kind}" if kind in truth.colours else f"no {kind}"
        judged.append(JudgedClaim("things", is_right, f"there is {quantity}"))
        for sort, given, true in (("pairs", mention.colour, truth.colours), ("sizes", mention.size, truth.sizes)):
            if given is not None:
                correction = f"the {kind} is {true[kind]}, not {given}" if is_right else ""
                judged.append(JudgedClaim(sort, is_right and given == true[kind], correction))
    for subject, relation, other in claims.relations:
        first, second = claims.mentions[subject].kind, claims.mentions[other].kind
        correction = f"the {first} is not {relation} the {second}" if first != second else ""
        judged.append(JudgedClaim("relations", (first, relation, second) in truth.relations, correction))
    return judged


def wrong_claims(caption: str, truth: SceneTruth) -> list[str]:
    """What a caption of a scene gets wrong, in words; a thing that is not there is counted once."""
    return [claim.correction for claim in judge_claims(caption, truth) if not claim.right and claim.correction]


def count_claims(caption: str, truth: SceneTruth) -> Counter[str]:
    """Count a caption's claims of each sort, and how many of them are right."""
    counts: Counter[str] = Counter()
    for claim in judge_claims(caption, truth):
        counts[f"{claim.sort} named"] += 1
        counts[f"{claim.sort} right"] += claim.right
    kinds = {mention.kind for mention in read_claims(caption).mentions}
    counts["captions"] = 1
    counts["salient things"], counts["salient named"] = len(truth.salient), len(truth.salient & kinds)
    counts["captions with two things"] = int(counts["things named"] >= 2)
    counts["captions with a relation"] = int(counts["relations named"] > 0)
    return counts


def score_captions(captions: Iterable[str], truths: Sequence[SceneTruth], resamples: int = 1000) -> dict[str, Score]:
    """Score one caption for each scene; intervals come from resampling scenes with replacement.

    A score whose denominator is zero (no caption states a relation, say) is NaN.
    """
    counts = [count_claims(caption, truth) for caption, truth in zip(captions, truths, strict=True)]
    table = np.array([[count[part] for parts in _RATIOS.values() for part in parts] for count in counts])
    return ratio_scores(table, list(_RATIOS), resamples)


def hallucination_rates(captions: Sequence[str], truths: Sequence[SceneTruth]) -> dict[str, Score]:
    """CHAIR (Rohrbach et al. 2018, arXiv:1809.02156): how often captions name what is not there. Lower is better.

    CHAIRi is the share of the things named that are not in the picture (NaN where no caption names anything), and
    CHAIRs the share of captions that name such a thing.
    """
    counts = []
    for caption, truth in zip(captions, truths, strict=True):
        invented = [mention.kind not in truth.colours for mention in read_claims(caption).mentions]
        counts.append([sum(invented), len(invented), any(invented), 1])
    return ratio_scores(np.array(counts, dtype=float), ["CHAIRi", "CHAIRs"], note="no caption names a thing")


def score_table(columns: Mapping[str, Mapping[str, Score]]) -> Table:
    """A table of scores as text, shares as percentages: a row for each score, a column for each model."""
    rows = [["", *columns]]
    for name in _RATIOS:
        options = {"factor": 1, "digits": 2} if "per caption" in name else {"unit": "%"}
        rows.append([name, *(scores.get(name, Score()).show(**options) for scores in columns.values())])
    return format_table(rows, [max(map(len, _RATIOS)), *[21] * len(columns)])


def pair_accuracy_by_novelty(captions: Sequence[str], truths: Sequence[SceneTruth]) -> str:
    """Three lines: how often the colour is right that a caption gives to a thing of a known or an unseen pair.

    Only things that are there count. Known pairs in scenes with an unseen one are as hard as that one, but for novelty.
    """
    groups = ("known pairs, other scenes", "known pairs, same scenes", "unseen pairs")
    counts = np.zeros((len(truths), len(groups), 2))
    for scene, (caption, truth) in enumerate(zip(captions, truths, strict=True)):
        unseen = {kind for kind, colour in truth.colours.items() if (colour, kind) in UNSEEN_PAIRS}
        for mention in true_mentions(caption, truth):
            if mention.colour is not None:
                group = 2 if mention.kind in unseen else int(bool(unseen))
                counts[scene, group] += mention.colour == truth.colours[mention.kind], 1
    scores = ratio_scores(counts.reshape(len(truths), -1), groups)
    named = counts.sum(axis=0)[:, 1]
    return "\n".join(
        f"{group:<28}{number:>4.0f} colours, right: {scores[group].show(unit=' %')}"
        for group, number in zip(groups, named, strict=True)
    )


def pair_accuracy_by_count(captions: Sequence[str], truths: Sequence[SceneTruth]) -> str:
    """A line for each number of things in a scene: the share of right colour-and-thing pairs."""
    row, lines = MAIN_SCORES["colours"], []
    for things in sorted({len(truth.colours) for truth in truths}):
        chosen = [pair for pair in zip(captions, truths, strict=True) if len(pair[1].colours) == things]
        said, shown = zip(*chosen, strict=True)
        group = f"scenes with {things} thing{'s' * (things != 1)}"
        lines.append(f"{group:<28}{len(chosen):>4} scenes, {row}: {score_captions(said, shown)[row].show(unit=' %')}")
    return "\n".join(lines)


def wholly_true(captions: Sequence[str], truths: Sequence[SceneTruth]) -> Score:
    """The share of captions in which every claim holds; one that claims nothing counts as true."""
    pairs = zip(captions, truths, strict=True)
    return mean_score(np.array([all(claim.right for claim in judge_claims(*pair)) for pair in pairs]))


def right_and_wrong(captions: Sequence[str], truths: Sequence[SceneTruth]) -> tuple[list[int], list[int]]:
    """The numbers of captions right in every claim (sizes aside), and of the others; most claims first in both."""
    judged = [judge_claims(caption, truth) for caption, truth in zip(captions, truths, strict=True)]
    right = [[claim.right for claim in claims if claim.sort != "sizes"] for claims in judged]
    order = sorted(range(len(right)), key=lambda i: -len(right[i]))
    return [i for i in order if all(right[i])], [i for i in order if not all(right[i])]
