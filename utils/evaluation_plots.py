"""Figures of how good captions are: scores and shares as bars."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from say_what_you_see.evaluation.attention import AttentionScore
from say_what_you_see.evaluation.commonest_captions import CommonestCaption
from say_what_you_see.evaluation.palette import PALETTE
from say_what_you_see.evaluation.scores import Score
from utils.plots import show_figure


def plot_scores(columns: Mapping[str, Mapping[str, Score]], rows: Sequence[str]) -> None:
    """Plot shares with their intervals: a group of bars for each score, a colour for each model."""
    alt = "; ".join(
        f"{row}: " + ", ".join(f"{name} {scores[row].show(1, 2).split()[0]}" for name, scores in columns.items())
        for row in rows
    )
    _plot_bars(rows, {name: [scores[row] for row in rows] for name, scores in columns.items()}, "share", alt)


def plot_hits(scores: Mapping[str, AttentionScore], alt: str) -> None:
    """Plot how often attention's peak is in the thing's box, beside how often a random region would be."""
    bars = {
        "attention's peak": [score.hits for score in scores.values()],
        "a random region": [Score(score.chance, score.chance, score.chance) for score in scores.values()],
    }
    _plot_bars(list(scores), bars, "share of looks that are in the thing's box", alt)


def plot_commonest_captions(commonest: Sequence[CommonestCaption], alt: str) -> None:
    """Plot the two shares of each kind side by side, by the model's share, the largest first."""
    commonest = sorted(commonest, key=lambda one: -one.share)
    bars = {
        "model": [Score(one.share, one.share, one.share) for one in commonest],
        "references": [Score(one.people_share, one.people_share, one.people_share) for one in commonest],
    }
    label = "share of the pictures that are given the commonest caption"
    limit = min(1, 1.1 * max(max(one.share, one.people_share) for one in commonest))
    _plot_bars([one.kind for one in commonest], bars, label, alt, limit)


def _plot_bars(
    groups: Sequence[str], bars: Mapping[str, Sequence[Score]], label: str, alt: str, limit: float = 1
) -> None:
    """Plot groups of horizontal bars from 0 to a limit with their intervals, a colour for each name."""
    height = 0.8 / len(bars)
    figure, axis = plt.subplots(figsize=(8, 0.9 + 0.22 * len(groups) * (1 + len(bars))))
    for number, ((name, scores), colour) in enumerate(zip(bars.items(), PALETTE, strict=False)):
        values = np.array([[score.value, score.low, score.high] for score in scores])
        errors = np.abs(values[:, 1:] - values[:, :1]).T
        places = np.arange(len(groups)) + number * height
        axis.barh(places, values[:, 0], height, xerr=errors if errors.any() else None, color=colour, label=name)
        for place, score in zip(places, scores, strict=True):
            if not score.value > 0:
                axis.text(0, place, f" {score.show(1, 2).split()[0]}", va="center", fontsize="small")
    axis.set(yticks=np.arange(len(groups)) + 0.4 - height / 2, yticklabels=groups, xlim=(0, limit), xlabel=label)
    axis.invert_yaxis()
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(bars), frameon=False)
    show_figure(figure, alt)
