"""Scenes keep the splits apart, and hold things that fit into the picture; captions are true, varied English."""

import itertools
import re
from collections import Counter

import numpy as np
import pytest
from scene_samples import scenes_of, thing_at, truth_of

from say_what_you_see.data.scenes.captions import CAPTIONS_PER_SCENE, PLACE_WORDS, describe_scene
from say_what_you_see.data.scenes.scene import (
    COLOURS,
    CROP_SIDE,
    KINDS,
    RELATION_MARGIN,
    UNSEEN_PAIRS,
    Scene,
    relations_between,
)
from say_what_you_see.evaluation.scene_scores import count_claims


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


# Captions


@pytest.fixture(scope="module")
def described(train, val) -> list[tuple[Scene, list[str]]]:
    """Scenes of both splits with their captions; the last ones hold unseen pairs, too."""
    return [(scene, describe_scene(scene)) for scene in [*train, *val]]


def test_five_sentences_that_differ_and_follow_the_seed(described):
    for scene, group in described:
        assert len(group) == CAPTIONS_PER_SCENE == len(set(group))
        assert group == describe_scene(scene)
        for caption in group:
            assert re.fullmatch(r"[A-Z][a-z ,]+\.", caption) and "  " not in caption and " ," not in caption
    scene = Scene("beach", (thing_at("ball", "red", 10, 200), thing_at("kite", "blue", 200, 20)), False, 1)
    assert describe_scene(scene) != describe_scene(Scene(scene.place, scene.things, scene.portrait, 2))


def test_nothing_is_said_that_is_not_there_and_captions_say_enough(described):
    total = Counter()
    for scene, group in described:
        truth = truth_of(scene, group)
        for caption in group:
            counts = count_claims(caption, truth)
            for sort in ("things", "pairs", "sizes", "relations"):
                assert counts[f"{sort} named"] == counts[f"{sort} right"], (caption, scene)
            total.update(counts)
    assert total["things named"] / total["captions"] >= 1.5
    assert total["captions with a relation"] / total["captions with two things"] >= 0.3
    assert 0.8 * total["things named"] < total["pairs named"] < total["things named"]
    assert 0 < total["sizes named"] < total["things named"] / 2


def test_places_are_the_right_ones(described):
    for scene, group in described:
        wrong = [words for place, options in PLACE_WORDS.items() if place != scene.place for words in options]
        assert not [caption for caption in group for words in wrong if re.search(rf"\b{words}\b", caption.lower())]
    with_place = [any(words in c.lower() for words in PLACE_WORDS[s.place]) for s, group in described for c in group]
    assert 0.3 < np.mean(with_place) < 1
