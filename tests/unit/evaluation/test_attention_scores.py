"""Attention's peak is held against the box of the thing that is named, and chance is what a random cell would give."""

from __future__ import annotations

import numpy as np
import pytest
from scene_samples import thing_at, truth_of

from say_what_you_see.data.scenes.scene import Scene
from say_what_you_see.evaluation.attention import (
    attention_table,
    cells_in_box,
    distance_to_box,
    look_at,
    looks_at_things,
    named_boxes,
    peak_cell,
    score_attention,
    score_looks,
)

SCENE = Scene(
    "meadow",
    (thing_at("tree", "red", 0, 150, 150, 150), thing_at("ball", "blue", 225, 0, 75, 75, size="small")),
    False,
    1,
)
TRUTH = truth_of(SCENE, ["A tree."] * 5)
"""A picture of 300 pixels: the tree is its lower left quarter, the ball its upper right sixteenth."""


def peaked(row: int, column: int, side: int = 4, height: float = 0.7) -> np.ndarray:
    weights = np.full((side, side), (1 - height) / (side * side - 1))
    weights[row, column] = height
    return weights


def test_a_cell_is_in_a_box_when_its_centre_is():
    inside = cells_in_box((0.0, 0.5, 0.5, 0.5), (4, 4))
    assert np.argwhere(inside).tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    assert np.argwhere(cells_in_box((0.26, 0.1, 0.12, 0.03), (4, 4))).tolist() == [[0, 1]]  # centre (0.125, 0.375)
    assert cells_in_box((0.0, 0.0, 1.0, 0.3), (2, 5)).tolist() == [[True] * 5, [False] * 5]


def test_a_box_between_the_centres_holds_no_cell():
    assert not cells_in_box((0.15, 0.15, 0.2, 0.2), (4, 4)).any()


def test_of_several_peaks_the_first_counts():
    weights = np.zeros((3, 4))
    weights[1, 2] = weights[1, 3] = weights[2, 0] = 0.2
    assert peak_cell(weights) == (1, 2)
    assert peak_cell(np.ones((8, 8)) / 64) == (0, 0)


@pytest.mark.parametrize(
    ("point", "expected"), [((0.5, 0.5), 0), ((0.5, 0.1), 0.2), ((0.9, 0.5), 0.1), ((0.1, 0.9), np.hypot(0.2, 0.2))]
)
def test_distance_to_a_box(point, expected):
    assert distance_to_box(point, (0.3, 0.3, 0.4, 0.5)) == pytest.approx(expected)


def test_a_look_at_the_thing_and_one_beside_it():
    look = look_at(3, "tree", TRUTH, peaked(2, 1))
    assert look.hit and look.chance == 4 / 16 and look.size == "large" and look.scene == 3 and look.distance == 0
    assert look.mass == pytest.approx(0.7 + 3 * 0.02)
    beside = look_at(3, "ball", TRUTH, peaked(0, 2))
    assert not beside.hit and beside.chance == 1 / 16 and beside.size == "small"
    assert beside.distance == pytest.approx(0.75 - 0.625)
    assert beside.offset == pytest.approx((0.125 - 0.125, 0.625 - 0.875))
    assert look.offset == pytest.approx((0.625 - 0.75, 0.375 - 0.25))


def test_the_weights_of_the_word_that_names_the_thing_count():
    attention = np.stack([peaked(0, 0), peaked(0, 1), peaked(3, 0), peaked(1, 1), peaked(2, 2), peaked(0, 3)])
    looks = looks_at_things(["a red tree above blue ball"], [attention], [TRUTH])
    assert [(look.kind, look.hit) for look in looks] == [("tree", True), ("ball", True)]
    shifted = looks_at_things(["a red tree above blue ball"], [np.roll(attention, 1, axis=0)], [TRUTH])
    assert not any(look.hit for look in shifted)


def test_boxes_belong_to_the_words_that_name_things():
    assert named_boxes("a red tree and a car above a ball", TRUTH) == {2: TRUTH.boxes["tree"], 8: TRUTH.boxes["ball"]}


def test_what_is_not_in_the_scene_is_no_look():
    assert not looks_at_things(["a red car"], [np.stack([peaked(0, 0)] * 3)], [TRUTH])


def test_a_second_mention_of_a_kind_is_no_look_since_it_is_wrong():
    attention = [np.stack([peaked(0, 0), peaked(0, 3), peaked(0, 0), peaked(0, 0), peaked(2, 2)])]
    looks = looks_at_things(["a ball and a ball"], attention, [TRUTH])
    assert [(look.kind, look.hit) for look in looks] == [("ball", True)]
    assert list(named_boxes("a ball and a tree above a ball", TRUTH)) == [1, 4]


def test_chance_is_what_random_attention_reaches():
    rng = np.random.default_rng(0)
    sentences, truths = ["a tree and a ball"] * 3000, [TRUTH] * 3000
    looks = looks_at_things(sentences, rng.random((3000, 5, 4, 4)), truths)
    scores = score_attention(looks)
    assert scores["large things"].chance == 4 / 16 and scores["small things"].chance == 1 / 16
    for score in scores.values():
        assert score.hits.low < score.chance < score.hits.high and score.times_chance == pytest.approx(1, abs=0.1)
    assert [score.looks for score in scores.values()] == [6000, 3000, 3000]


def test_scores_of_nothing_are_no_numbers_and_can_be_shown():
    score = score_looks([])
    assert np.isnan(score.hits.value) and np.isnan(score.times_chance) and score.looks == 0
    assert "none" in attention_table(score_attention([]))


def test_the_table_shows_what_was_counted():
    looks = [look_at(number, "tree", TRUTH, peaked(2, 1 if number < 9 else 3)) for number in range(12)]
    lines = attention_table(score_attention(looks)).splitlines()
    assert "75.0%" in lines[1] and "25.0%" in lines[1] and " 3.0" in lines[1] and " 12" in lines[1]
    assert lines[1].split()[2:] == lines[2].split()[2:] and "none" in lines[3]
