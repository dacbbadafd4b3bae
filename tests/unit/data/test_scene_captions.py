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
from say_what_you_see.language.captions import split_sentence

RELATION_WORD = re.compile(r"\b(above|over|below|under|beneath|left|right)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def described() -> list[tuple[Scene, list[str]]]:
    """Scenes of both sides with their captions; the last ones hold unseen pairs, too."""
    return [(scene, describe_scene(scene)) for scene in [*scenes_of("train", 500), *scenes_of("val", 100)]]


def claims(described) -> dict[str, int]:
    """Sums of all claims that the captions make."""
    counts = Counter()
    for scene, group in described:
        for caption in group:
            counts.update(count_claims(caption, truth_of(scene, group)))
    return counts


def test_there_are_words_for_everything():
    assert set(NOUNS) == set(KINDS)
    assert set(COLOUR_WORDS) == set(COLOURS)
    assert set(SIZE_WORDS) == set(SIZES)
    assert set(RELATION_WORDS) == set(RELATIONS)
    assert set(PLACE_WORDS) == set(PLACES)


@pytest.mark.parametrize("words", [NOUNS, COLOUR_WORDS, SIZE_WORDS, RELATION_WORDS, PLACE_WORDS])
def test_no_word_stands_for_two_things(words):
    for one, other in itertools.combinations(words.values(), 2):
        assert not set(one) & set(other)


def test_five_sentences_that_differ(described):
    for scene, group in described:
        assert len(group) == CAPTIONS_PER_SCENE == len(set(group))
        assert group == describe_scene(scene)
        for caption in group:
            assert re.fullmatch(r"[A-Z][a-z ,]+\.", caption)
            assert "  " not in caption and " ," not in caption


def test_the_words_follow_the_seed_of_the_scene():
    scene = Scene("beach", (thing_at("ball", "red", 10, 200), thing_at("kite", "blue", 200, 20)), False, 1)
    assert describe_scene(scene) != describe_scene(Scene(scene.place, scene.things, scene.portrait, 2))


def test_nothing_is_said_that_is_not_there(described):
    """Caption by caption, so that a failure shows the sentence."""
    for scene, group in described:
        truth = truth_of(scene, group)
        for caption in group:
            counts = count_claims(caption, truth)
            for named, right in (("things named", "things right"), ("pairs named", "pairs right"),
                                 ("sizes named", "sizes right"), ("relations stated", "relations true")):  # fmt: skip
                assert counts[named] == counts[right], (caption, scene)


def test_places_are_the_right_ones(described):
    for scene, group in described:
        wrong = [words for place, options in PLACE_WORDS.items() if place != scene.place for words in options]
        assert not [caption for caption in group for words in wrong if re.search(rf"\b{words}\b", caption.lower())]
    with_place = [any(words in c.lower() for words in PLACE_WORDS[s.place]) for s, group in described for c in group]
    assert 0.3 < np.mean(with_place) < 1


def test_every_stated_relation_is_read(described):
    for _, group in described:
        for caption in group:
            assert bool(RELATION_WORD.search(caption)) == bool(read_claims(caption).relations), caption


def test_captions_say_enough(described):
    counts = claims(described)
    assert counts["captions"] == CAPTIONS_PER_SCENE * len(described)
    assert counts["things named"] / counts["captions"] >= 1.5
    assert counts["captions with a relation"] / counts["captions with two things"] >= 0.3
    assert 0.8 * counts["things named"] < counts["pairs named"] < counts["things named"]
    assert 0 < counts["sizes named"] < counts["things named"] / 2


def test_people_mention_what_stands_out(described):
    """Not everyone mentions everything, and large things are mentioned more often than small ones."""
    mentions = {size: [] for size in SIZES}
    for scene, group in described:
        kinds = [{mention.kind for mention in read_claims(caption).mentions} for caption in group]
        if len(scene.things) > 1:
            for thing in scene.things:
                mentions[thing.size].append(sum(thing.kind in mentioned for mentioned in kinds))
    assert np.mean(mentions["large"]) > np.mean(mentions["small"]) + 0.5
    assert min(map(min, mentions.values())) < CAPTIONS_PER_SCENE


def test_the_vocabulary_is_rich(described):
    counts = Counter(word for _, group in described for caption in group for word in split_sentence(caption))
    assert sum(count >= 5 for count in counts.values()) >= 80
    for words in (NOUNS, COLOUR_WORDS, SIZE_WORDS):
        assert all(counts[word] for options in words.values() for word in options)


def test_the_article_fits_the_word(described):
    pairs = {(article, word) for _, group in described for c in group for article, word in _articles(c)}
    assert {article for article, _ in pairs} == {"a", "an"}
    for article, word in pairs:
        assert (article == "an") == (word[0] in "aeiou"), (article, word)


def _articles(caption: str) -> list[tuple[str, str]]:
    words = split_sentence(caption)
    return [(word, following) for word, following in itertools.pairwise(words) if word in ("a", "an")]


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
