"""Scenes that are invented, not photographed: what is in each one, and where.

A scene is a place with one to three things in it. Everything follows from a seed, so that the built-in data set is the
same everywhere.
"""

import hashlib
import itertools
from dataclasses import dataclass

import numpy as np

RGB = tuple[int, ...]

CROP_SIDE = 300
"""Side of the centre crop in pixels. Every thing lies inside this square."""

LONG_SIDE = 400
"""The longer side of a picture in pixels; the shorter one is `CROP_SIDE`."""

KINDS = ("sun", "cloud", "tree", "house", "boat", "car", "ball", "kite", "fish", "bird", "balloon", "flower")
PALETTE: dict[str, RGB] = {
    "red": (214, 39, 40), "orange": (255, 140, 20), "yellow": (250, 222, 50), "green": (40, 160, 60),
    "blue": (40, 90, 220), "purple": (140, 60, 190), "black": (32, 32, 36), "white": (248, 248, 248),
}  # fmt: skip
"""The colours of things; `captions.COLOUR_WORDS` has further words for some. Models know those they were trained on.

A new colour changes every scene, since the random stream shifts: `python -m tools.train_scene_encoder` and then
`make notebooks` must train and run everything anew.
"""

COLOURS = tuple(PALETTE)
SIZES = ("small", "large")
PLACES = ("meadow", "beach", "sea", "night", "snow", "desert")
RELATIONS = ("above", "below", "left of", "right of")

KINDS_IN_PLACE = {
    "meadow": ("sun", "cloud", "tree", "house", "car", "ball", "kite", "bird", "balloon", "flower"),
    "beach": ("sun", "cloud", "tree", "boat", "ball", "kite", "fish", "bird", "balloon", "car"),
    "sea": ("sun", "cloud", "boat", "ball", "kite", "fish", "bird", "balloon"),
    "night": ("cloud", "tree", "house", "car", "ball", "bird", "balloon", "flower"),
    "snow": ("sun", "cloud", "tree", "house", "car", "ball", "kite", "bird", "flower"),
    "desert": ("sun", "cloud", "tree", "house", "car", "ball", "kite", "balloon", "flower"),
}

UNSEEN_PAIRS = frozenset({
    ("purple", "fish"), ("green", "sun"), ("black", "kite"), ("orange", "cloud"), ("blue", "car"),
    ("white", "flower"), ("red", "tree"), ("yellow", "boat"), ("green", "bird"), ("purple", "house"),
})  # fmt: skip
"""A tenth of the colour-and-thing pairs: they occur in validation and test scenes only."""

RELATION_MARGIN = 0.15
"""Centres must differ by this fraction of the crop's side for a relation to hold."""

_ASPECT = {  # width divided by height
    "sun": 1.0, "cloud": 1.6, "tree": 0.75, "house": 1.0, "boat": 1.0, "car": 1.8,
    "ball": 1.0, "kite": 0.7, "fish": 1.7, "bird": 1.5, "balloon": 0.65, "flower": 0.65,
}  # fmt: skip
_LONGEST_SIDE = {"small": (46, 58), "large": (88, 108)}
_HEIGHT_RANGE = {
    "sun": (0.1, 0.45), "cloud": (0.1, 0.5), "kite": (0.1, 0.75), "bird": (0.1, 0.75), "balloon": (0.1, 0.75),
}  # fmt: skip
_GROUND_RANGE = (0.42, 0.92)
_ONLY_BY_WATER = ("boat", "fish")  # only two places have them, so they are made more frequent there
_GAP = 8
_SPLIT_CODE = {"train": 0, "val": 1, "test": 2}


@dataclass(frozen=True)
class Thing:
    """One thing in a scene; the box is (left, top, width, height) in pixels of the centre crop."""

    kind: str
    colour: str
    size: str
    box: tuple[int, int, int, int]
    flipped: bool = False

    @property
    def pair(self) -> tuple[str, str]:
        """The colour and the kind."""
        return self.colour, self.kind

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y) as fractions of the crop's side."""
        left, top, width, height = self.box
        return (left + width / 2) / CROP_SIDE, (top + height / 2) / CROP_SIDE


@dataclass(frozen=True)
class Scene:
    """A place with things in it: large ones first, then from left to right; `seed` drives drawing and wording."""

    place: str
    things: tuple[Thing, ...]
    portrait: bool
    seed: int

    @property
    def specification(self) -> tuple:
        """What the scene shows, without positions: no specification from training occurs in another split."""
        return self.place, tuple(sorted((t.kind, t.colour, t.size) for t in self.things))

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return (CROP_SIDE, LONG_SIDE) if self.portrait else (LONG_SIDE, CROP_SIDE)

    @property
    def crop_offset(self) -> tuple[int, int]:
        """Left and top of the centre crop in the picture."""
        width, height = self.image_size
        return (width - CROP_SIDE) // 2, (height - CROP_SIDE) // 2


