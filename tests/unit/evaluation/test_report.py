"""The error analysis: figures with words that say what they show, and a page to send around that loads nothing."""

from __future__ import annotations

import dataclasses
import re
import zipfile

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from scene_samples import scene_pictures

from say_what_you_see.evaluation.caption_errors import Confusion, best_and_worst, score_by_thing_count
from say_what_you_see.evaluation.evaluate import evaluate_captions
from say_what_you_see.evaluation.figures import confusion_figure, thing_count_figure
from say_what_you_see.evaluation.report import write_report
from say_what_you_see.evaluation.trained import ValidationPictures


@pytest.fixture(scope="module")
def pictures() -> ValidationPictures:
    return scene_pictures()


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


def test_a_matrix_shows_its_numbers_and_where_there_are_none_nothing():
    figure, alt = confusion_figure(Confusion(np.array([[3, 0.5], [0, 0]]), ("a", "b"), ("a", "c")), "things")
    assert [(text.get_position(), text.get_text()) for text in figure.axes[0].texts] == [((0, 0), "3"), ((1, 0), "0.5")]
    assert alt.endswith("86 % on the diagonal; a called c 0.5 times")
    plt.close(figure)


def test_scores_by_number_of_things_are_told_in_words(pictures, captions):
    figure, alt = thing_count_figure(score_by_thing_count(captions, pictures))
    assert "with 3" in alt and "nan" not in alt
    plt.close(figure)
    figure, alt = thing_count_figure(score_by_thing_count(["in the desert"] * 30, pictures))
    assert "things named that are there: none" in alt, "it names nothing"
    plt.close(figure)


def test_the_best_and_the_worst_do_not_overlap(pictures, captions):
    best, worst = best_and_worst(captions, pictures)
    assert len(best) == len(worst) == 10 and not set(best) & set(worst)
    assert all(i % 3 for i in best) and worst[0] % 3 == 0
    few = pictures.take(range(3))
    assert [len(side) for side in best_and_worst(captions[:3], few)] == [1, 1]


def test_the_page_holds_all_that_it_shows(pictures, captions, pictures_zip, tmp_path):
    found = evaluate_captions(captions, pictures, False, "<b>model</b>", "greedy")
    write_report(tmp_path / "page.html", pictures_zip, [found], pictures)
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
    write_report(tmp_path / "page.html", pictures_zip, [found], photographs)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 20 and "Wrong: " not in page and "Confusion" not in page and "CIDEr" in page
