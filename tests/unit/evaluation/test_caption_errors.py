"""Mistakes in captions of scenes are found, named, counted in matrices, and made on purpose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scene_samples import scenes_of, truth_of

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.scene import COLOURS, KINDS
from say_what_you_see.evaluation.caption_errors import (
    cider_by_picture,
    confuse_colours,
    confuse_things,
    confusion_in_words,
    count_swapped_colours,
    rank_captions,
    score_by_things,
    swap_colours,
    things_table,
    use_other_words,
    wrong_claims,
)
from say_what_you_see.evaluation.evaluate import ValidationPictures
from say_what_you_see.evaluation.metrics import score_against_references
from say_what_you_see.evaluation.scene_truth import SceneTruth, count_claims, score_captions

TRUTH = SceneTruth(
    colours={"ball": "red", "kite": "blue"},
    sizes={"ball": "large", "kite": "small"},
    relations=frozenset({("kite", "above", "ball"), ("ball", "below", "kite")}),
    salient=frozenset({"ball", "kite"}),
)


def scene_pictures(count: int = 30) -> ValidationPictures:
    scenes = scenes_of("val", count)
    captions = [list(describe_scene(scene)) for scene in scenes]
    names = [f"{number}.jpg" for number in range(count)]
    return ValidationPictures(names, list(range(count)), captions, [truth_of(scene) for scene in scenes])


@pytest.mark.parametrize(("caption", "wrong"), [
    ("a small blue kite above a huge red ball", []),
    ("in the desert", []),
    ("a red kite", ["the kite is blue, not red"]),
    ("a tiny ball", ["the ball is large, not small"]),
    ("a red boat and a ball", ["there is no boat"]),
    ("a red ball and a blue ball", ["there is only one ball"]),
    ("a ball above a ball", ["there is only one ball"]),
    ("a kite below a ball", ["the kite is not below the ball"]),
    ("a blue ball left of a red kite",
     ["the ball is red, not blue", "the kite is blue, not red", "the ball is not left of the kite"]),
])  # fmt: skip
def test_wrong_claims_are_named(caption, wrong):
    assert wrong_claims(caption, TRUTH) == wrong


def test_captions_of_people_claim_nothing_wrong():
    pictures = scene_pictures()
    for group, truth in zip(pictures.references, pictures.truths, strict=True):
        assert not [wrong for caption in group for wrong in wrong_claims(caption, truth)]


def test_the_best_caption_has_no_wrong_claim_and_most_right_ones():
    captions = ["a blue ball", "a kite above a ball", "a boat", "a red ball below a blue kite"]
    references = [["a red ball and a blue kite"]] * 4
    pictures = ValidationPictures(list("abcd"), [1, 2, 3, 4], references, [TRUTH] * 4)
    assert rank_captions(captions, pictures) == [3, 1, 0, 2]


def test_photographs_are_ranked_by_cider():
    pictures = ValidationPictures(list("abc"), [1, 2, 3], [["a dog runs"], ["two birds fly"], ["one boat at sea"]])
    captions = ["two cats sleep", "two birds sit", "one boat at sea"]
    assert rank_captions(captions, pictures) == [2, 1, 0]
    scores = score_against_references(captions, pictures.references, java=False)
    assert cider_by_picture(captions, pictures.references).mean() == pytest.approx(scores["CIDEr"].value)


def test_colours_are_counted_where_thing_and_colour_are_named():
    confusion = confuse_colours(["a red kite and a red ball", "a ball and a green boat", "a white ball"], [TRUTH] * 3)
    wanted = {("blue", "red"): 1, ("red", "red"): 1, ("red", "white"): 1}
    for i, true in enumerate(COLOURS):
        for j, said in enumerate(COLOURS):
            assert confusion.counts[i, j] == wanted.get((true, said), 0)
    assert confusion_in_words(confusion, most=1).startswith("33 % on the diagonal; ")


def test_a_swapped_colour_belongs_to_another_thing_of_the_picture():
    captions = ["a blue ball and a red kite", "a green ball", "a red ball"]
    assert count_swapped_colours(captions, [TRUTH] * 3) == (2, 3)


def test_a_thing_that_is_missed_may_have_been_taken_for_an_invented_one():
    counts = confuse_things(["a ball and a boat", "a ball", "a ball, a kite and a car", "a tree"], [TRUTH] * 4).counts
    place = {kind: number for number, kind in enumerate(KINDS)}
    assert counts[place["kite"], place["boat"]] == 1
    assert counts[place["kite"], -1] == 1 + 0.5
    assert counts[-1, place["car"]] == 1
    assert counts[place["ball"], place["tree"]] == counts[place["kite"], place["tree"]] == 0.5


def test_every_thing_of_every_scene_has_its_place_in_the_matrix():
    pictures = scene_pictures()
    captions = [group[0] for group in reversed(pictures.references)]  # of other scenes, so mostly wrong
    confusion = confuse_things(captions, pictures.truths)
    there = [sum(kind in truth.colours for truth in pictures.truths) for kind in KINDS]
    assert confusion.counts.sum(axis=1)[:-1] == pytest.approx(there)
    named = sum(len({mention.kind for mention in read_claims(caption).mentions}) for caption in captions)
    assert confusion.counts[:, :-1].sum() == pytest.approx(named)
    assert (confusion.counts >= 0).all()


def test_an_empty_matrix_is_called_empty():
    assert confusion_in_words(confuse_colours(["in the snow"], [TRUTH])) == "empty"


def test_scores_are_those_of_the_scenes_with_so_many_things():
    pictures = scene_pictures(40)
    captions = [group[0] for group in pictures.references]
    groups = score_by_things(captions, pictures)
    assert sum(group.scenes for group in groups.values()) == 40 and list(groups) == sorted(groups)
    chosen = [i for i, truth in enumerate(pictures.truths) if len(truth.colours) == 2]
    wanted = score_captions([captions[i] for i in chosen], [pictures.truths[i] for i in chosen])
    assert {name: score.value for name, score in groups[2].exact.items()} == pytest.approx(
        {name: score.value for name, score in wanted.items()}, nan_ok=True
    )
    table = things_table(groups).splitlines()
    assert len(table) == 1 + len(groups) and table[1].startswith("1 ") and "none" in table[1], "one thing, no relation"


@pytest.mark.parametrize(("caption", "swapped"), [
    ("a red ball above an orange kite", "an orange ball above a red kite"),
    ("a red ball, a red kite and a white boat".replace(",", ""), "a white ball a red kite and a red boat"),
    ("a red ball and a red kite", "a red ball and a red kite"),
    ("a ball", "a ball"),
])  # fmt: skip
def test_two_colours_are_swapped(caption, swapped):
    assert swap_colours(caption) == swapped


def test_other_words_claim_the_same():
    changed = 0
    for scene in scenes_of("val", 60):
        for caption in describe_scene(scene):
            caption = " ".join(caption.lower().replace(",", "").replace(".", "").split())
            other = use_other_words(caption)
            changed += other != caption
            claims, same = read_claims(caption), read_claims(other)
            said, told = [[(m.kind, m.colour, m.size) for m in c.mentions] for c in (claims, same)]
            assert said == told and claims.relations == same.relations
            assert np.array_equal(count_claims(caption, truth_of(scene)), count_claims(other, truth_of(scene)))
    assert changed > 200
    assert use_other_words("a tiny red car above a house at sea") == (
        "a small red automobile over a cottage out on the ocean"
    )


def test_pictures_can_be_taken_without_truths():
    pictures = dataclasses.replace(scene_pictures(5), truths=None).take([3, 1])
    assert pictures.fns == ["3.jpg", "1.jpg"] and pictures.image_ids == [3, 1] and pictures.truths is None
