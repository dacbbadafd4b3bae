"""Colours and style of all figures, and figures as small PNGs."""

import io

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#555555"
"""Colours of Okabe and Ito's palette, and a grey that is too dark to be mistaken for the green."""

PALETTE = (BLUE, ORANGE, GREEN, PINK, GREY)

matplotlib.rcParams.update({
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3,
    "figure.dpi": 80, "font.size": 11, "axes.titlesize": 11,
})  # fmt: skip


def small_png(figure: Figure) -> bytes:
    """Render a figure as a PNG of at most 256 colours, which is several times smaller, and close it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", facecolor="white")
    plt.close(figure)
    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(
        256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE
    ).save(small, "PNG", optimize=True)  # the usual median cut turns a few red pixels grey where most are blue
    return small.getvalue()
