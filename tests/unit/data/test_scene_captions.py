"""Captions of scenes are true, varied and written in English."""

import re
from collections import Counter

import numpy as np
import pytest
from scene_samples import scenes_of, thing_at, truth_of

from say_what_you_see.data.scenes.captions import CAPTIONS_PER_SCENE, PLACE_WORDS, describe_scene
from say_what_you_see.data.scenes.scene import Scene
from say_what_you_see.evaluation.scene_scores import count_claims


@pytest.fixture(scope="module")
def described() -> list[tuple[Scene, list[str]]]:
    """Scenes of both splits with their captions; the last ones hold unseen pairs, too."""
    return [(scene, describe_scene(scene)) for scene in [*scenes_of("train", 300), *scenes_of("val", 100)]]


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
            for claimed, true in (("things named", "things right"), ("pairs named", "pairs right"),
                                  ("sizes named", "sizes right"), ("relations named", "relations right")):  # fmt: skip
                assert counts[claimed] == counts[true], (caption, scene)
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
