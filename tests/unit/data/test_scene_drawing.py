"""Scenes are drawn: the right size, each thing in its box and nowhere else, and visible on every ground."""

from dataclasses import replace

import numpy as np
import pytest
from scene_samples import scenes_of, thing_at

from say_what_you_see.data.scenes.drawing import draw_crop, draw_scene
from say_what_you_see.data.scenes.scene import CROP_SIDE, KINDS, KINDS_IN_PLACE, PLACES, Scene, Thing

HARDEST = {"meadow": "green", "beach": "yellow", "sea": "blue", "night": "black", "snow": "white", "desert": "orange"}
"""The colour that differs least from the ground of a place."""


@pytest.fixture(scope="module")
def empty() -> dict[str, np.ndarray]:
    """The crop of an empty scene of each place."""
    return {place: draw_crop(Scene(place, (), False, 5)).astype(int) for place in PLACES}


def change(empty: dict[str, np.ndarray], thing: Thing, place: str) -> np.ndarray:
    """How much each pixel of the crop changes when a thing is put into an empty scene: int (300, 300)."""
    return np.abs(draw_crop(Scene(place, (thing,), False, 5)) - empty[place]).max(axis=2)


def test_pictures_have_the_size_of_the_scene_and_follow_its_seed():
    scene = scenes_of("train", 1)[0]
    for scene in (replace(scene, portrait=portrait) for portrait in (True, False)):
        picture, crop, (left, top) = draw_scene(scene), draw_crop(scene), scene.crop_offset
        assert picture.size == scene.image_size and picture.mode == "RGB"
        assert crop.shape == (CROP_SIDE, CROP_SIDE, 3) and crop.dtype == np.uint8
        np.testing.assert_array_equal(np.asarray(picture)[top : top + CROP_SIDE, left : left + CROP_SIDE], crop)
    np.testing.assert_array_equal(draw_crop(scene), crop)
    assert (draw_crop(replace(scene, seed=scene.seed + 1)) != crop).mean() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_fills_its_box_leaves_the_rest_alone_and_is_visible_everywhere(kind, empty):
    for place in (place for place in PLACES if kind in KINDS_IN_PLACE[place]):
        changed = change(empty, thing_at(kind, "red", 110, 120, 90, 70), place) > 0
        inside = changed[120:190, 110:200]
        assert inside.mean() > 0.15, place
        assert inside.any(axis=0).mean() > 0.9 and inside.any(axis=1).mean() > 0.9, "it reaches the sides of its box"
        assert changed.sum() == changed[117:193, 107:203].sum(), "three pixels of outline may stand out, no more"
        hardest = change(empty, thing_at(kind, HARDEST[place], 110, 120, 50, 40, size="small"), place)
        assert (hardest[120:160, 110:160] > 60).mean() > 0.03, place
