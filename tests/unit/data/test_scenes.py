"""Scenes follow from a seed, keep the split apart, and hold things that fit into the picture."""

import itertools

import numpy as np
import pytest
from scene_samples import scenes_of, thing_at

from say_what_you_see.data.scenes.scene import (
    COLOURS,
    CROP_SIDE,
    KINDS,
    RELATION_MARGIN,
    UNSEEN_PAIRS,
    Scene,
    relations_between,
)


@pytest.fixture(scope="module")
def train() -> list[Scene]:
    return scenes_of("train", 300)


@pytest.fixture(scope="module")
def val() -> list[Scene]:
    return scenes_of("val", 200)


def test_no_specification_of_training_is_in_another_split(train, val):
    of_the_encoder, test = scenes_of("train", 100, seed=1_000), scenes_of("test", 200)
    known = {scene.specification for scene in [*train, *of_the_encoder]}
    assert not known & {scene.specification for scene in [*val, *test]}
    for scenes in (train, [*val, *test]):
        assert len({repr(scene) for scene in scenes}) == len(scenes)


def test_unseen_pairs_occur_in_every_tenth_validation_scene_only(train, val):
    def unseen(scene: Scene) -> int:
        return sum(thing.pair in UNSEEN_PAIRS for thing in scene.things)

    assert not any(map(unseen, train))
    assert [unseen(scene) for scene in val] == [int(index % 10 == 9) for index in range(len(val))]
    assert len({thing.pair for scene in val for thing in scene.things} & UNSEEN_PAIRS) > len(UNSEEN_PAIRS) / 2
    assert set(itertools.product(COLOURS, KINDS)) >= UNSEEN_PAIRS


def test_boxes_lie_within_the_crop_and_apart(train, val):
    for scene in [*train, *val]:
        covered = np.zeros((CROP_SIDE, CROP_SIDE), dtype=int)
        for left, top, width, height in (thing.box for thing in scene.things):
            assert left >= 0 and top >= 0 and width > 0 and height > 0
            assert left + width <= CROP_SIDE and top + height <= CROP_SIDE
            covered[top : top + height, left : left + width] += 1
        assert covered.max() == 1


def test_relations_by_hand():
    ball, kite, tree = (
        thing_at("ball", "red", 20, 200), thing_at("kite", "blue", 30, 10), thing_at("tree", "green", 200, 100)
    )  # fmt: skip
    assert set(relations_between(kite, ball)) == {"above"} and set(relations_between(ball, kite)) == {"below"}
    assert relations_between(ball, tree) == pytest.approx({"left of": 0.6, "below": 1 / 3})
    assert relations_between(ball, ball) == {}
    margin = round(RELATION_MARGIN * CROP_SIDE)
    assert not relations_between(ball, thing_at("kite", "blue", 19 + margin, 200))
    assert set(relations_between(ball, thing_at("kite", "blue", 21 + margin, 200))) == {"left of"}
