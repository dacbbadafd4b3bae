"""What the scene encoder is asked about a picture, as a vector of yes-or-no answers.

It is asked what captions need: which things in which colours there are, where each is, on which side of
another, and which comes first (large before small, then left to right). `UNKNOWN` targets do not count in the loss.
"""

import itertools

import numpy as np

from say_what_you_see.data.scenes.scene import COLOURS, CROP_SIDE, KINDS, PLACES, Scene, Thing, relations_between

UNKNOWN = -1.0
POSITION_THRESHOLDS = (0.3, 0.45, 0.6, 0.75)
_RANKS = ("first", "second", "third")
_DIRECTIONS = ("left of", "right of", "above", "below")
TARGET_NAMES: tuple[str, ...] = (
    *(f"{colour} {kind}" for colour in COLOURS for kind in KINDS),
    *KINDS,
    *COLOURS,
    *(f"large {kind}" for kind in KINDS),
    *PLACES,
    *(f"{axis} of {kind} > {t}" for axis in "xy" for kind in KINDS for t in POSITION_THRESHOLDS),
    *(f"{kind} {direction} another" for direction in _DIRECTIONS for kind in KINDS),
    *(f"{rank} thing is {answer}" for rank in _RANKS for answer in (*KINDS, *COLOURS, "large")),
    *(f"first thing {direction} second" for direction in _DIRECTIONS),
)
N_POSITION_FREE = TARGET_NAMES.index(f"x of {KINDS[0]} > {POSITION_THRESHOLDS[0]}")
"""Targets before this index ask what there is; the others ask where it is, which a crop cannot answer."""


def scene_targets(scene: Scene) -> np.ndarray:
    """The targets of a whole scene: float32, 0 or 1 for each of `TARGET_NAMES`."""
    yes = {scene.place}
    for thing in scene.things:
        yes |= _answers(thing)
        for axis, share in zip("xy", thing.centre, strict=True):
            yes |= {f"{axis} of {thing.kind} > {threshold}" for threshold in POSITION_THRESHOLDS if share > threshold}
    for subject, other in itertools.permutations(scene.things, 2):
        yes |= {f"{subject.kind} {direction} another" for direction in relations_between(subject, other)}
    for rank, thing in zip(_RANKS, scene.things, strict=False):
        yes |= {f"{rank} thing is {answer}" for answer in (thing.kind, thing.colour, thing.size) if answer != "small"}
    if len(scene.things) > 1:
        yes |= {f"first thing {direction} second" for direction in relations_between(*scene.things[:2])}
    return _targets(yes, set())


def crop_targets(scene: Scene, left: int, top: int, side: int) -> np.ndarray:
    """The targets of a square cut from a scene's centre crop; things cut in two, and all positions, are unknown."""
    yes, unknown = {scene.place}, set(TARGET_NAMES[N_POSITION_FREE:])
    for thing in scene.things:
        share = _visible_share(thing, left, top, side)
        if share >= 0.6:
            yes |= _answers(thing)
        elif share > 0.05:
            unknown |= _answers(thing)
    return _targets(yes, unknown)


def _answers(thing: Thing) -> set[str]:
    """All questions whose answer is yes because a thing is there."""
    answers = {f"{thing.colour} {thing.kind}", thing.kind, thing.colour}
    return answers | {f"large {thing.kind}"} if thing.size == "large" else answers


def _targets(yes: set[str], unknown: set[str]) -> np.ndarray:
    """Answers for all questions: those in neither set are no; those in both are yes, because of another thing."""
    return np.array([1 if name in yes else UNKNOWN if name in unknown else 0 for name in TARGET_NAMES], np.float32)


def _visible_share(thing: Thing, left: int, top: int, side: int) -> float:
    """The share of a thing's box that lies within a square of the centre crop."""
    box_left, box_top, width, height = thing.box
    across = min(left + side, box_left + width) - max(left, box_left)
    down = min(top + side, box_top + height) - max(top, box_top)
    return max(across, 0) * max(down, 0) / (width * height)


def random_crop_corner(scene: Scene, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """The left and top of a random square, which usually shows one of the things."""
    free = CROP_SIDE - side
    if rng.random() < 0.1:
        return int(rng.integers(free + 1)), int(rng.integers(free + 1))
    x, y = scene.things[int(rng.integers(len(scene.things)))].centre
    corner = [share * CROP_SIDE - side / 2 + rng.uniform(-0.3, 0.3) * side for share in (x, y)]
    return tuple(int(np.clip(value, 0, free)) for value in corner)
