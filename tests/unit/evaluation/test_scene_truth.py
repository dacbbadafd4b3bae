"""Captions are read word by word and held against what was drawn."""

from __future__ import annotations

import itertools
import json
import math
import re
import zipfile

import numpy as np
import pytest
from scene_samples import scenes_of, truth_of

from say_what_you_see.data.scenes.captions import NOUNS, describe_scene
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.dataset import file_name, instances_json
from say_what_you_see.data.scenes.scene import COLOURS, KINDS, UNSEEN_PAIRS
from say_what_you_see.evaluation.scene_truth import (
    COUNTS,
    SceneTruth,
    carry_box_to_crop,
    count_claims,
    pair_accuracy_by_novelty,
    read_scene_truths,
    right_and_wrong,
    score_captions,
    score_table,
)

BALL_AND_KITE = SceneTruth(
    colours={"ball": "red", "kite": "blue"},
    sizes={"ball": "large", "kite": "small"},
    relations=frozenset({("kite", "above", "ball"), ("ball", "below", "kite"), ("ball", "left of", "kite"),
                         ("kite", "right of", "ball")}),
    salient=frozenset({"ball", "kite"}),
)  # fmt: skip
THINGS = "things named that are there"
PAIRS = "colours joined to the right thing"
RELATIONS_TRUE = "stated relations that are true"


def read(caption: str) -> tuple[list[tuple[str, str | None, str | None]], list[tuple[str, str, str]]]:
    """Things with colour and size, and relations between kinds."""
    claims = read_claims(caption)
    kinds = [mention.kind for mention in claims.mentions]
    return (
        [(mention.kind, mention.colour, mention.size) for mention in claims.mentions],
        [(kinds[subject], relation, kinds[other]) for subject, relation, other in claims.relations],
    )


def counted(caption: str, truth: SceneTruth = BALL_AND_KITE) -> dict[str, int]:
    return dict(zip(COUNTS, count_claims(caption, truth).tolist(), strict=True))


@pytest.mark.parametrize(("caption", "things"), [
    ("A small red ball at the beach.", [("ball", "red", "small")]),
    ("a huge violet ship and an automobile", [("boat", "purple", "large"), ("car", None, None)]),
    ("the ball is red and the kite is blue", [("ball", "red", None), ("kite", "blue", None)]),
    ("the red ball is near a kite", [("ball", "red", None), ("kite", None, None)]),
    ("a ball, a kite and a fish", [("ball", None, None), ("kite", None, None), ("fish", None, None)]),
    ("a red and a blue kite", [("kite", "blue", None)]),
    ("red, says the tiny orange flower", [("flower", "orange", "small")]),
    ("blue #UNK# kite", [("kite", None, None)]),
    ("in the desert at night", []),
    ("colourless green ideas sleep furiously", []),
    ("", []),
])  # fmt: skip
def test_things_are_read_with_their_adjectives(caption, things):
    assert read(caption) == (things, [])


@pytest.mark.parametrize(("caption", "relation"), [
    ("a red ball above a blue kite", ("ball", "above", "kite")),
    ("a ball over a kite", ("ball", "above", "kite")),
    ("a ball beneath the big kite at sea", ("ball", "below", "kite")),
    ("a kite flying to the left of a small white ball", ("kite", "left of", "ball")),
    ("a kite right of the ball", ("kite", "right of", "ball")),
    ("below a kite there is a ball", ("ball", "below", "kite")),
    ("to the right of a blue kite there is a tiny red ball", ("ball", "right of", "kite")),
    ("a house with a ball above it", ("ball", "above", "house")),
    ("a large house with a green ball to the left of it", ("ball", "left of", "house")),
    ("at the beach there is a ball under a kite, and also a fish", ("ball", "below", "kite")),
])  # fmt: skip
def test_relations_are_read(caption, relation):
    things, relations = read(caption)
    assert relations == [relation]
    assert {relation[0], relation[2]} <= {kind for kind, _, _ in things}


@pytest.mark.parametrize("caption", [
    "under the stars",
    "a ball under the stars",
    "a bird over the water near a boat",
    "under the stars there is a ball and a kite",
    "a ball above",
    "above above above",
    "a ball above it",
    "to the left of it",
    "left of the",
    "a ball on the right and a kite",
])  # fmt: skip
def test_what_relates_nothing_is_no_relation(caption):
    assert read(caption)[1] == []


def test_two_relations_in_a_sentence():
    assert read("a ball above a kite left of a car")[1] == [("ball", "above", "kite"), ("kite", "left of", "car")]


def test_a_true_caption_is_right_in_everything():
    counts = counted("a small blue kite above a red ball")
    assert counts["things named"] == counts["things right"] == counts["pairs named"] == counts["pairs right"] == 2
    assert counts["sizes named"] == counts["sizes right"] == 1
    assert counts["relations stated"] == counts["relations true"] == 1
    assert counts["salient things"] == counts["salient named"] == 2
    assert counts["captions"] == counts["captions with two things"] == counts["captions with a relation"] == 1


