"""Scenes are drawn: the right size, each thing in its box and nowhere else, and visible on every ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scene_samples import scenes_of, thing_at

from say_what_you_see.data.scenes.drawing import draw_crop, draw_scene
from say_what_you_see.data.scenes.scene import COLOURS, CROP_SIDE, KINDS, KINDS_IN_PLACE, PALETTE, PLACES, Scene, Thing

KIND_AND_PLACE = [(kind, place) for place in PLACES for kind in KINDS_IN_PLACE[place]]
HARDEST = {"meadow": "green", "beach": "yellow", "sea": "blue", "night": "black", "snow": "white", "desert": "orange"}
"""The colour that differs least from the ground of a place."""


def empty(place: str) -> Scene:
    return Scene(place, (), False, 5)


def change(thing: Thing, place: str) -> np.ndarray:
    """How much each pixel of the crop changes when a thing is put into an empty scene: int (300, 300)."""
    with_thing = draw_crop(Scene(place, (thing,), False, 5)).astype(int)
    return np.abs(with_thing - draw_crop(empty(place))).max(axis=2)


def luminance(pixels: np.ndarray) -> np.ndarray:
    return pixels @ np.array([0.3, 0.6, 0.1])


def test_every_colour_has_a_paint():
    assert set(PALETTE) == set(COLOURS)
    assert len(set(PALETTE.values())) == len(COLOURS)


def test_pictures_have_the_size_of_the_scene():
    scenes = scenes_of("train", 5)
    for scene in [replace(scene, portrait=portrait) for scene in scenes for portrait in (True, False)]:
        picture = draw_scene(scene)
        assert picture.size == scene.image_size and picture.mode == "RGB"
        left, top = scene.crop_offset
        crop = draw_crop(scene)
        assert crop.shape == (CROP_SIDE, CROP_SIDE, 3) and crop.dtype == np.uint8
        np.testing.assert_array_equal(np.asarray(picture)[top : top + CROP_SIDE, left : left + CROP_SIDE], crop)


def test_drawing_is_deterministic_and_follows_the_seed():
    scene = scenes_of("train", 1)[0]
    np.testing.assert_array_equal(draw_crop(scene), draw_crop(scene))
    other = Scene(scene.place, scene.things, scene.portrait, scene.seed + 1)
    assert (draw_crop(other) != draw_crop(scene)).mean() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_fills_its_box_and_leaves_the_rest_alone(kind):
    for place in (place for place in PLACES if kind in KINDS_IN_PLACE[place]):
        thing = thing_at(kind, "red", 110, 120, 90, 70)
        changed = change(thing, place) > 0
        inside = changed[120:190, 110:200]
        assert inside.mean() > 0.15, place
        assert inside.any(axis=0).mean() > 0.9 and inside.any(axis=1).mean() > 0.9, "it reaches the sides of its box"
        assert changed.sum() == changed[117:193, 107:203].sum(), "three pixels of outline may stand out, no more"


@pytest.mark.parametrize(("kind", "place"), KIND_AND_PLACE)
def test_even_the_hardest_colour_is_visible(kind, place):
    thing = thing_at(kind, HARDEST[place], 110, 120, 50, 40, size="small")
    strong = change(thing, place)[120:160, 110:160] > 60
    assert strong.mean() > 0.03


def test_a_black_cloud_at_night_has_a_light_outline():
    scene = Scene("night", (thing_at("cloud", "black", 80, 40, 100, 62),), False, 3)
    crop = draw_crop(scene)[40:102, 80:180]
    light = luminance(crop)
    assert np.median(light[20:40, 35:65]) < 50, "the cloud itself is dark"
    assert (light > 150).any(axis=1).mean() > 0.8, "on nearly every row there is a light line"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_ball_has_its_colour(colour):
    crop = draw_crop(Scene("meadow", (thing_at("ball", colour, 100, 100, 90, 90),), False, 1))[105:185, 105:185]
    distances = {name: np.abs(crop - np.array(paint)).sum(axis=2) for name, paint in PALETTE.items()}
    nearest = np.array(list(distances))[np.argmin(list(distances.values()), axis=0)]
    names, counts = np.unique(nearest, return_counts=True)
    assert names[counts.argmax()] == colour


@pytest.mark.parametrize("kind", ["car", "fish", "bird", "boat"])
def test_a_flipped_thing_is_the_mirror_image(kind):
    boxes = slice(100, 160), slice(100, 180)
    plain, flipped = (change(thing_at(kind, "red", 100, 100, flipped=f), "beach")[boxes] > 60 for f in (False, True))
    mirrored_fits = (plain[:, ::-1] == flipped).mean()
    assert mirrored_fits > 0.95
    assert mirrored_fits > (plain == flipped).mean()


def test_portrait_pictures_have_things_at_the_same_place_of_the_crop():
    thing = thing_at("ball", "red", 60, 150, 90, 90)
    upright = draw_crop(Scene("sea", (thing,), True, 2)).astype(int) - draw_crop(Scene("sea", (), True, 2))
    changed = np.argwhere(upright.any(axis=2))
    assert changed.min(axis=0) == pytest.approx([150, 60], abs=2)
    assert changed.max(axis=0) == pytest.approx([240, 150], abs=2)
