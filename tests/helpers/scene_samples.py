"""Scenes with their captions and truths, invented but not drawn, for tests."""

from collections.abc import Sequence

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.scene import CROP_SIDE, Scene, Thing, all_relations, invent_scene
from say_what_you_see.data.scenes.truth import SceneTruth

BALL_AND_KITE = SceneTruth(
    colours={"ball": "red", "kite": "blue"},
    sizes={"ball": "large", "kite": "small"},
    relations=frozenset({("kite", "above", "ball"), ("ball", "below", "kite"), ("ball", "left of", "kite"),
                         ("kite", "right of", "ball")}),
    salient=frozenset({"ball", "kite"}),
)  # fmt: skip
"""A small blue kite above and to the right of a large red ball."""


def scenes_of(split: str, count: int, seed: int = 0) -> list[Scene]:
    """The first scenes of a split."""
    return [invent_scene(split, index, seed) for index in range(count)]


def truth_of(scene: Scene, captions: Sequence[str] | None = None) -> SceneTruth:
    """What a scene shows, taken from the scene itself and not from any file."""
    things = scene.things
    mentioned = [{mention.kind for mention in read_claims(c).mentions} for c in captions or describe_scene(scene)]
    return SceneTruth(
        colours={thing.kind: thing.colour for thing in things},
        sizes={thing.kind: thing.size for thing in things},
        relations=frozenset((things[i].kind, relation, things[j].kind) for i, relation, j in all_relations(scene)),
        salient=frozenset(t.kind for t in things if sum(t.kind in kinds for kinds in mentioned) >= 3),
        boxes={thing.kind: tuple(side / CROP_SIDE for side in thing.box) for thing in things},
    )


def thing_at(kind: str, colour: str, left: int, top: int, width: int = 80, height: int = 60, **options) -> Thing:
    """A thing with a box of our choice."""
    return Thing(kind, colour, options.pop("size", "large"), (left, top, width, height), **options)