@pytest.mark.parametrize(("caption", "named", "right"), [
    ("a red kite and a blue ball", ("pairs named", 2), ("pairs right", 0)),
    ("a large blue kite", ("sizes named", 1), ("sizes right", 0)),
    ("a red fish", ("pairs named", 1), ("pairs right", 0)),
    ("a small fish", ("sizes named", 1), ("sizes right", 0)),
    ("a fish and a kite", ("things named", 2), ("things right", 1)),
    ("a ball and a ball", ("things named", 2), ("things right", 1)),
    ("a kite below a ball", ("relations stated", 1), ("relations true", 0)),
    ("a ball right of a kite", ("relations stated", 1), ("relations true", 0)),
    ("a kite above a fish", ("relations stated", 1), ("relations true", 0)),
    ("a kite above a kite", ("relations stated", 1), ("relations true", 0)),
    ("a ball at the beach", ("salient things", 2), ("salient named", 1)),
    ("at the beach", ("captions", 1), ("captions with two things", 0)),
    ("a ball and a kite", ("captions with two things", 1), ("captions with a relation", 0)),
])  # fmt: skip
def test_wrong_and_silent_captions(caption, named, right):
    counts = counted(caption)
    assert (counts[named[0]], counts[right[0]]) == (named[1], right[1])


def test_every_true_caption_turns_wrong_when_a_word_is_exchanged():
    """Another colour, another thing, the opposite relation: each is noticed, in whatever sentence it stands."""
    opposite = {"above": "below", "over": "under", "below": "above", "under": "over", "beneath": "above",
                "left": "right", "right": "left"}  # fmt: skip
    noticed = dict.fromkeys(("pairs right", "things right", "relations true"), 0)
    for scene in scenes_of("train", 60):
        truth, absent = truth_of(scene), next(kind for kind in KINDS if kind not in {t.kind for t in scene.things})
        nouns = {noun: absent for options in NOUNS.values() for noun in options}
        colours = dict(zip(("violet", *COLOURS), ("white", *COLOURS[1:], COLOURS[0]), strict=True))
        for caption in describe_scene(scene):
            before = counted(caption, truth)
            for exchange, right in ((colours, "pairs right"), (nouns, "things right"), (opposite, "relations true")):
                words = re.sub(r"[a-z]+", lambda found, words=exchange: words.get(found[0], found[0]), caption.lower())
                if words != caption.lower():
                    assert counted(words, truth)[right] < before[right], (caption, words)
                    noticed[right] += 1
    assert all(noticed.values())


def test_scores_are_shares_with_intervals_around_them():
    scenes = scenes_of("val", 80)
    truths = [truth_of(scene) for scene in scenes]
    captions = [describe_scene(scene)[0] for scene in scenes]
    captions[::3] = captions[1::3]  # a third describes the scene after it
    scores = score_captions(captions, truths, resamples=300)
    assert score_captions(captions, truths, resamples=300) == scores
    for name, score in scores.items():
        assert score.low <= score.value <= score.high, name
    counts = sum(count_claims(caption, truth) for caption, truth in zip(captions, truths, strict=True))
    totals = dict(zip(COUNTS, counts.tolist(), strict=True))
    assert scores[THINGS].value == totals["things right"] / totals["things named"] < 1
    assert scores[PAIRS].value == totals["pairs right"] / totals["pairs named"] < 1
    assert scores[RELATIONS_TRUE].value == totals["relations true"] / totals["relations stated"] < 1
    assert scores["things named per caption"].value == totals["things named"] / len(captions)


def test_intervals_narrow_with_more_scenes():
    caption = itertools.cycle(["a red ball", "a blue ball"])
    few, many = (score_captions(itertools.islice(caption, n), [BALL_AND_KITE] * n)[PAIRS] for n in (20, 320))
    assert few.value == many.value == 0.5
    assert many.high - many.low < (few.high - few.low) / 2


def test_true_captions_score_one():
    scenes = scenes_of("val", 30)
    scores = score_captions([describe_scene(s)[0] for s in scenes], [truth_of(s) for s in scenes], resamples=50)
    for name in (THINGS, PAIRS, RELATIONS_TRUE, "sizes given to the right thing"):
        assert (scores[name].value, scores[name].low, scores[name].high) == (1, 1, 1)


def test_what_is_never_stated_has_no_score():
    scores = score_captions(["a red ball"] * 3, [BALL_AND_KITE] * 3, resamples=20)
    for value in vars(scores[RELATIONS_TRUE]).values():
        assert math.isnan(value)
    assert scores[THINGS].value == 1
    assert math.isnan(score_captions([""] * 3, [BALL_AND_KITE] * 3, resamples=20)[THINGS].value)


def test_captions_and_scenes_must_be_as_many():
    with pytest.raises(ValueError):
        score_captions(["a ball"], [BALL_AND_KITE] * 2)


