"""Figures about speed: alternative texts, and what is drawn."""

from __future__ import annotations

import pytest

from utils import speed_plots as plots


@pytest.fixture
def shown(monkeypatch) -> list:
    figures = []
    monkeypatch.setattr(plots, "show_figure", lambda figure, alt: figures.append((figure, alt)))
    return figures


def test_rates_are_bars_with_their_figures_and_a_limit(shown):
    plots.plot_rates({"plain": 10.0, "quick": 25.0}, "pictures/s", "two bars", limit=("peak", 31.0))
    figure, alt = shown[0]
    axis = figure.axes[0]
    assert alt == "two bars"
    assert [bar.get_width() for bar in axis.patches] == [10, 25]
    assert [text.get_text().strip() for text in axis.texts] == ["10", "25"]
    assert axis.lines[0].get_xdata()[0] == 31


def test_parts_lie_one_after_the_other_and_may_be_missing(shown):
    plots.plot_parts({"plain": {"decode": 2.0, "encode": 30.0}, "quick": {"encode": 20.0}}, "ms", "bars of parts")
    bars = [(bar.get_x(), bar.get_width()) for bar in shown[0][0].axes[0].patches]
    assert bars == [(0, 2), (0, 0), (2, 30), (0, 20)]


def test_the_roof_rises_and_is_flat_and_all_work_is_on_it(shown):
    plots.plot_roofline({"one word": (0.5, 4.0), "InceptionV3": (80.0, 300.0)}, 400.0, 30.0, "a roof")
    axis = shown[0][0].axes[0]
    roof, *work = axis.lines
    assert max(roof.get_ydata()) == 400
    assert roof.get_ydata()[0] == pytest.approx(30 * roof.get_xdata()[0])
    assert [line.get_label() for line in work] == ["one word", "InceptionV3"]
