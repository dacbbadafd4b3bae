"""Figures of notebook 06 and the page to send around: alternative texts, no numbers that are none, nothing loaded."""

from __future__ import annotations

import dataclasses
import re
import zipfile

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from scene_samples import scenes_of, truth_of

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.evaluation import plots as evaluation_plots
from say_what_you_see.evaluation.caption_errors import Confusion, confuse_colours, score_by_things
from say_what_you_see.evaluation.evaluate import ValidationPictures, evaluate_captions, people_diversity
from say_what_you_see.evaluation.page import best_and_worst, write_evaluation_page
from say_what_you_see.evaluation.plots import (
    by_things_alt,
    by_things_figure,
    confusion_figure,
    plot_by_things,
    plot_confusion,
    plot_quality_and_diversity,
)


@pytest.fixture(scope="module")
def pictures() -> ValidationPictures:
    scenes = scenes_of("val", 30)
    captions = [list(describe_scene(scene)) for scene in scenes]
    names = [f"{number}.jpg" for number in range(30)]
    return ValidationPictures(names, list(range(30)), captions, [truth_of(scene) for scene in scenes])


@pytest.fixture(scope="module")
def captions(pictures) -> list[str]:
    """Captions of people, but every third one is of another picture."""
    return [pictures.references[i if i % 3 else i - 1][0].lower().rstrip(".") for i in range(30)]


@pytest.fixture(scope="module")
def pictures_zip(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "val.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(pictures.fns):
            with archive.open(name, "w") as file:
                Image.new("RGB", (40, 30), (number, 0, 0)).save(file, "JPEG")
    return path


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    """The alternative texts of the figures that are shown."""
    alts: list[str] = []
    monkeypatch.setattr(evaluation_plots, "show_figure", lambda figure, alt: alts.append(alt) or plt.close(figure))
    return alts


def test_a_matrix_shows_its_numbers_and_where_there_are_none_nothing():
    figure = confusion_figure(Confusion(np.array([[3, 0.5], [0, 0]]), ("a", "b"), ("a", "c")), "there", "said")
    [axis] = figure.axes
    assert [(text.get_position(), text.get_text()) for text in axis.texts] == [((0, 0), "3"), ((1, 0), "0.5")]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["a", "c"]
    assert np.isfinite(axis.images[0].get_array()).all()
    plt.close(figure)


def test_every_figure_is_told_in_words(pictures, captions, shown):
    plot_confusion(confuse_colours(captions, pictures.truths), "colours")
    plot_by_things(score_by_things(captions, pictures))
    found = evaluate_captions(captions, pictures, False, "decoder", "greedy")
    same = dataclasses.replace(found, way="beam")
    other = evaluate_captions(["nothing at all"] * 30, pictures, False, "decoder", "silent")
    plot_quality_and_diversity([found, same, other], (found.metrics["CIDEr"], people_diversity(pictures.references)))
    colours, things, diversity = shown
    assert "colours that are there" in colours and "% on the diagonal" in colours
    assert "with 3" in things and "nan" not in things
    for name in ("greedy = beam", "silent 3 words", "people"):
        assert name in diversity


def test_scores_that_are_none_leave_gaps(pictures):
    groups = score_by_things(["in the desert"] * 30, pictures)
    assert "things named that are there: none" in by_things_alt(groups)
    plt.close(by_things_figure(groups))


def test_the_best_and_the_worst_do_not_overlap(pictures, captions):
    best, worst = best_and_worst(captions, pictures)
    assert len(best) == len(worst) == 10 and not set(best) & set(worst)
    assert all(i % 3 for i in best) and worst[0] % 3 == 0
    few = pictures.take(range(3))
    assert [len(side) for side in best_and_worst(captions[:3], few)] == [1, 1]


def test_the_page_holds_all_that_it_shows(pictures, captions, pictures_zip, tmp_path):
    found = evaluate_captions(captions, pictures, False, "<b>model</b>", "greedy")
    write_evaluation_page(tmp_path / "page.html", pictures_zip, [found], pictures)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<img ") == page.count('alt="') == 20 + 3
    assert "http" not in re.sub(r"base64,[^\"]*", "", page) and "<b>" not in page
    for text in (
        "The 10 best captions",
        "The 10 worst captions",
        "Wrong: ",
        "Confusion of colours",
        "BLEU-4",
        "CHAIRi",
    ):
        assert text in page


def test_the_page_of_photographs_has_captions_and_scores_only(pictures, captions, pictures_zip, tmp_path):
    photographs = dataclasses.replace(pictures, truths=None)
    found = evaluate_captions(captions, photographs, False, "decoder", "greedy")
    write_evaluation_page(tmp_path / "page.html", pictures_zip, [found], photographs)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 20 and "Wrong: " not in page and "Confusion" not in page and "CIDEr" in page
