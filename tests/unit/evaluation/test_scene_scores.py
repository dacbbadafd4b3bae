"""Captions are scored against what was drawn, also those in other words and with mistakes made on purpose."""

import math
import re
from collections import Counter

import pytest
from scene_samples import BALL_AND_KITE, scenes_of, truth_of

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.scene import UNSEEN_PAIRS
from say_what_you_see.data.scenes.truth import SceneTruth
from say_what_you_see.evaluation.caption_variants import paraphrase, reference_variants
from say_what_you_see.evaluation.scene_scores import (
    MAIN_SCORES,
    count_claims,
    hallucination_rates,
    pair_accuracy_by_count,
    pair_accuracy_by_novelty,
    score_captions,
    wholly_true,
    wrong_claims,
)

PAIRS = MAIN_SCORES["colours"]


@pytest.mark.parametrize(("caption", "wrong", "counted"), [
    ("a red kite and a blue ball", ["the kite is blue, not red", "the ball is red, not blue"],
     {"pairs named": 2, "pairs right": 0, "captions with two things": 1}),
    ("a large blue kite", ["the kite is small, not large"], {"sizes named": 1, "sizes right": 0, "pairs right": 1}),
    ("a tiny red fish", ["there is no fish"], {"pairs named": 1, "pairs right": 0, "sizes named": 1, "sizes right": 0}),
    ("a fish and a kite", ["there is no fish"], {"things named": 2, "things right": 1}),
    ("a red ball and a blue ball", ["there is only one ball"], {"things right": 1, "captions with a relation": 0}),
    ("a kite below a ball", ["the kite is not below the ball"], {"relations named": 1, "relations right": 0}),
    ("a kite above a kite", ["there is only one kite"], {"relations named": 1, "relations right": 0}),
    ("a ball at the beach", [], {"salient things": 2, "salient named": 1}),
    ("at the beach", [], {"captions": 1, "captions with two things": 0}),
    ("a small blue kite above a red ball", [], {
        "things named": 2, "things right": 2, "pairs named": 2, "pairs right": 2, "sizes named": 1, "sizes right": 1,
        "relations named": 1, "relations right": 1, "salient named": 2, "captions with a relation": 1,
    }),
])  # fmt: skip
def test_claims_are_counted_and_those_that_do_not_hold_are_named(caption, wrong, counted):
    counts = count_claims(caption, BALL_AND_KITE)
    assert {name: counts[name] for name in counted} == counted
    assert wrong_claims(caption, BALL_AND_KITE) == wrong


def test_scores_are_shares_with_intervals_around_them():
    scenes = scenes_of("val", 80)
    truths = [truth_of(scene) for scene in scenes]
    captions = [describe_scene(scene)[0] for scene in scenes]
    captions[::3] = captions[1::3]  # a third describes the scene after it
    scores, totals = score_captions(captions, truths, resamples=300), Counter()
    assert score_captions(captions, truths, resamples=300) == scores
    for caption, truth in zip(captions, truths, strict=True):
        totals.update(count_claims(caption, truth))
    for name, score in scores.items():
        assert score.low <= score.value <= score.high, name
    for name, sort in (("things", "things"), ("colours", "pairs"), ("relations", "relations")):
        assert scores[MAIN_SCORES[name]].value == totals[f"{sort} right"] / totals[f"{sort} named"] < 1
    assert scores["things named per caption"].value == totals["things named"] / len(captions)


def test_hallucination_rates_count_things_that_are_not_there():
    sentences = ["a red ball and a kite", "a boat near a ball", "in the desert"]
    rates = hallucination_rates(sentences, [BALL_AND_KITE] * 3)
    assert rates["CHAIRi"].value == pytest.approx(1 / 4)
    assert rates["CHAIRs"].value == pytest.approx(1 / 3)
    assert rates["CHAIRs"].low < 1 / 3 < rates["CHAIRs"].high
    assert math.isnan(hallucination_rates(["in the desert"], [BALL_AND_KITE])["CHAIRi"].value)
    assert hallucination_rates(["a blue ball and a ball"], [BALL_AND_KITE])["CHAIRi"].value == 0


def test_colours_are_scored_apart_where_the_pair_was_never_seen_in_training():
    """Known pairs are right, but for the one beside the unseen pair, which is right itself."""
    colour, kind = min(UNSEEN_PAIRS)
    colours = {kind: colour, "house": "white"}
    unseen = SceneTruth(colours, dict.fromkeys(colours, "large"), frozenset(), frozenset())
    captions = ["a red ball", "a blue kite", f"a {colour} {kind} and a black house", "a house and a blue boat"]
    lines = pair_accuracy_by_novelty(captions, [BALL_AND_KITE, BALL_AND_KITE, unseen, unseen]).splitlines()
    assert [re.sub(" +", " ", line) for line in lines] == [
        "known pairs, other scenes 2 colours, right: 100.0 % (100.0-100.0)",
        "known pairs, same scenes 1 colours, right: 0.0 % (0.0-0.0)",
        "unseen pairs 1 colours, right: 100.0 % (100.0-100.0)",
    ]
    assert pair_accuracy_by_novelty(captions[:2], [BALL_AND_KITE] * 2).splitlines()[1:] == [
        f"{group:<28}   0 colours, right: none" for group in ("known pairs, same scenes", "unseen pairs")
    ]


def test_a_caption_is_wholly_true_when_every_claim_holds():
    captions = ["a red ball", "a large red ball", "a blue kite above a red ball", "a small red ball", "a kite, a fish"]
    assert wholly_true(captions, [BALL_AND_KITE] * len(captions)).value == 3 / 5


def test_pairs_are_scored_by_how_many_things_a_scene_shows():
    ball = SceneTruth({"ball": "red"}, {"ball": "large"}, frozenset(), frozenset({"ball"}))
    captions, truths = ["a red ball", "a red kite", "a red ball"], [ball, BALL_AND_KITE, ball]
    one, two = pair_accuracy_by_count(captions, truths).splitlines()
    assert re.match(rf"scenes with 1 thing +2 scenes, {PAIRS}: 100\.0 %", one)
    assert re.match(rf"scenes with 2 things +1 scenes, {PAIRS}: 0\.0 %", two)


# Mistakes on purpose, and the same in other words


def test_references_with_two_colours_are_exchanged_or_replaced_by_another():
    two_colours = ["A dog .", "A Black dog on a white sofa .", "A sofa .", "A pet ."]
    variants, left = reference_variants([two_colours, ["A red kite .", "A kite .", "A sky ."], two_colours[:2]])
    assert variants == {
        "as written": ["a black dog on a white sofa ."],
        "colours swapped": ["a white dog on a black sofa ."],
        "other words": ["a dog ."],
    }
    assert left == [["a sofa .", "a pet ."]], "pictures without two colours, or with too few references, are left out"


def test_other_words_claim_the_same():
    changed = 0
    for scene in scenes_of("val", 60):
        for caption in describe_scene(scene):
            caption = " ".join(caption.lower().replace(",", "").replace(".", "").split())
            other = paraphrase(caption)
            changed += other != caption
            claims, same = read_claims(caption), read_claims(other)
            said, told = [[(m.kind, m.colour, m.size) for m in c.mentions] for c in (claims, same)]
            assert said == told and claims.relations == same.relations
    assert changed > 200
    other = paraphrase("a tiny red car above a house at sea")
    assert other == "a small red automobile over a cottage out on the ocean"
