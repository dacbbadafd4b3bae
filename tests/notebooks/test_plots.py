"""Figures are small PNGs with alternative texts; here are those of odd values, the notebooks draw the usual ones."""

import base64
import io
import itertools
from dataclasses import replace
from unittest.mock import Mock

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.text import Text
from PIL import Image
from scene_samples import thing_at

from say_what_you_see.data.scenes.drawing import draw_crop
from say_what_you_see.data.scenes.scene import PALETTE, Scene
from say_what_you_see.decoding.beam_tree import TreeNode
from say_what_you_see.evaluation.attention import AttentionScore
from say_what_you_see.evaluation.caption_errors import Confusion
from say_what_you_see.evaluation.evaluate import Evaluation
from say_what_you_see.evaluation.figures import confusion_figure, quality_and_diversity_figure, thing_count_figure
from say_what_you_see.evaluation.scene_scores import MAIN_SCORES
from say_what_you_see.evaluation.scores import Score
from utils import attention_plots, evaluation_plots, plots, training_plots

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(256, size=(30, 30, 3), dtype=np.uint8) for _ in range(7)]
CENTRES = np.array([0.2, 0.4, 0.6, 0.8])
HISTORY = [{"epoch": n, "loss": 3 / n, "val_loss": 4 / n, "val_accuracy": 0.5} for n in range(1, 5)]
SCORES = {"things": Score(0.9, 0.8, 0.95), "pairs": Score(0.5, 0.4, 0.6), "never": Score()}
GREEDY = Evaluation("decoder", "greedy", ["a"], {"CIDEr": Score(0.5, 0.4, 0.6)}, None, None, {"vocabulary used": 9})
GROUPS = {
    n: replace(GREEDY, exact=dict.fromkeys(MAIN_SCORES.values(), score)) for n, score in enumerate(SCORES.values(), 1)
}
TREE = [TreeNode("#START#", 0, 0, None, 0.0, True), TreeNode("a", 1, 0, 0, -0.1, True),
        TreeNode("the", 1, 1, 0, -2.3, False), TreeNode("#END#", 2, 0, 1, -0.2, True)]  # fmt: skip
ALT = "A figure that shows something"
CONFUSION = Confusion(np.array([[3, 0.5], [0, 1]]), ("red", "blue"), ("red", "blue"))
WAYS = [GREEDY, replace(GREEDY, sampler="beam"), replace(GREEDY, model="other", sampler="drawn")]
PEOPLE = Score(0.8, 0.7, 0.9), {"vocabulary used": 30}
HITS = {"things": AttentionScore(SCORES["pairs"], 0.1, 0.2, 9), "none": AttentionScore(Score(), 0.1, 0.2, 0)}
LOOKS, BOXES = RNG.random((3, 4, 4)), {2: (0.25, 0.5, 0.5, 0.25)}
FIGURES = {  # each with what its alternative text says
    "pictures": (lambda: plots.show_pictures(PICTURES, ["a long title " * 6] * 7, ALT, columns=3), ALT),
    "histories": (lambda: training_plots.plot_histories({f"{n}": HISTORY[:n] for n in range(1, 9)}, ALT), ALT),
    "embedding map": (lambda: plots.plot_embedding_map(RNG.normal(size=(7, 2)), PICTURES, ALT), ALT),
    "next words": (
        lambda: plots.plot_next_words([{"a": 0.7, "b": 0.2}, {"c": 0.9}]),
        "the best: a 0.70; c 0.90",
    ),
    "scores": (
        lambda: evaluation_plots.plot_scores({"ours": SCORES, "control": SCORES}, list(SCORES)),
        "pairs: ours 0.50, control 0.50; never: ours none, control none",
    ),
    "hits": (lambda: evaluation_plots.plot_hits(HITS, ALT), ALT),
    "attention": (
        lambda: attention_plots.plot_attention(PICTURES[0], ["a", "$5", "b"], LOOKS, (CENTRES, CENTRES), ALT, BOXES),
        ALT,
    ),
    "confusion": (lambda: plots.show_figure(*confusion_figure(CONFUSION, "colours")), "red called blue 0.5 times"),
    "counts of things": (
        lambda: plots.show_figure(*thing_count_figure(GROUPS)),
        "stated relations that are true: 0.90 with 1, 0.50 with 2",
    ),
    "quality and diversity": (
        lambda: plots.show_figure(*quality_and_diversity_figure(WAYS, PEOPLE)),
        "decoder: greedy = beam 9 words, 50; references 30 words, 80. other: drawn 9",
    ),
    "beam tree": (
        lambda: plots.plot_beam_tree(TREE),
        "word 1: a followed, the dropped; word 2: END followed, nothing dropped. It returns: a",
    ),
}


