"""Figures of attention: where a model looked while it emitted each word of a caption."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from say_what_you_see.evaluation.attention import Box, Centres, cells_in_box, peak_cell
from say_what_you_see.evaluation.palette import GREY, ORANGE
from utils.plots import show_figure

_FAINT = 0.25
"""The brightness of a picture where attention does not fall."""


def lit_picture(picture: np.ndarray, weights: np.ndarray, centres: Centres) -> np.ndarray:
    """A picture that is bright where attention falls and dim elsewhere.

    Args:
        picture: RGB from 0 to 255, (side, side, 3).
        weights: (rows, columns); the largest becomes full brightness.
        centres: where the middles of rows and columns are.

    Returns:
        uint8, as large as the picture; each pixel belongs to the cell with the nearest centre, without smoothing.
    """
    down, across = (
        np.searchsorted(_borders(middles)[1:-1], (np.arange(pixels) + 0.5) / pixels)
        for middles, pixels in zip(centres, picture.shape, strict=False)
    )
    light = weights[np.ix_(down, across)] / max(float(weights.max()), 1e-12)
    grey = picture.mean(axis=2, keepdims=True)  # a dimmed colour would look like a different one
    lit = light[..., None] * picture + (1 - light[..., None]) * _FAINT * grey
    return lit.round().astype(np.uint8)


def _borders(middles: np.ndarray) -> np.ndarray:
    """Where the cells of a row begin and end: half-way between neighbours, and at the picture's edges."""
    return np.concatenate([[0], (middles[1:] + middles[:-1]) / 2, [1]])


def plot_grid(picture: np.ndarray, centres: Centres, alt: str, box: Box | None = None) -> None:
    """Show a picture, (side, side, 3), divided into regions, with a dot in the middle of each.

    Args:
        box: that of a thing, (left, top, width, height) as shares of the picture's side; dots in it are filled.
    """
    figure, axis = plt.subplots(figsize=(3.6, 3.6))
    axis.imshow(picture)
    (height, width), (down, across) = picture.shape[:2], centres
    axis.set(xticks=_borders(across)[1:-1] * width - 0.5, yticks=_borders(down)[1:-1] * height - 0.5)
    axis.tick_params(length=0, labelleft=False, labelbottom=False)
    axis.grid(color="white", alpha=0.7)
    axis.spines[:].set_visible(False)
    inside = cells_in_box(box, centres) if box else np.zeros((len(down), len(across)), dtype=bool)
    for chosen, face in ((inside, ORANGE), (~inside, "none")):
        row, column = np.nonzero(chosen)
        places = across[column] * width - 0.5, down[row] * height - 0.5
        axis.scatter(*places, s=18, facecolors=face, edgecolors="white", linewidths=0.8)
    if box:
        _draw_box(axis, box, picture.shape)
    show_figure(figure, alt)


def plot_attention(
    picture: np.ndarray,
    words: Sequence[str],
    attention: np.ndarray,
    centres: Centres,
    alt: str,
    boxes: Mapping[int, Box] | None = None,
    columns: int = 6,
) -> None:
    """Show a picture once for each word of its caption, lit where attention was when the word was emitted.

    Args:
        picture: RGB from 0 to 255, (side, side, 3).
        attention: (words, rows, columns).
        centres: where the middles of rows and columns are.
        boxes: the boxes of things that words name: index of the word to (left, top, width, height) as shares
            of the picture's side.
    """
    boxes, rows = boxes or {}, -(-(len(words) + 1) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.75 * columns, 2.05 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    axes.flat[0].imshow(picture)
    axes.flat[0].set_title("picture", fontsize=10, color=GREY)
    for index, (axis, word, weights) in enumerate(zip(axes.flat[1:], words, attention, strict=False)):
        axis.imshow(lit_picture(picture, weights, centres))
        axis.set_title(word, fontsize=10, fontweight="bold" if index in boxes else "normal", parse_math=False)
        _mark_peak(axis, weights, centres, picture.shape)
        if index in boxes:
            _draw_box(axis, boxes[index], picture.shape)
    figure.tight_layout()
    show_figure(figure, alt)


def _mark_peak(axis: Axes, weights: np.ndarray, centres: Centres, shape: Sequence[int]) -> None:
    """Frame the cell with the largest weight."""
    row, column = peak_cell(weights)
    top, bottom = _borders(centres[0])[row : row + 2] * shape[0]
    left, right = _borders(centres[1])[column : column + 2] * shape[1]
    style: dict = {"path_effects": [withStroke(linewidth=3.5, foreground="black")], "edgecolor": "white"}
    axis.add_patch(plt.Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, lw=1.5, **style))


def _draw_box(axis: Axes, box: Box, shape: Sequence[int]) -> None:
    """Draw the box of a thing."""
    left, top, width, height = box
    corner = left * shape[1] - 0.5, top * shape[0] - 0.5
    size = width * shape[1], height * shape[0]
    for colour, style in (("white", "-"), (ORANGE, "--")):  # visible on any colour
        axis.add_patch(plt.Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=2, linestyle=style))
