"""Figures of notebook 06: what is taken for what, quality beside diversity, scores by number of things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from say_what_you_see.evaluation.caption_errors import Confusion, GroupScores, confusion_in_words
from say_what_you_see.evaluation.evaluate import Evaluation
from say_what_you_see.evaluation.metrics import MetricScore
from utils.plots import BLUE, GREEN, GREY, ORANGE, show_figure

_BY_THINGS = {  # the same kind of mark is never told apart by its colour alone
    "things named that are there": (BLUE, "o"),
    "colours joined to the right thing": (ORANGE, "s"),
    "stated relations that are true": (GREEN, "^"),
    "salient things that are named": (GREY, "D"),
}


def confusion_figure(confusion: Confusion, there: str, said: str) -> Figure:
    """A matrix with its numbers; each row is shaded by its shares, so that rare rows show as clearly as others.

    Args:
        there: the title of the rows.
        said: the title of the columns.
    """
    counts, rows, columns = confusion.counts, confusion.rows, confusion.columns
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    figure, axis = plt.subplots(figsize=(0.62 * len(columns) + 1.6, 0.46 * len(rows) + 1.3))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[i, j] > 0.5 else "black"
        axis.text(j, i, f"{counts[i, j]:.3g}", ha="center", va="center", color=colour, fontsize=9)
    axis.set(xticks=range(len(columns)), yticks=range(len(rows)), yticklabels=rows, xlabel=said, ylabel=there)
    axis.set_xticklabels(columns, rotation=45, ha="right", rotation_mode="anchor")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    return figure


def confusion_alt(confusion: Confusion, of: str) -> str:
    """What a confusion matrix shows, in words."""
    return f"Matrix of {of} that are there against {of} that are said: {confusion_in_words(confusion)}"


def plot_confusion(confusion: Confusion, of: str) -> None:
    """Show a confusion matrix of "colours" or "things"."""
    show_figure(
        confusion_figure(confusion, f"{of} in the picture", f"{of} in the caption"), confusion_alt(confusion, of)
    )


def by_things_figure(groups: Mapping[int, GroupScores]) -> Figure:
    """How much is right in scenes with one thing, two things, three things."""
    figure, axis = plt.subplots(figsize=(7, 3.4))
    places = np.arange(len(groups), dtype=float)
    for number, (row, (colour, marker)) in enumerate(_BY_THINGS.items()):
        scores = [group.exact[row] for group in groups.values()]
        values = np.array([[score.value, score.low, score.high] for score in scores])
        errors = np.abs(values[:, 1:] - values[:, :1]).T
        shifted = places + 0.06 * (number - 1.5)
        axis.errorbar(shifted, values[:, 0], yerr=errors, fmt=marker + "-", color=colour, capsize=3, label=row)
    labels = [f"{number}\n({group.scenes} scenes)" for number, group in groups.items()]
    axis.set(xticks=places, xticklabels=labels, xlabel="things in the scene", ylabel="share", ylim=(0, 1.04))
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.32), ncols=2, fontsize=9)
    return figure


def by_things_alt(groups: Mapping[int, GroupScores]) -> str:
    """What the figure shows, in words."""
    parts = []
    for row in _BY_THINGS:
        values = {number: group.exact[row].value for number, group in groups.items()}
        shares = ", ".join(f"{value:.2f} with {n}" for n, value in values.items() if not np.isnan(value)) or "none"
        parts.append(f"{row}: {shares}")
    return "Scores by number of things in the scene. " + "; ".join(parts)


def plot_by_things(groups: Mapping[int, GroupScores]) -> None:
    """Show the scores by number of things."""
    show_figure(by_things_figure(groups), by_things_alt(groups))


def plot_quality_and_diversity(
    evaluations: Sequence[Evaluation], people: tuple[MetricScore, dict[str, float]] | None = None
) -> None:
    """Plot CIDEr, with its interval, over the vocabulary used: a point a way of choosing; equal captions share one.

    Each model has a plot of its own, on the same axes.

    Args:
        people: CIDEr and diversity of people's captions.
    """
    models, said = list(dict.fromkeys(evaluation.model for evaluation in evaluations)), []
    size = (9, 1.2 + 3.6 * len(models))
    figure, axes = plt.subplots(len(models), 1, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, model in zip(axes[:, 0], models, strict=True):
        own = [evaluation for evaluation in evaluations if evaluation.model == model]
        marked = []
        for same in _with_equal_captions(own):
            name = " = ".join(evaluation.way for evaluation in same)
            marked.append(_mark(axis, name, same[0].metrics["CIDEr"], same[0].diversity, "o", BLUE))
        if people:
            marked.append(_mark(axis, "people", *people, "D", GREY))
        axis.margins(x=0.3)
        axis.set(title=model, ylabel="CIDEr × 100")
        said.append(f"{model}: {'; '.join(marked)}")
    axes[-1, 0].set_xlabel("different words used")
    figure.tight_layout()
    show_figure(figure, f"CIDEr over the number of different words used. {'. '.join(said)}")


def _with_equal_captions(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Evaluations in groups of the same captions."""
    groups: dict[tuple[str, ...], list[Evaluation]] = {}
    for evaluation in evaluations:
        groups.setdefault(tuple(evaluation.captions), []).append(evaluation)
    return list(groups.values())


def _mark(axis: Axes, name: str, cider: MetricScore, varied: Mapping[str, float], marker: str, colour: str) -> str:
    """Draw a point with its name; returns what it says."""
    x, y = varied["vocabulary used"], 100 * cider.value
    error = np.abs([[y - 100 * cider.low], [100 * cider.high - y]])
    axis.errorbar(x, y, yerr=error, fmt=marker, color=colour, capsize=2)
    left = name == "people"
    where = {"xytext": (-7 if left else 6, 0), "ha": "right" if left else "left", "va": "center", "fontsize": 8}
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0}
    axis.annotate(name, (x, y), textcoords="offset points", bbox=box, **where)
    return f"{name} {x} words, {y:.0f}"
