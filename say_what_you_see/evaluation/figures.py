"""Figures of the error analysis: what is taken for what, and scores by number of things; each also in words."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from say_what_you_see.evaluation.caption_errors import Confusion, GroupScores, confusion_in_words
from say_what_you_see.evaluation.palette import BLUE, GREEN, GREY, ORANGE

_MARKS = {  # the same kind of mark is never told apart by its colour alone
    "things named that are there": (BLUE, "o"),
    "colours joined to the right thing": (ORANGE, "s"),
    "stated relations that are true": (GREEN, "^"),
    "salient things that are named": (GREY, "D"),
}


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


def thing_count_figure(groups: Mapping[int, GroupScores]) -> tuple[Figure, str]:
    """How much is right in scenes with one thing, two things, three things."""
    figure, axis = plt.subplots(figsize=(7, 3.4))
    places, phrases = np.arange(len(groups), dtype=float), []
    for number, (name, (colour, marker)) in enumerate(_MARKS.items()):
        scores = [group.exact[name] for group in groups.values()]
        values = np.array([[score.value, score.low, score.high] for score in scores])
        errors = np.abs(values[:, 1:] - values[:, :1]).T
        shifted = places + 0.06 * (number - 1.5)
        axis.errorbar(shifted, values[:, 0], yerr=errors, fmt=marker + "-", color=colour, capsize=3, label=name)
        shares = [f"{value:.2f} with {n}" for n, value in zip(groups, values[:, 0], strict=True) if not np.isnan(value)]
        phrases.append(f"{name}: {', '.join(shares) or 'none'}")
    labels = [f"{number}\n({group.scenes} scenes)" for number, group in groups.items()]
    axis.set(xticks=places, xticklabels=labels, xlabel="things in the scene", ylabel="share", ylim=(0, 1.04))
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.32), ncols=2, fontsize=9)
    return figure, f"Scores by number of things in the scene. {'; '.join(phrases)}"
