"""The error analysis: figures with words that say what they show, and a page to send around that loads nothing."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from hostile_files import write_zip
from scene_samples import scenes_of, truth_of

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.evaluation.evaluate import evaluate_captions
from say_what_you_see.evaluation.report import write_report
from say_what_you_see.evaluation.trained import ScoredPictures
from say_what_you_see.page.demo import encode_png


@pytest.fixture(scope="module")
def pictures() -> ScoredPictures:
    """Validation scenes as pictures to caption."""
    scenes = scenes_of("val", 30)
    names, captions = [f"{number}.jpg" for number in range(30)], [list(describe_scene(scene)) for scene in scenes]
    return ScoredPictures(names, list(range(30)), captions, [truth_of(scene) for scene in scenes])


def page_about(model: str, pictures: ScoredPictures, folder: Path) -> str:
    """The report on captions of people, of which every third one is of another picture."""
    picture = encode_png(np.zeros((30, 40, 3), np.uint8))
    pictures_zip = write_zip(folder / "val.zip", dict.fromkeys(pictures.fns, picture))
    captions = [pictures.references[i if i % 3 else i - 1][0].lower().rstrip(".") for i in range(30)]
    found = evaluate_captions(captions, pictures, False, model, "greedy")
    write_report(folder / "page.html", pictures_zip, [found], pictures)
    return (folder / "page.html").read_text(encoding="utf-8")


def test_the_page_holds_all_that_it_shows(pictures, tmp_path):
    page = page_about("<b>model</b>", pictures, tmp_path)
    assert page.count("<img ") == page.count('alt="') == 20 + 3
    assert "http" not in re.sub(r"base64,[^\"]*", "", page) and "<b>" not in page
    texts = "The 10 best captions", "The 10 worst captions", "Wrong: ", "Confusion of colours", "BLEU-4", "CHAIRi"
    assert all(text in page for text in texts)


def test_the_page_of_photographs_has_captions_and_scores_only(pictures, tmp_path):
    page = page_about("decoder", dataclasses.replace(pictures, truths=None), tmp_path)
    assert page.count("<img ") == 20 and "Wrong: " not in page and "Confusion" not in page and "CIDEr" in page
