"""What the scene encoder is asked in its training: the right answers, and none where a crop cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from scene_samples import scenes_of, thing_at

from say_what_you_see.data.scenes.scene import COLOURS, CROP_SIDE, KINDS, PLACES, Scene, all_relations
from tools.scene_targets import (
    N_POSITION_FREE,
    POSITION_THRESHOLDS,
    TARGET_NAMES,
    UNKNOWN,
    crop_targets,
    random_crop_corner,
    scene_targets,
)

BALL = thing_at("ball", "red", 40, 200, 90, 90)
KITE = thing_at("kite", "blue", 200, 20, 40, 56, size="small")
SCENE = Scene("beach", (BALL, KITE), False, 0)


def yes(targets: np.ndarray) -> set[str]:
    """The questions that are answered with yes."""
    return {name for name, target in zip(TARGET_NAMES, targets, strict=True) if target == 1}


def unknown(targets: np.ndarray) -> set[str]:
    return {name for name, target in zip(TARGET_NAMES, targets, strict=True) if target == UNKNOWN}


def test_questions_have_different_names():
    assert len(set(TARGET_NAMES)) == len(TARGET_NAMES)
    assert {f"{colour} {kind}" for colour in COLOURS for kind in KINDS} | set(PLACES) < set(
        TARGET_NAMES[:N_POSITION_FREE]
    )
    assert all(" of " in name or "another" in name or "thing" in name for name in TARGET_NAMES[N_POSITION_FREE:])


def test_the_answers_for_a_scene_by_hand():
    assert yes(scene_targets(SCENE)) == {
        "beach", "red ball", "ball", "red", "large ball", "blue kite", "kite", "blue",
        "y of ball > 0.3", "y of ball > 0.45", "y of ball > 0.6", "y of ball > 0.75",
        "x of kite > 0.3", "x of kite > 0.45", "x of kite > 0.6",
        "ball left of another", "ball below another", "kite right of another", "kite above another",
        "first thing is ball", "first thing is red", "first thing is large",
        "second thing is kite", "second thing is blue", "first thing left of second", "first thing below second",
    }  # fmt: skip


def test_every_answer_for_whole_scenes_is_known_and_true():
    for scene in scenes_of("train", 100):
        targets = scene_targets(scene)
        assert targets.dtype == np.float32 and targets.shape == (len(TARGET_NAMES),)
        assert set(targets) <= {0, 1}
        answers = yes(targets)
        assert answers & set(PLACES) == {scene.place}
        assert answers & set(KINDS) == {thing.kind for thing in scene.things}
        assert answers & set(COLOURS) == {thing.colour for thing in scene.things}
        assert {f"{t.colour} {t.kind}" for t in scene.things} == answers & {f"{c} {k}" for c in COLOURS for k in KINDS}
        related = {f"{scene.things[i].kind} {relation} another" for i, relation, _ in all_relations(scene)}
        assert {name for name in answers if name.endswith(" another")} == related
        for thing in scene.things:
            for axis, share in zip("xy", thing.centre, strict=True):
                passed = sum(f"{axis} of {thing.kind} > {threshold}" in answers for threshold in POSITION_THRESHOLDS)
                assert passed == sum(share > threshold for threshold in POSITION_THRESHOLDS)


def test_a_crop_that_shows_everything_has_the_same_answers_except_where():
    for scene in scenes_of("train", 40):
        targets = crop_targets(scene, 0, 0, CROP_SIDE)
        np.testing.assert_array_equal(targets[:N_POSITION_FREE], scene_targets(scene)[:N_POSITION_FREE])
        assert (targets[N_POSITION_FREE:] == UNKNOWN).all()


@pytest.mark.parametrize(("corner", "seen", "cut"), [
    ((20, 150), {"red ball", "ball", "red", "large ball"}, set()),
    ((160, 0), {"blue kite", "kite", "blue"}, set()),
    ((150, 150), set(), set()),
    ((85, 150), set(), {"red ball", "ball", "red", "large ball"}),
    ((60, 150), {"red ball", "ball", "red", "large ball"}, set()),
])  # fmt: skip
def test_what_is_cut_in_two_is_unknown(corner, seen, cut):
    targets = crop_targets(SCENE, *corner, 139)
    assert yes(targets) == seen | {"beach"}
    assert unknown(targets[:N_POSITION_FREE].tolist() + [0.0] * (len(TARGET_NAMES) - N_POSITION_FREE)) == cut


def test_a_colour_that_is_seen_elsewhere_is_known():
    """One red thing is cut in two, another is whole: there is red in the picture."""
    kite = thing_at("kite", "red", 90, 230, 40, 56, size="small")
    cut = thing_at("ball", "red", 150, 150, 90, 70)
    targets = crop_targets(Scene("sea", (cut, kite), False, 0), 60, 150, 139)
    assert {"red kite", "kite", "red"} <= yes(targets)
    assert {"red ball", "ball", "large ball"} <= unknown(targets)


@pytest.mark.parametrize("side", [139, 200, CROP_SIDE])
def test_crops_lie_within_the_picture_and_mostly_show_something(side):
    rng = np.random.default_rng(0)
    shown = []
    for scene in scenes_of("train", 200):
        left, top = random_crop_corner(scene, side, rng)
        assert 0 <= left <= CROP_SIDE - side and 0 <= top <= CROP_SIDE - side
        shown.append(bool(yes(crop_targets(scene, left, top, side)) & set(KINDS)))
    assert np.mean(shown) > 0.6