@pytest.fixture
def shown(monkeypatch) -> list:
    things = []
    monkeypatch.setattr(plots, "display", lambda thing, **_: things.append(thing))
    return things


@pytest.mark.parametrize(("draw", "alt"), FIGURES.values(), ids=FIGURES)
def test_a_figure_is_a_small_png_with_its_alternative_text(draw, alt, shown):
    draw()
    [picture] = shown
    data, metadata = DisplayFormatter().format(picture)
    assert metadata["image/png"]["alt"] == metadata["alt"] == data["text/plain"]
    assert alt in metadata["alt"] and "nan" not in metadata["alt"]
    png = data["image/png"]
    png = base64.b64decode(png) if isinstance(png, str) else png
    assert len(png) < 60_000
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG" and image.mode == "P"
        assert 100 < image.width < 1200 and image.height > 50
        assert len(set(image.convert("L").tobytes())) > 2, "it is not empty"
    assert plt.get_fignums() == [], "the figure is closed"


@pytest.mark.parametrize("place", ["desert", "night", "sea"])
def test_things_keep_their_colours(place, shown):
    """A palette of 256 colours has room for a small purple balloon, too."""
    scenes = [
        Scene(place, (thing_at("balloon", colour, 120, 60, 34, 48, size="small"),), False, seed)
        for seed, colour in enumerate(PALETTE)
    ]
    plots.show_pictures([draw_crop(scene) for scene in scenes], list(PALETTE), ALT)
    with Image.open(io.BytesIO(shown[0].png)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    for colour, rgb in PALETTE.items():
        assert (np.abs(pixels - rgb).max(axis=2) < 16).sum() > 100, f"the {colour} balloon is in the figure"


def test_names_do_not_overlap():
    """Points of nearly the same quality and diversity, as beams of two and three captions are."""
    near = [
        replace(GREEDY, sampler=f"beam, k = {k}", captions=[str(k)], metrics={"CIDEr": Score(2.7 + k / 99, 2.6, 2.9)})
        for k in range(6)
    ]
    figure, _ = quality_and_diversity_figure([*near, replace(GREEDY, sampler="t = 1", captions=["b"])], None)
    figure.canvas.draw()
    boxes = [Text.get_window_extent(name) for name in figure.axes[0].texts]  # without the lines to the points
    plt.close(figure)
    assert len(boxes) == 7
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_the_live_plot_is_drawn_in_one_place(monkeypatch):
    display = Mock()
    monkeypatch.setattr(training_plots, "display", display)
    live = training_plots.LivePlot()
    for epochs in range(1, 4):
        live(HISTORY[:epochs])
    update = display.return_value.update
    assert display.call_count == 1 and update.call_count == 2
    alt = update.call_args.args[0].alt
    assert "over 3 epochs" in alt and "to 1.00, validation from 4.00 to 1.33" in alt
    assert plt.get_fignums() == []


# Attention


def test_a_picture_is_itself_where_attention_is_and_dim_and_grey_elsewhere():
    picture, weights = np.full((40, 40, 3), (200, 100, 0), dtype=np.uint8), np.zeros((4, 4))
    weights[1, 2] = 0.3
    lit = attention_plots.lit_picture(picture, weights, (CENTRES, CENTRES)).astype(int)
    assert (lit[12:20, 20:28] == picture[12:20, 20:28]).all(), "half-way to the neighbours at 0.2, 0.6, 0.4 and 0.8"
    lit[12:20, 20:28] = 25
    assert (lit == 25).all()
    assert (attention_plots.lit_picture(picture, np.full((4, 4), 1 / 16), (CENTRES, CENTRES)) == picture).all()
    assert (attention_plots.lit_picture(picture, np.zeros((4, 4)), (CENTRES, CENTRES)) == 25).all()
