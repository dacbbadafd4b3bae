"""Figures of how good captions are: scores and shares as bars, confusions, quality beside diversity."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from say_what_you_see.evaluation.attention import AttentionScore
from say_what_you_see.evaluation.caption_errors import Confusion, GroupScores
from say_what_you_see.evaluation.commonest_captions import CommonestCaption
from say_what_you_see.evaluation.evaluate import Evaluation
from say_what_you_see.evaluation.figures import confusion_figure, thing_count_figure
from say_what_you_see.evaluation.palette import BLUE, GREY, PALETTE
from say_what_you_see.evaluation.scores import Score
from utils.plots import show_figure


def plot_scores(columns: Mapping[str, Mapping[str, Score]], rows: Iterable[str], alt: str) -> None:
    """Plot shares with their intervals: a group of bars for each score, a colour for each model."""
    rows = list(rows)
    _plot_bars(rows, {name: [scores[row] for row in rows] for name, scores in columns.items()}, "share", alt)


def plot_hits(scores: Mapping[str, AttentionScore], alt: str) -> None:
    """Plot how often attention's peak is in the box of the thing, beside how often a random region is."""
    bars = {
        "attention's peak": [score.hits for score in scores.values()],
        "a random region": [Score(score.chance, score.chance, score.chance) for score in scores.values()],
    }
    _plot_bars(list(scores), bars, "share of looks that are in the thing's box", alt)


def plot_commonest_captions(commonest: Sequence[CommonestCaption], alt: str) -> None:
    """Plot the two shares of each kind side by side, the kind with the largest share of the model first."""
    commonest = sorted(commonest, key=lambda one: -one.share)
    bars = {
        "model": [Score(one.share, one.share, one.share) for one in commonest],
        "people": [Score(one.people_share, one.people_share, one.people_share) for one in commonest],
    }
    label = "share of the pictures that are given the commonest caption"
    _plot_bars([one.kind for one in commonest], bars, label, alt)


def _plot_bars(groups: Sequence[str], bars: Mapping[str, Sequence[Score]], label: str, alt: str) -> None:
    """Plot groups of horizontal bars with their intervals, a colour for each name."""
    height = 0.8 / len(bars)
    figure, axis = plt.subplots(figsize=(8, 0.9 + 0.22 * len(groups) * (1 + len(bars))))
    for number, ((name, scores), colour) in enumerate(zip(bars.items(), PALETTE, strict=False)):
        values = np.array([[score.value, score.low, score.high] for score in scores])
        errors = np.abs(values[:, 1:] - values[:, :1]).T
        places = np.arange(len(groups)) + number * height
        axis.barh(places, values[:, 0], height, xerr=errors if errors.any() else None, color=colour, label=name)
    axis.set(yticks=np.arange(len(groups)) + 0.4 - height / 2, yticklabels=groups, xlim=(0, 1), xlabel=label)
    axis.invert_yaxis()
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(bars), frameon=False)
    show_figure(figure, alt)


def plot_confusion(confusion: Confusion, what: str) -> None:
    """Show a confusion matrix of "colours", "things" or "words"."""
    show_figure(*confusion_figure(confusion, what))


def plot_by_thing_count(groups: Mapping[int, GroupScores]) -> None:
    """Show the scores by number of things in the scene."""
    show_figure(*thing_count_figure(groups))


def plot_quality_and_diversity(
    evaluations: Sequence[Evaluation], references: tuple[Score, dict[str, float]] | None = None
) -> None:
    """Plot CIDEr, with its interval, over the vocabulary used: a point for each sampler; equal captions share one.

    Each model has a plot of its own, on the same axes.

    Args:
        references: CIDEr and diversity of reference captions.
    """
    models, phrases = list(dict.fromkeys(evaluation.model for evaluation in evaluations)), []
    size = (9, 1.2 + 3.6 * len(models))
    figure, axes = plt.subplots(len(models), 1, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, model in zip(axes[:, 0], models, strict=True):
        groups: dict[tuple[str, ...], list[Evaluation]] = {}
        for evaluation in evaluations:
            if evaluation.model == model:
                groups.setdefault(tuple(evaluation.captions), []).append(evaluation)
        marked = []
        for same in groups.values():
            name = " = ".join(evaluation.sampler for evaluation in same)
            marked.append(_mark(axis, name, same[0].metrics["CIDEr"], same[0].diversity, "o", BLUE))
        if references:
            marked.append(_mark(axis, "references", *references, "D", GREY))
        axis.margins(x=0.3)
        axis.set(title=model, ylabel="CIDEr × 100")
        phrases.append(f"{model}: {'; '.join(marked)}")
    axes[-1, 0].set_xlabel("different words used")
    figure.tight_layout()
    show_figure(figure, f"CIDEr over the number of different words used. {'. '.join(phrases)}")


def _mark(axis: Axes, name: str, cider: Score, diversity: Mapping[str, float], marker: str, colour: str) -> str:
    """Draw a point with its name; returns what it says."""
    x, y = diversity["vocabulary used"], 100 * cider.value
    error = np.abs([[y - 100 * cider.low], [100 * cider.high - y]])
    axis.errorbar(x, y, yerr=error, fmt=marker, color=colour, capsize=2)
    left = name == "references"
    offset, alignment = ((-7, 0), "right") if left else ((6, 0), "left")
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0}
    axis.annotate(name, (x, y), offset, textcoords="offset points", bbox=box, ha=alignment, va="center", fontsize=8)
    return f"{name} {x} words, {y:.0f}"
