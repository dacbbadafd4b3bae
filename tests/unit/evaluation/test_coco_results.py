"""Captions in COCO's results format are written as others read them, and read whoever wrote them."""

import json

import numpy as np
import pytest

from say_what_you_see.core.errors import CourseError
from say_what_you_see.evaluation.coco_results import read_coco_results, write_coco_results


def test_results_are_written_as_coco_wants_them_and_read_again(tmp_path):
    path = tmp_path / "results.json"
    write_coco_results(path, np.array([42, 7]), ["a ball", "ein schöner Drachen"])
    assert json.loads(path.read_text(encoding="utf-8"))[0] == {"image_id": 42, "caption": "a ball"}
    assert read_coco_results(path, known_ids=[42, 7]) == {42: "a ball", 7: "ein schöner Drachen"}


@pytest.mark.parametrize(("ids", "captions"), [
    ([1], []), ([1, 1], ["a", "b"]), (["1"], ["a"]), ([True], ["a"]), ([1], [None]),
])  # fmt: skip
def test_results_that_others_could_not_read_are_not_written(tmp_path, ids, captions):
    path = tmp_path / "results.json"
    write_coco_results(path, [1], ["old"])
    with pytest.raises(CourseError, match="results.json was not written"):
        write_coco_results(path, ids, captions)
    assert read_coco_results(path) == {1: "old"}


@pytest.mark.parametrize("text", [
    "{}", "[1]", '[{"image_id": 1}]', '[{"image_id": "1", "caption": "a"}]', '[{"image_id": 1, "caption": 2}]',
    '[{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]', '[{"image_id": 9, "caption": "a"}]', "[",
])  # fmt: skip
def test_results_of_another_form_are_refused_with_the_name_of_the_file(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(CourseError, match="results.json"):
        read_coco_results(path, known_ids={1})
