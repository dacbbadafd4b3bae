"""Figures of an evaluation, each also in words: confusions, scores by number of things, quality and diversity."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from say_what_you_see.evaluation.caption_errors import Confusion, confusion_in_words
from say_what_you_see.evaluation.evaluate import Evaluation
from say_what_you_see.evaluation.palette import BLUE, GREEN, GREY, ORANGE
from say_what_you_see.evaluation.scene_scores import MAIN_SCORES
from say_what_you_see.evaluation.scores import Score

_MARKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (GREY, "D"))  # never told apart by colour alone


def confusion_figure(confusion: Confusion, what: str) -> tuple[Figure, str]:
    """A matrix with its numbers; each row is shaded by its shares, so that rare rows show as clearly as others.

    Args:
        what: "colours", "things" or "words".
    """
    counts, rows, columns = confusion.counts, confusion.rows, confusion.columns
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    figure, axis = plt.subplots(figsize=(0.62 * len(columns) + 1.6, 0.46 * len(rows) + 1.3))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[i, j] > 0.5 else "black"
        axis.text(j, i, f"{counts[i, j]:.3g}", ha="center", va="center", color=colour, fontsize=9)
    axis.set(xlabel=f"{what} in the caption", ylabel=f"{what} in the {'references' if what == 'words' else 'picture'}")
    axis.set(xticks=range(len(columns)), yticks=range(len(rows)), yticklabels=rows)
    axis.set_xticklabels(columns, rotation=45, ha="right", rotation_mode="anchor")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    return figure, f"Matrix of {what} that are there against {what} that are said: {confusion_in_words(confusion)}"


def thing_count_figure(groups: Mapping[int, Evaluation]) -> tuple[Figure, str]:
    """How much is right in scenes with one thing, two things, three things."""
    figure, axis = plt.subplots(figsize=(7, 3.4))
    places, phrases = np.arange(len(groups), dtype=float), []
    for number, (name, (colour, marker)) in enumerate(zip(MAIN_SCORES.values(), _MARKS, strict=True)):
        scores = [(group.exact or {})[name] for group in groups.values()]
        values = np.array([[score.value, score.low, score.high] for score in scores])
        errors = np.abs(values[:, 1:] - values[:, :1]).T
        x = places + 0.06 * (number - 1.5)
        axis.errorbar(x, values[:, 0], yerr=errors, fmt=marker + "-", color=colour, capsize=3, label=name)
        shares = [f"{value:.2f} with {n}" for n, value in zip(groups, values[:, 0], strict=True) if not np.isnan(value)]
        phrases.append(f"{name}: {', '.join(shares) or 'none'}")
    labels = [f"{number}\n({len(group.captions)} scenes)" for number, group in groups.items()]
    axis.set(xticks=places, xticklabels=labels, xlabel="things in the scene", ylabel="share", ylim=(0, 1.04))
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.32), ncols=2, fontsize=9)
    return figure, f"Scores by number of things in the scene. {'; '.join(phrases)}"


_Point = tuple[float, float, str]  # across, up, and a name


def quality_and_diversity_figure(
    evaluations: Sequence[Evaluation], references: tuple[Score, dict[str, float]] | None = None
) -> tuple[Figure, str]:
    """CIDEr, with its interval, over the vocabulary used: a point for each sampler; equal captions share one.

    Each model has a plot of its own, all with the same scales.

    Args:
        references: CIDEr and diversity of reference captions.
    """
    models, phrases = list(dict.fromkeys(evaluation.model for evaluation in evaluations)), []
    size = (9, 1.2 + 3.6 * len(models))
    figure, axes = plt.subplots(len(models), 1, figsize=size, sharex=True, sharey=True, squeeze=False)
    names: dict[Axes, list[_Point]] = {}
    for axis, model in zip(axes[:, 0], models, strict=True):
        groups: dict[tuple[str, ...], list[Evaluation]] = {}
        for one in evaluations:
            if one.model == model:
                groups.setdefault(tuple(one.captions), []).append(one)
        points = []
        for first, *others in groups.values():
            name = " = ".join(one.sampler for one in (first, *others))
            points.append(_mark(axis, name, first.metrics["CIDEr"], first.diversity, "o", BLUE))
        if references:
            points.append(_mark(axis, "references", *references, "D", GREY))
        axis.margins(x=0.3)
        axis.set(title=model, ylabel="CIDEr × 100")
        names[axis] = sorted(points)
        phrases.append(f"{model}: {'; '.join(f'{name} {x} words, {y:.0f}' for x, y, name in points)}")
    axes[-1, 0].set_xlabel("different words used")
    for axis, points in names.items():
        _write_names(axis, points)
    figure.tight_layout()
    return figure, f"CIDEr over the number of different words used. {'. '.join(phrases)}"


def _mark(axis: Axes, name: str, cider: Score, diversity: Mapping[str, float], marker: str, colour: str) -> _Point:
    """Draw a point; returns its place and its name."""
    x, y = diversity["vocabulary used"], 100 * cider.value
    error = np.abs([[y - 100 * cider.low], [100 * cider.high - y]])
    axis.errorbar(x, y, yerr=error, fmt=marker, color=colour, capsize=2)
    return x, y, name


def _write_names(axis: Axes, points: Sequence[_Point]) -> None:
    """Write the names of points, sorted by x: right of each group of neighbours, one above the other."""
    wide, high = (np.ptp(limits) for limits in (axis.get_xlim(), axis.get_ylim()))
    breaks = np.flatnonzero(np.diff([x for x, _, _ in points]) > wide / 6) + 1
    for group in np.split(np.array(points, dtype=object), breaks):
        column, lowest = max(group[:, 0]) + wide / 40, -np.inf
        for x, y, name in sorted(group.tolist(), key=lambda point: point[1]):
            lowest = max(y, lowest + high / 20)
            line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkB": 3}
            axis.annotate(name, (x, y), (column, lowest), va="center", fontsize=8, arrowprops=line)
