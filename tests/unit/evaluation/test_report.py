"""The error analysis: figures with words that say what they show, and a page to send around that loads nothing."""

from __future__ import annotations

import dataclasses
import re
import zipfile

import pytest
from PIL import Image
from scene_samples import scenes_of, truth_of

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.evaluation.evaluate import evaluate_captions
from say_what_you_see.evaluation.report import write_report
from say_what_you_see.evaluation.trained import ScoredPictures


@pytest.fixture(scope="module")
def pictures() -> ScoredPictures:
    """Validation scenes as pictures to caption."""
    scenes = scenes_of("val", 30)
    names, captions = [f"{number}.jpg" for number in range(30)], [list(describe_scene(scene)) for scene in scenes]
    return ScoredPictures(names, list(range(30)), captions, [truth_of(scene) for scene in scenes])


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
