"""Figures of attention show every word, light up where attention is, and say in words what they show."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt

from say_what_you_see.evaluation.attention import score_attention
from utils import attention_plots
from utils.attention_plots import attention_figure, lit_picture, plot_attention, plot_grid, plot_hits

PICTURE = np.full((40, 40, 3), (200, 100, 0), dtype=np.uint8)


def weights_at(row: int, column: int, side: int = 4) -> np.ndarray:
    weights = np.zeros((side, side))
    weights[row, column] = 1
    return weights


@pytest.fixture
def shown(monkeypatch) -> list:
    figures = []
    monkeypatch.setattr(attention_plots, "show_figure", lambda figure, alt: figures.append((figure, alt)))
    yield figures
    plt.close("all")


def test_a_picture_is_itself_where_attention_is_and_dim_and_grey_elsewhere():
    lit = lit_picture(PICTURE, weights_at(1, 2) * 0.3)
    assert lit.shape == PICTURE.shape and lit.dtype == np.uint8
    assert (lit[10:20, 20:30] == PICTURE[10:20, 20:30]).all()
    dim = lit.copy().astype(int)
    dim[10:20, 20:30] = 25
    assert (dim == 25).all()


def test_even_attention_and_no_attention_are_both_shown():
    assert (lit_picture(PICTURE, np.full((8, 8), 1 / 64)) == PICTURE).all()
    assert (lit_picture(PICTURE, np.zeros((8, 8))) == 25).all()


@pytest.mark.parametrize("side", [30, 41, 75])
def test_the_grid_covers_a_picture_of_any_size(side):
    picture = np.full((side, side, 3), 200, dtype=np.uint8)
    lit = lit_picture(picture, weights_at(7, 7, side=8))
    assert lit[-1, -1, 0] == 200 and lit[0, 0, 0] == 50


def test_every_word_has_a_panel_with_its_peak_and_a_named_thing_its_box(shown):
    words = ["a", "red", "ball", "at", "sea"]
    attention = np.stack([weights_at(i % 4, 3) for i in range(5)])
    plot_attention(PICTURE, words, attention, "what it shows", boxes={2: (0.25, 0.5, 0.5, 0.25)}, columns=4)
    (figure, alt), = shown  # fmt: skip
    assert alt == "what it shows"
    assert [axis.get_title() for axis in figure.axes] == ["picture", *words, "", ""]
    ball = figure.axes[3]
    peak, *box = (patch.get_bbox().bounds for patch in ball.patches)
    assert peak == pytest.approx((29.5, 19.5, 10, 10)) and box == [pytest.approx((9.5, 19.5, 20, 10))] * 2
    assert len(figure.axes[2].patches) == 1


def test_the_figure_grows_with_the_caption():
    heights = []
    for count in (3, 17):
        figure = attention_figure(PICTURE, ["word"] * count, np.stack([weights_at(0, 0)] * count), {}, 6)
        heights.append(figure.get_size_inches()[1])
        plt.close(figure)
    assert heights[1] == pytest.approx(3 * heights[0])


def test_hits_stand_beside_chance(shown):
    from test_attention_scores import TRUTH, peaked

    from say_what_you_see.evaluation.attention import look_at

    looks = [look_at(number, "tree", TRUTH, peaked(2, number % 4)) for number in range(8)]
    looks += [look_at(8, "ball", TRUTH, peaked(0, 3))]
    plot_hits(score_attention(looks), "bars")
    figure, _ = shown[0]
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == pytest.approx([5 / 9, 0.5, 1, (8 * 4 + 1) / 16 / 9, 4 / 16, 1 / 16])


@pytest.mark.parametrize(("box", "filled"), [(None, 0), ((0.0, 0.5, 0.5, 0.25), 2)])
def test_the_grid_fills_the_dots_that_are_in_the_box(shown, box, filled):
    plot_grid(PICTURE, (4, 4), "a grid", box)
    dots = shown[0][0].axes[0].collections
    assert [len(group.get_offsets()) for group in dots] == [filled, 16 - filled]
    if box:
        assert dots[0].get_offsets().tolist() == [[4.5, 24.5], [14.5, 24.5]]
