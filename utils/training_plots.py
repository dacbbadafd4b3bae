"""How training goes: loss curves, during it and afterwards, and the contents of event files."""

import itertools
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import DisplayHandle, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from say_what_you_see.evaluation.palette import BLUE, GREEN, GREY, ORANGE, PALETTE
from say_what_you_see.evaluation.scale import CheckpointScore
from say_what_you_see.training.scale.events import read_scalars
from utils.plots import Picture, show_figure

_STYLES = ((BLUE, "o-"), (ORANGE, "s-"), (GREY, "^--"), (GREEN, "d--"))


def plot_histories(histories: Mapping[str, Sequence[Mapping[str, float]]], alt: str) -> None:
    """Plot loss per epoch of one or more trainings: training dashed, validation solid."""
    show_figure(_history_figure(histories), alt)


def _history_figure(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    figure, axis = plt.subplots(figsize=(7, 3.6))
    for (name, history), colour in zip(histories.items(), itertools.cycle(PALETTE), strict=False):
        epochs = [record["epoch"] for record in history]
        axis.plot(epochs, [record["loss"] for record in history], "--", color=colour, label=f"{name}, training")
        axis.plot(epochs, [record["val_loss"] for record in history], "o-", color=colour, label=f"{name}, validation")
    _label(axis, xlabel="epoch", ylabel="loss (nats per word)")
    return figure


def _label(axis: Axes, **labels: str) -> None:
    axis.set(**labels)
    axis.locator_params(axis="x", integer=True)
    if axis.lines:
        axis.legend()


class LivePlot:
    """Redraws the loss curves whenever it is called with the history, in the same place of the notebook."""

    def __init__(self) -> None:
        self.handle: DisplayHandle | None = None

    def __call__(self, history: Sequence[Mapping[str, float]]) -> None:
        first, last = history[0], history[-1]
        alt = (
            f"Line plot of the loss over {last['epoch']} epochs: training falls from {first['loss']:.2f} to "
            f"{last['loss']:.2f}, validation from {first['val_loss']:.2f} to {last['val_loss']:.2f} nats per word."
        )
        picture = Picture(_history_figure({"decoder": history}), alt)
        if self.handle is None:
            self.handle = display(picture, display_id=True)
        else:
            self.handle.update(picture)


def plot_perplexities(curves: Mapping[str, Sequence[CheckpointScore]], alt: str) -> None:
    """Plot the validation perplexity at each checkpoint, a line for each part of a training."""
    figure, axis = plt.subplots(figsize=(7, 3.6))
    for (name, scores), (colour, style) in zip(curves.items(), _STYLES, strict=False):
        axis.plot([s.step for s in scores], [s.perplexity for s in scores], style, color=colour, label=name)
    _label(axis, xlabel="step", ylabel="validation perplexity per word")
    show_figure(figure, alt)


def plot_scalars(folders: Mapping[str, Path], tags: Sequence[str], alt: str) -> None:
    """Plot what is in event files as TensorBoard does: a plot for each tag, a line for each folder."""
    figure, axes = plt.subplots(1, len(tags), figsize=(4 * len(tags), 3), squeeze=False)
    curves = {name: read_scalars(folder) for name, folder in folders.items()}
    for axis, tag in zip(axes[0], tags, strict=True):
        for (name, scalars), (colour, _) in zip(curves.items(), _STYLES, strict=False):
            points = np.array(scalars.get(tag, [])).reshape(-1, 2)
            if len(points):
                axis.plot(*points.T, "." if len(points) == 1 else "-", color=colour, label=name)
        _label(axis, title=tag, xlabel="step")
    figure.tight_layout()
    show_figure(figure, alt)


def show_tensorboard(logdir: Path) -> bool:
    """Show TensorBoard below the cell, if someone is looking at it in Jupyter or Colab; returns whether it started."""
    if "google.colab" not in sys.modules and "JPY_SESSION_NAME" not in os.environ:
        return False
    from tensorboard import notebook

    if program := shutil.which("tensorboard", path=str(Path(sys.executable).parent)):  # it may not be on the PATH
        os.environ.setdefault("TENSORBOARD_BINARY", program)
    notebook.start(f'--logdir "{logdir}"')
    return True
