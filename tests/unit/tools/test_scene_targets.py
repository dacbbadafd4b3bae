"""What the scene encoder is asked in its training: the right answers, and none where a crop cannot tell."""

import numpy as np
import pytest
from scene_samples import thing_at

from say_what_you_see.data.scenes.scene import Scene
from tools.scene_targets import N_POSITION_FREE, TARGET_NAMES, UNKNOWN, crop_targets, scene_targets

BALL = thing_at("ball", "red", 40, 200, 90, 90)
KITE = thing_at("kite", "blue", 200, 20, 40, 56, size="small")
SCENE = Scene("beach", (BALL, KITE), False, 0)


def answered(targets: np.ndarray, answer: float) -> set[str]:
    """The questions with this answer."""
    return {name for name, target in zip(TARGET_NAMES, targets, strict=True) if target == answer}


def test_the_answers_for_a_scene_by_hand():
    assert answered(scene_targets(SCENE), 1) == {
        "beach", "red ball", "ball", "red", "large ball", "blue kite", "kite", "blue",
        "y of ball > 0.3", "y of ball > 0.45", "y of ball > 0.6", "y of ball > 0.75",
        "x of kite > 0.3", "x of kite > 0.45", "x of kite > 0.6",
        "ball left of another", "ball below another", "kite right of another", "kite above another",
        "first thing is ball", "first thing is red", "first thing is large",
        "second thing is kite", "second thing is blue", "first thing left of second", "first thing below second",
    }  # fmt: skip


@pytest.mark.parametrize(("corner", "seen", "cut"), [
    ((160, 0), {"blue kite", "kite", "blue"}, set()),
    ((150, 150), set(), set()),
    ((85, 150), set(), {"red ball", "ball", "red", "large ball"}),
    ((60, 150), {"red ball", "ball", "red", "large ball"}, set()),
])  # fmt: skip
def test_what_is_cut_in_two_is_unknown(corner, seen, cut):
    targets = crop_targets(SCENE, *corner, 139)
    assert answered(targets, 1) == seen | {"beach"}
    assert answered(targets, UNKNOWN) == cut | set(TARGET_NAMES[N_POSITION_FREE:])
