"""The giraffe next to a tree: counting how often one caption is given, to the model and to people alike."""

from __future__ import annotations

import numpy as np
import pytest
from scene_samples import scenes_of, truth_of

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.evaluation.commonest_captions import (
    ADJECTIVES,
    commonest_captions,
    mean_shares,
    pictures_by_kind,
    pictures_by_word,
)


def test_a_model_that_repeats_itself_stands_out():
    sentences = ["a giraffe next to a tree"] * 8 + ["a giraffe"] * 2 + ["a car"] * 5
    references = [[f"giraffe number {i}", f"animal {i}"] for i in range(10)] + [["a car", "a car"]] * 5
    giraffes, cars, nothing = commonest_captions(
        sentences, references, {"giraffe": range(10), "car": range(10, 15), "all": range(15), "none": []}
    )
    assert (giraffes.kind, giraffes.pictures, giraffes.caption) == ("giraffe", 10, "a giraffe next to a tree")
    assert giraffes.share == 0.8 and giraffes.people_share == pytest.approx(0.1)
    assert cars.share == cars.people_share == 1
    assert nothing.kind == "all" and nothing.share == pytest.approx(8 / 15)


def test_people_have_one_caption_a_picture_like_the_model():
    people = [["a", "b", "c", "d", "e"]] * 40
    found = commonest_captions(["x"] * 40, people, {"all": range(40)})[0]
    rng = np.random.default_rng(1)
    expected = np.mean([np.bincount(rng.integers(5, size=40)).max() / 40 for _ in range(2000)])
    assert found.people_share == pytest.approx(expected, abs=0.01)
    assert found.people_share > 0.25  # the share in the pool of all captions would be 0.2


def test_a_model_that_says_what_a_person_said_has_the_persons_share():
    truths = [truth_of(scene) for scene in scenes_of("val", 60)]
    references = [describe_scene(scene) for scene in scenes_of("val", 60)]
    found = commonest_captions([group[0] for group in references], references, pictures_by_kind(truths), ADJECTIVES)
    model, people = mean_shares(found)
    assert model == pytest.approx(people, abs=0.1)


def test_photographs_are_grouped_by_what_most_people_say():
    references = [["A dog", "the dog runs", "a pet"], ["a dog", "a cat", "A cat"], ["dog dog", "x", "y"]]
    assert pictures_by_word(references, ["dog", "cat", "tree"]) == {"dog": [0], "cat": [1], "tree": []}
