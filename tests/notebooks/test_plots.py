"""Every figure is shown as a small PNG that carries its alternative text."""

from __future__ import annotations

import base64
import io
from collections import Counter

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.container import ErrorbarContainer
from PIL import Image

from say_what_you_see.evaluation.scene_truth import Score
from utils import plots

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(256, size=(30, 30, 3), dtype=np.uint8) for _ in range(7)]
HISTORY = [{"epoch": n, "loss": 3 / n, "val_loss": 4 / n, "val_accuracy": 0.5} for n in range(1, 5)]
SCORES = {"things": Score(0.9, 0.8, 0.95), "pairs": Score(0.5, 0.4, 0.6), "never": Score(*[float("nan")] * 3)}
ALT = "A figure that shows something"
FIGURES = {
    "show_pictures": lambda alt: plots.show_pictures(PICTURES, ["a long title " * 6] * 7, alt, columns=3),
    "one picture": lambda alt: plots.show_pictures(PICTURES[:1], ["title"], alt),
    "plot_neighbours": lambda alt: plots.plot_neighbours(PICTURES[:2], [PICTURES[2:5], PICTURES[3:6]], alt),
    "plot_embedding_map": lambda alt: plots.plot_embedding_map(RNG.normal(size=(7, 2)), PICTURES, alt),
    "plot_word_frequency": lambda alt: plots.plot_word_frequency(Counter("a tale of tails"), 2, alt),
    "plot_caption_lengths": lambda alt: plots.plot_caption_lengths([3, 5, 5, 9, 25], 20, alt),
    "plot_temperatures": lambda alt: plots.plot_temperatures([0.7, 0.3], {0.1: [1, 0], 10: [0.5, 0.5]}, alt),
    "one temperature": lambda alt: plots.plot_temperatures([0.7, 0.3], {1: [0.7, 0.3]}, alt),
    "plot_next_words": lambda alt: plots.plot_next_words([{"a": 0.7, "b": 0.2}, {"c": 0.9}], alt),
    "plot_histories": lambda alt: plots.plot_histories({"one": HISTORY, "two": HISTORY[:1]}, alt),
    "plot_scores": lambda alt: plots.plot_scores({"ours": SCORES, "control": SCORES}, list(SCORES), alt),
    "plot_pipeline": lambda alt: plots.plot_pipeline(Image.fromarray(PICTURES[0]), alt),
}


@pytest.fixture
def shown(monkeypatch) -> list:
    """What would be displayed."""
    things = []
    monkeypatch.setattr(plots, "display", lambda thing, **_: things.append(thing))
    return things


@pytest.fixture
def figures(monkeypatch) -> list:
    """The figures that would be shown, before they are turned into pictures."""
    kept = []
    monkeypatch.setattr(plots, "show_figure", lambda figure, alt: kept.append(figure))
    yield kept
    plt.close("all")


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_small_png_with_its_alternative_text(name, shown):
    FIGURES[name](ALT)
    [picture] = shown
    data, metadata = DisplayFormatter().format(picture)
    assert metadata["image/png"]["alt"] == metadata["alt"] == data["text/plain"]
    assert ALT in metadata["alt"]
    png = data["image/png"]
    png = base64.b64decode(png) if isinstance(png, str) else png
    assert len(png) < 60_000
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG" and image.mode == "P"
        assert 100 < image.width < 1200 and image.height > 50
        assert len(set(image.convert("L").tobytes())) > 2, "it is not empty"
    assert plt.get_fignums() == [], "the figure is closed"


def test_every_public_figure_is_tried():
    public = {name for name in vars(plots) if name.startswith(("plot_", "show_"))}
    assert public - {"show_figure"} <= set(FIGURES)


def test_pictures_have_their_titles_and_empty_places_stay_empty(figures):
    plots.show_pictures(PICTURES, [f"number {n}" for n in range(7)], ALT, columns=3)
    axes = figures[0].axes
    assert len(axes) == 9
    assert [axis.get_title() for axis in axes] == [*(f"number {n}" for n in range(7)), "", ""]
    assert [len(axis.images) for axis in axes] == [1] * 7 + [0] * 2


@pytest.mark.parametrize("width", [5, 12, 30])
def test_titles_are_broken_between_words(width):
    text = "a small red ball is below\nan extraordinarily large cloud"
    broken = plots._wrapped(text, width)
    assert broken.split() == text.split()
    assert all(len(line) <= width or " " not in line for line in broken.splitlines())
    assert plots._wrapped(text, 100) == text


def test_training_is_dashed_and_validation_solid(figures):
    plots.plot_histories({"decoder": HISTORY, "control": HISTORY[:2]}, ALT)
    lines = {line.get_label(): line for line in figures[0].axes[0].lines}
    assert set(lines) == {f"{name}, {side}" for name in ("decoder", "control") for side in ("training", "validation")}
    for name, history in (("decoder", HISTORY), ("control", HISTORY[:2])):
        for side, key, style in (("training", "loss", "--"), ("validation", "val_loss", "-")):
            line = lines[f"{name}, {side}"]
            assert line.get_linestyle() == style
            assert line.get_xydata().tolist() == [[record["epoch"], record[key]] for record in history]


def test_no_history_is_left_out(figures):
    plots.plot_histories({f"training {n}": HISTORY for n in range(8)}, ALT)
    assert len(figures[0].axes[0].lines) == 16


def test_bars_of_scores_have_their_intervals(figures):
    rows = ["things", "pairs"]
    plots.plot_scores({"ours": SCORES, "control": SCORES}, rows, ALT)
    axis = figures[0].axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == rows
    assert [bar.get_width() for bar in axis.patches] == [0.9, 0.5] * 2
    intervals = [container.lines[2][0] for container in axis.containers if isinstance(container, ErrorbarContainer)]
    ends = [segment[:, 0].tolist() for lines in intervals for segment in lines.get_segments()]
    assert ends == pytest.approx(np.array([[0.8, 0.95], [0.4, 0.6]] * 2))


def test_the_axis_of_word_frequency_starts_with_the_most_frequent(figures):
    plots.plot_word_frequency(Counter({"rare": 1, "the": 50, "ball": 7}), 5, ALT)
    assert figures[0].axes[0].lines[0].get_ydata().tolist() == [50, 7, 1]


def test_the_live_plot_is_drawn_in_one_place(monkeypatch):
    calls = []

    class Handle:
        def update(self, picture):
            calls.append(("update", picture))

    monkeypatch.setattr(plots, "display", lambda picture, display_id: calls.append(("display", picture)) or Handle())
    live = plots.LivePlot()
    for epochs in range(1, 4):
        live(HISTORY[:epochs])
    assert [name for name, _ in calls] == ["display", "update", "update"]
    for epochs, (_, picture) in enumerate(calls, 1):
        last = HISTORY[epochs - 1]
        assert f"over {epochs} epochs" in picture.alt or epochs == 1
        assert f"to {last['loss']:.2f}" in picture.alt and f"to {last['val_loss']:.2f}" in picture.alt
    assert plt.get_fignums() == []