def test_the_table_has_a_row_a_score_and_a_column_a_method():
    model = score_captions(["a blue kite above a red ball"] * 4, [BALL_AND_KITE] * 4, resamples=20)
    suppressed = score_captions(["at sea"] * 4, [BALL_AND_KITE] * 4, resamples=20)
    lines = score_table({"model": model, "nobody": suppressed}).splitlines()
    assert len(lines) == 1 + len(model)
    assert re.findall(r"\S+", lines[0]) == ["model", "nobody"]
    assert len({len(line) for line in lines}) == 1
    rows = {name: line.removeprefix(name).split("  ") for line in lines[1:] for name in model if line.startswith(name)}
    assert set(rows) == set(model)
    assert [cell.strip() for cell in rows[THINGS] if cell] == ["100.0% (100.0-100.0)", "none"]
    cells = [cell.strip() for cell in rows["things named per caption"] if cell]
    assert cells == ["2.00 (2.00-2.00)", "0.00 (0.00-0.00)"]


def test_truths_come_back_from_the_instances_json(tmp_path):
    scenes = scenes_of("val", 40)
    captions = [describe_scene(scene) for scene in scenes]
    with zipfile.ZipFile(tmp_path / "captions.zip", "w") as archive:
        archive.writestr("instances.json", json.dumps(instances_json("val", scenes, captions)))
    truths = read_scene_truths(tmp_path / "captions.zip", "instances.json")
    assert list(truths) == [file_name("val", index) for index in range(len(scenes))]
    for truth, scene, group in zip(truths.values(), scenes, captions, strict=True):
        expected = truth_of(scene, group)
        assert (truth.colours, truth.sizes) == (expected.colours, expected.sizes)
        assert (truth.relations, truth.salient) == (expected.relations, expected.salient)
        assert truth.boxes.keys() == expected.boxes.keys()
        for kind, box in truth.boxes.items():
            assert box == pytest.approx(expected.boxes[kind])


@pytest.mark.parametrize(("size", "box", "expected"), [
    ((400, 300), (50, 0, 300, 300), (0, 0, 1, 1)),
    ((300, 400), (0, 50, 300, 300), (0, 0, 1, 1)),
    ((300, 300), (150, 75, 30, 60), (0.5, 0.25, 0.1, 0.2)),
    ((640, 480), (80, 240, 48, 96), (0, 0.5, 0.1, 0.2)),
])  # fmt: skip
def test_boxes_are_carried_to_the_centre_crop(size, box, expected):
    assert carry_box_to_crop(box, *size) == pytest.approx(expected)


def test_relations_follow_from_the_carried_boxes():
    """The boxes that scores use and the relations of the instances JSON tell the same story."""
    for truth in map(truth_of, scenes_of("val", 60)):
        middles = {kind: np.array([x + w / 2, y + h / 2]) for kind, (x, y, w, h) in truth.boxes.items()}
        for subject, relation, other in truth.relations:
            dx, dy = middles[other] - middles[subject]
            assert {"left of": dx, "right of": -dx, "above": dy, "below": -dy}[relation] > 0


def test_pairs_are_scored_apart_where_one_was_never_seen_in_training():
    """Right in scenes of known pairs, wrong in those with an unseen one."""
    scenes = scenes_of("val", 50)
    truths = [truth_of(scene) for scene in scenes]
    unseen = [bool({(thing.colour, thing.kind) for thing in scene.things} & UNSEEN_PAIRS) for scene in scenes]
    assert 0 < sum(unseen) < len(scenes)
    captions = [
        f"a {next(colour for colour in COLOURS if (colour != scene.things[0].colour) == wrong)} {scene.things[0].kind}"
        for scene, wrong in zip(scenes, unseen, strict=True)
    ]
    known, new = pair_accuracy_by_novelty(captions, truths).splitlines()
    assert re.search(rf"known pairs +{len(scenes) - sum(unseen)} scenes, {PAIRS}: 100\.0 % \(100\.0-100\.0\)", known)
    assert re.search(rf"unseen pair +{sum(unseen)} scenes, {PAIRS}: 0\.0 % \(0\.0-0\.0\)", new)
    known_only = [row for row, is_unseen in enumerate(unseen) if not is_unseen]
    report = pair_accuracy_by_novelty([captions[row] for row in known_only], [truths[row] for row in known_only])
    assert report == known, "where no scene has an unseen pair there is one line"


def test_captions_are_sorted_into_right_and_wrong_with_the_boldest_first():
    captions = [
        "a red ball",  # right, two claims
        "at the beach",  # right: nothing is claimed
        "a blue ball",  # wrong colour, two claims
        "a blue kite above a red ball",  # right, five claims
        "a fish",  # not there, one claim
        "a blue kite below a red ball",  # wrong relation, five claims
    ]
    assert right_and_wrong(captions, [BALL_AND_KITE] * len(captions)) == ([3, 0, 1], [5, 2, 4])
