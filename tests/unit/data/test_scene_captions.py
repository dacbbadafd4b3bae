"""Captions of scenes are true, varied and written in English."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import numpy as np
import pytest
from scene_samples import scenes_of, thing_at, truth_of

from say_what_you_see.data.scenes.captions import (
    CAPTIONS_PER_SCENE,
    COLOUR_WORDS,
    NOUNS,
    PLACE_WORDS,
    RELATION_WORDS,
    SIZE_WORDS,
    describe_scene,
)
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.scene import COLOURS, KINDS, PLACES, RELATIONS, SIZES, Scene
from say_what_you_see.evaluation.scene_scores import count_claims

RELATION_WORD = re.compile(r"\b(above|over|below|under|beneath|left|right)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def described() -> list[tuple[Scene, list[str]]]:
    """Scenes of both splits with their captions; the last ones hold unseen pairs, too."""
    return [(scene, describe_scene(scene)) for scene in [*scenes_of("train", 300), *scenes_of("val", 100)]]


def words_of(caption: str) -> list[str]:
    return re.findall(r"\w+", caption.lower())


@pytest.mark.parametrize(("words", "things"), [
    (NOUNS, KINDS), (COLOUR_WORDS, COLOURS), (SIZE_WORDS, SIZES), (RELATION_WORDS, RELATIONS), (PLACE_WORDS, PLACES),
])  # fmt: skip
def test_there_are_words_for_everything_and_none_stands_for_two_things(words, things):
    assert set(words) == set(things)
    for one, other in itertools.combinations(words.values(), 2):
        assert not set(one) & set(other)


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


def test_every_stated_relation_is_read(described):
    for caption in (caption for _, group in described for caption in group):
        assert bool(RELATION_WORD.search(caption)) == bool(read_claims(caption).relations), caption


def test_people_mention_what_stands_out(described):
    """Not everyone mentions everything, and large things are mentioned more often than small ones."""
    mentions = {size: [] for size in SIZES}
    for scene, group in described:
        kinds = [{mention.kind for mention in read_claims(caption).mentions} for caption in group]
        for thing in scene.things if len(scene.things) > 1 else ():
            mentions[thing.size].append(sum(thing.kind in mentioned for mentioned in kinds))
    assert np.mean(mentions["large"]) > np.mean(mentions["small"]) + 0.5
    assert min(map(min, mentions.values())) < CAPTIONS_PER_SCENE


def test_the_vocabulary_is_rich_and_articles_fit(described):
    sentences = [words_of(caption) for _, group in described for caption in group]
    counts = Counter(word for sentence in sentences for word in sentence)
    assert sum(count >= 5 for count in counts.values()) >= 80
    for words in (NOUNS, COLOUR_WORDS, SIZE_WORDS):
        assert all(counts[word] for options in words.values() for word in options)
    assert counts["an"]
    for word, following in (pair for sentence in sentences for pair in itertools.pairwise(sentence)):
        assert word not in ("a", "an") or (word == "an") == (following[0] in "aeiou"), (word, following)


def test_relations_are_only_stated_where_they_hold():
    """Two things side by side at the same height are never said to be above each other."""
    things = thing_at("ball", "red", 10, 100), thing_at("car", "blue", 200, 100)
    captions = [c for seed in range(40) for c in describe_scene(Scene("beach", things, False, seed))]
    stated = {
        (claims.mentions[i].kind, relation)
        for claims in map(read_claims, captions)
        for i, relation, _ in claims.relations
    }
    assert stated == {("ball", "left of"), ("car", "right of")}
