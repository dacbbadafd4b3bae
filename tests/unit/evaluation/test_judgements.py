"""The judgements of experts are read from Flickr8k's text zip, and metrics are held against them."""

from pathlib import Path

import numpy as np
import pytest
from hostile_files import write_zip

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import read_settings
from say_what_you_see.evaluation.judgements import agreement, find_judgements, read_judgements
from say_what_you_see.evaluation.metrics import scores_per_picture

REAL = Path(__file__).resolve().parents[4] / "shared" / "flickr8k" / "Flickr8k_text.zip"
CAPTIONS = {
    "a.jpg": ["A black dog runs .", "The dog is running ."],
    "b.jpg": ["Two girls sit on a bench .", "Girls on a bench ."],
}
JUDGED = ["a.jpg\tb.jpg#0\t1\t1\t2", "b.jpg\ta.jpg#1\t1\t1\t1", "b.jpg\tb.jpg#0\t4\t4\t4", "a.jpg\ta.jpg#1\t4\t4\t3"]


def text_zip(folder: Path, judged: list[str] = JUDGED) -> Path:
    tokens = [f"{name}#{n}\t{caption}" for name, group in CAPTIONS.items() for n, caption in enumerate(group)]
    members = {"Flickr8k.token.txt": "\n".join(tokens), "text/ExpertAnnotations.txt": "\n".join(judged) + "\n"}
    return write_zip(folder / "Flickr8k_text.zip", members)


def test_judgements_are_read_without_the_references_of_their_own_picture(tmp_path):
    judgements = read_judgements(text_zip(tmp_path))
    assert judgements.captions == [CAPTIONS["b.jpg"][0], CAPTIONS["a.jpg"][1]]
    assert judgements.references == [CAPTIONS["a.jpg"], CAPTIONS["b.jpg"]]
    assert judgements.ratings.tolist() == [[1, 1, 2], [1, 1, 1]]


@pytest.mark.parametrize("line", [
    "a.jpg\tb.jpg#0\t1\t1", "a.jpg\tb.jpg#0\t1\t1\t?", "a.jpg\tb.jpg#7\t1\t1\t1", "c.jpg\tb.jpg#0\t1\t1\t1", "nothing",
])  # fmt: skip
def test_a_line_that_cannot_be_read_is_named(tmp_path, line):
    with pytest.raises(CourseError, match=r"Line 2 of ExpertAnnotations\.txt in .*Flickr8k_text\.zip"):
        read_judgements(text_zip(tmp_path, [JUDGED[0], line]))


def test_a_zip_without_judgements_is_named(tmp_path):
    path = write_zip(tmp_path / "Flickr8k_text.zip", {"Flickr8k.token.txt": "a.jpg#0\tA dog ."})
    with pytest.raises(CourseError, match=r"no ExpertAnnotations\.txt in .*Flickr8k_text\.zip"):
        read_judgements(path)
    with pytest.raises(CourseError, match="contains no judgements"):
        read_judgements(text_zip(tmp_path, JUDGED[2:]))


@pytest.mark.parametrize("place", ["mine", "data/flickr8k", "data"])
def test_the_text_zip_is_found_where_it_may_be(tmp_path, place):
    (tmp_path / "mine").mkdir()
    settings = read_settings({"DATASET": str(tmp_path / "mine"), "COURSE_DATA": str(tmp_path / "data")})
    assert find_judgements(settings) is None
    path = text_zip(tmp_path / place)
    assert find_judgements(settings) == path


@pytest.mark.parametrize(("scores", "wanted"), [([0.1, 0.2, 0.9], 1), ([0.9, 0.2, 0.1], -1), ([0.1, 0.9, 0.2], 1 / 3)])
def test_agreement_is_kendalls_tau_c(scores, wanted):
    # of three pairs of captions one is the wrong way round in the last case: (2 - 1) / 3
    assert agreement(scores, np.array([[1], [2], [4]])) == pytest.approx(wanted)
    if abs(wanted) == 1:
        assert agreement(scores, np.array([[1, 1], [2, 2], [4, 4]])) == pytest.approx(wanted)


@pytest.mark.skipif(not REAL.exists(), reason="Flickr8k_text.zip is not in ../shared/flickr8k")
def test_the_agreements_of_the_field_are_met():
    """Hessel et al. 2021, table 1."""
    judgements = read_judgements(REAL)
    assert judgements.ratings.shape == (5664, 3)
    scores = scores_per_picture(judgements.captions, judgements.references, java=False)
    found = {name: round(100 * agreement(values, judgements.ratings), 1) for name, values in scores.items()}
    published = {"BLEU-1": 32.3, "BLEU-4": 30.8, "ROUGE-L": 32.3, "CIDEr": 43.9}
    assert {name: found[name] for name in published} == published