def relations_between(subject: Thing, other: Thing) -> dict[str, float]:
    """Relations that hold between two things, up to two at once, with their margins as fractions of the crop's side."""
    dx = other.centre[0] - subject.centre[0]
    dy = other.centre[1] - subject.centre[1]
    margins = {"left of": dx, "right of": -dx, "above": dy, "below": -dy}
    return {relation: margin for relation, margin in margins.items() if margin >= RELATION_MARGIN}


def split_of(specification: tuple) -> str:
    """The split that a specification belongs to: 'val' for about one in six, by its hash, or 'train'.

    Test scenes have specifications of 'val' too, so that only chance distinguishes the two.
    """
    digest = hashlib.sha256(repr(specification).encode()).digest()
    return "val" if digest[0] % 6 == 0 else "train"


def invent_scene(split: str, index: int, seed: int = 0) -> Scene:
    """Invent scene number `index` of a split ('train', 'val' or 'test'); the same arguments give the same scene.

    Every tenth validation or test scene holds exactly one pair from `UNSEEN_PAIRS`; no other scene holds any.
    """
    rng = np.random.default_rng([seed, _SPLIT_CODE[split], index])
    n_unseen = int(split != "train" and index % 10 == 9)
    others = "train" if split == "train" else "val"
    while True:
        scene = _random_scene(rng, n_unseen)
        if scene is None or split_of(scene.specification) != others:
            continue
        if sum(thing.pair in UNSEEN_PAIRS for thing in scene.things) == n_unseen:
            return scene


def _random_scene(rng: np.random.Generator, n_unseen: int) -> Scene | None:
    """A scene of random things, or None if there was no room for them."""
    place = str(rng.choice(PLACES))
    count = int(rng.choice([1, 2, 3], p=[0.25, 0.45, 0.3]))
    candidates = KINDS_IN_PLACE[place]
    weights = np.array([2.0 if kind in _ONLY_BY_WATER else 1.0 for kind in candidates])
    kinds = rng.choice(candidates, size=count, replace=False, p=weights / weights.sum())
    pairs = [(str(rng.choice(COLOURS)), str(kind)) for kind in kinds]
    if n_unseen:  # rejection alone would take long to find one
        fitting = sorted(pair for pair in UNSEEN_PAIRS if pair[1] == pairs[0][1])
        if not fitting:
            return None
        pairs[0] = fitting[int(rng.integers(len(fitting)))]
    things: list[Thing] = []
    for colour, kind in pairs:
        thing = _place_thing(kind, colour, str(rng.choice(SIZES)), things, rng)
        if thing is None:
            return None
        things.append(thing)
    things.sort(key=lambda thing: (thing.size == "small", thing.centre[0]))
    return Scene(place, tuple(things), bool(rng.random() < 0.2), int(rng.integers(2**31)))


def _place_thing(kind: str, colour: str, size: str, others: list[Thing], rng: np.random.Generator) -> Thing | None:
    """Put a thing where it overlaps no other; None if no free spot was found."""
    longest = int(rng.integers(*_LONGEST_SIDE[size]))
    aspect = _ASPECT[kind]
    width, height = (longest, round(longest / aspect)) if aspect >= 1 else (round(longest * aspect), longest)
    lowest, highest = _HEIGHT_RANGE.get(kind, _GROUND_RANGE)
    for _ in range(20):
        left = int(rng.integers(4, CROP_SIDE - width - 4))
        top = int(rng.uniform(lowest, highest) * CROP_SIDE - height / 2)
        top = min(max(top, 4), CROP_SIDE - height - 4)
        box = (left, top, width, height)
        if not any(_overlap(box, other.box) for other in others):
            return Thing(kind, colour, size, box, bool(rng.random() < 0.5))
    return None


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    """Whether two boxes come closer than the gap that is kept between things."""
    return all(a[i] < b[i] + b[i + 2] + _GAP and b[i] < a[i] + a[i + 2] + _GAP for i in (0, 1))


def all_relations(scene: Scene) -> list[tuple[int, str, int]]:
    """Every relation that holds in a scene, as (index of subject, relation, index of object)."""
    pairs = itertools.permutations(range(len(scene.things)), 2)
    return [(i, relation, j) for i, j in pairs for relation in relations_between(scene.things[i], scene.things[j])]
