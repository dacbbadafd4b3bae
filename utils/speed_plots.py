"""Figures about speed."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np

from say_what_you_see.evaluation.palette import BLUE, GREY, ORANGE, PALETTE
from utils.plots import show_figure


def plot_rates(rates: Mapping[str, float], unit: str, alt: str, limit: tuple[str, float] | None = None) -> None:
    """A bar for each way of doing something.

    Args:
        rates: figures by name, in the given unit; higher is better.
        limit: what cannot be passed, drawn as a line: its name and its figure.
    """
    figure, axis = plt.subplots(figsize=(8, 0.7 + 0.42 * len(rates)))
    axis.barh(list(rates), list(rates.values()), color=BLUE, height=0.7)
    for place, rate in enumerate(rates.values()):
        axis.text(rate, place, f" {rate:,.3g}" if rate < 100 else f" {rate:,.0f}", va="center")
    if limit:
        axis.axvline(limit[1], color=ORANGE, linewidth=2)
        axis.set_title(f"orange line: {limit[0]}, {limit[1]:,.3g}", fontsize=10, loc="right")
    axis.set_xlabel(unit)
    axis.margins(x=0.12)
    axis.invert_yaxis()
    axis.grid(visible=False)
    show_figure(figure, alt)


def plot_parts(parts: Mapping[str, Mapping[str, float]], unit: str, alt: str) -> None:
    """A bar for each way, made up of its parts one after the other.

    Args:
        parts: for each way, figures by the name of the part; parts may be missing.
    """
    figure, axis = plt.subplots(figsize=(8, 1.2 + 0.45 * len(parts)))
    names = list(dict.fromkeys(name for way in parts.values() for name in way))
    ends = np.zeros(len(parts))
    for number, name in enumerate(names):
        widths = np.array([way.get(name, 0.0) for way in parts.values()])
        hatch = "//" if number >= len(PALETTE) else None
        axis.barh(list(parts), widths, left=ends, color=PALETTE[number % len(PALETTE)], hatch=hatch, label=name)
        ends += widths
    axis.set_xlabel(unit)
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.legend(
        loc="upper center", bbox_to_anchor=(0.5, 1 + 0.55 / len(parts)), ncols=min(4, len(names)), frameon=False
    )
    show_figure(figure, alt)


def plot_roofline(work: Mapping[str, tuple[float, float]], gflops: float, bandwidth: float, alt: str) -> None:
    """The limits of a machine as a roof, and below it how far pieces of work get (Williams et al. 2009).

    Args:
        work: by name the operations for each byte moved, and the operations in a second that were reached, in 10**9.
        gflops: the most operations in a second, in 10**9: the flat part of the roof.
        bandwidth: the most bytes in a second, in 10**9: the slope.
    """
    figure, axis = plt.subplots(figsize=(8, 4.2))
    intensities = [intensity for intensity, _ in work.values()]
    ends = np.geomspace(min([0.3, *intensities]) / 2, max([100.0, *intensities]) * 3, 200)
    axis.loglog(ends, np.minimum(gflops, bandwidth * ends), color=GREY, linewidth=2)
    for number, (name, (intensity, reached)) in enumerate(work.items()):
        colour, marker = PALETTE[number % len(PALETTE)], "osD^v"[number % 5]
        axis.plot(intensity, reached, marker, color=colour, markersize=9, label=name)
    axis.set_xlabel("operations for each byte moved")
    axis.set_ylabel("10⁹ operations in a second")
    axis.legend(frameon=False)
    show_figure(figure, alt)
