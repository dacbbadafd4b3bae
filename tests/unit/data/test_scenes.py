"""Scenes follow from a seed, keep the split apart, and hold things that fit into the picture."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scene_samples import scenes_of, thing_at

from say_what_you_see.data.scenes.scene import (
    COLOURS,
    CROP_SIDE,
    KINDS,
    KINDS_IN_PLACE,
    PLACES,
    RELATION_MARGIN,
    RELATIONS,
    SIZES,
    UNSEEN_PAIRS,
    Scene,
    Thing,
    all_relations,
    invent_scene,
    relations_between,
    split_of,
)

OPPOSITE = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}


@pytest.fixture(scope="module")
def train() -> list[Scene]:
    return scenes_of("train", 300)


@pytest.fixture(scope="module")
def val() -> list[Scene]:
    return scenes_of("val", 200)


def test_the_same_arguments_give_the_same_scene(train):
    assert [invent_scene("train", index) for index in (0, 7, 123)] == [train[0], train[7], train[123]]
    assert len({repr(scene) for scene in train}) == len(train)
    assert invent_scene("train", 0, seed=1) != train[0]
    assert invent_scene("val", 0) != train[0]


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="'test'"):
        invent_scene("test", 0)


def test_no_specification_is_on_both_sides(train, val):
    of_the_encoder = scenes_of("train", 100, seed=1_000)
    assert not {s.specification for s in [*train, *of_the_encoder]} & {s.specification for s in val}


def test_a_specification_says_what_is_shown_and_not_where():
    ball, kite = thing_at("ball", "red", 10, 10), thing_at("kite", "blue", 200, 200)
    scene = Scene("beach", (ball, kite), False, 1)
    moved = Scene("beach", (thing_at("kite", "blue", 50, 50), ball), True, 2)
    assert scene.specification == moved.specification
    for other in (thing_at("ball", "green", 10, 10), thing_at("ball", "red", 10, 10, size="small")):
        assert Scene("beach", (other, kite), False, 1).specification != scene.specification
    assert Scene("meadow", (ball, kite), False, 1).specification != scene.specification


def test_about_a_sixth_of_the_specifications_is_for_validation():
    of_one_thing = itertools.product(PLACES, KINDS, COLOURS, SIZES)
    splits = [split_of((place, ((kind, colour, size),))) for place, kind, colour, size in of_one_thing]
    assert splits.count("val") / len(splits) == pytest.approx(1 / 6, abs=0.04)
    assert set(splits) == {"train", "val"}


def test_unseen_pairs_occur_in_every_tenth_validation_scene_only(train, val):
    def unseen(scene: Scene) -> int:
        return sum(thing.pair in UNSEEN_PAIRS for thing in scene.things)

    assert not any(map(unseen, train))
    assert [unseen(scene) for scene in val] == [int(index % 10 == 9) for index in range(len(val))]
    assert len({thing.pair for scene in val for thing in scene.things} & UNSEEN_PAIRS) > len(UNSEEN_PAIRS) / 2


def test_a_tenth_of_the_pairs_is_unseen_and_each_of_them_can_occur():
    assert len(UNSEEN_PAIRS) == round(len(COLOURS) * len(KINDS) / 10)
    for colour, kind in UNSEEN_PAIRS:
        assert colour in COLOURS
        assert any(kind in kinds for kinds in KINDS_IN_PLACE.values())


def test_things_are_known_and_belong_to_the_place(train, val):
    for scene in [*train, *val]:
        assert 1 <= len(scene.things) <= 3
        assert {thing.kind for thing in scene.things} <= set(KINDS_IN_PLACE[scene.place])
        assert {thing.colour for thing in scene.things} <= set(COLOURS)
        assert {thing.size for thing in scene.things} <= set(SIZES)
        assert len({thing.kind for thing in scene.things}) == len(scene.things)


def test_everything_occurs(train):
    things = [thing for scene in train for thing in scene.things]
    assert {scene.place for scene in train} == set(PLACES) == set(KINDS_IN_PLACE)
    assert {thing.kind for thing in things} == set(KINDS)
    assert {kind for kinds in KINDS_IN_PLACE.values() for kind in kinds} == set(KINDS)
    assert {thing.colour for thing in things} == set(COLOURS)
    assert {len(scene.things) for scene in train} == {1, 2, 3}
    assert {scene.portrait for scene in train} == {True, False}
    assert {relation for scene in train for _, relation, _ in all_relations(scene)} == set(RELATIONS)


def test_boxes_lie_within_the_crop_and_apart(train, val):
    for scene in [*train, *val]:
        covered = np.zeros((CROP_SIDE, CROP_SIDE), dtype=int)
        for left, top, width, height in (thing.box for thing in scene.things):
            assert left >= 0 and top >= 0 and width > 0 and height > 0
            assert left + width <= CROP_SIDE and top + height <= CROP_SIDE
            covered[top : top + height, left : left + width] += 1
        assert covered.max() == 1


def test_large_things_are_larger_and_stand_first(train):
    longest = {size: [max(t.box[2:]) for s in train for t in s.things if t.size == size] for size in SIZES}
    assert max(longest["small"]) < min(longest["large"])
    for scene in train:
        order = [(thing.size == "small", thing.centre[0]) for thing in scene.things]
        assert order == sorted(order)


@pytest.mark.parametrize("portrait", [True, False])
def test_the_crop_is_the_middle_of_a_picture_that_is_not_square(portrait):
    scene = Scene("sea", (), portrait, 0)
    width, height = scene.image_size
    left, top = scene.crop_offset
    assert (width < height) == portrait and min(width, height) == CROP_SIDE
    assert (2 * left + CROP_SIDE, 2 * top + CROP_SIDE) == (width, height)


def test_relations_by_hand():
    ball, kite = thing_at("ball", "red", 20, 200), thing_at("kite", "blue", 30, 10)
    assert set(relations_between(kite, ball)) == {"above"}
    assert set(relations_between(ball, kite)) == {"below"}
    tree = thing_at("tree", "green", 200, 100)
    assert set(relations_between(ball, tree)) == {"left of", "below"}
    assert relations_between(ball, ball) == {}


def test_every_relation_has_its_opposite_with_the_same_margin():
    rng = np.random.default_rng(0)
    for _ in range(200):
        one, other = (Thing("ball", "red", "small", (*rng.integers(0, 240, 2).tolist(), 50, 50)) for _ in range(2))
        there, back = relations_between(one, other), relations_between(other, one)
        assert {OPPOSITE[relation]: margin for relation, margin in there.items()} == pytest.approx(back)
        assert all(margin >= RELATION_MARGIN for margin in there.values())
        far = max(abs(a - b) for a, b in zip(one.centre, other.centre, strict=True))
        assert bool(there) == (far >= RELATION_MARGIN)


def test_all_relations_of_a_scene(train):
    for scene in train:
        found = set(all_relations(scene))
        assert {(j, OPPOSITE[relation], i) for i, relation, j in found} == found
        for i, relation, j in found:
            assert relation in relations_between(scene.things[i], scene.things[j])
    assert any(len(all_relations(scene)) >= 6 for scene in train)
