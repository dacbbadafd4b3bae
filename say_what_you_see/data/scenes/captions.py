"""Describes a scene in five sentences, as five people would; none says anything that is not in the scene."""

from collections.abc import Sequence

import numpy as np

from say_what_you_see.data.scenes.scene import COLOURS, KINDS, Scene, Thing, relations_between

CAPTIONS_PER_SCENE = 5

NOUNS: dict[str, tuple[str, ...]] = {kind: (kind,) for kind in KINDS} | {
    "house": ("house", "house", "cottage", "home"), "boat": ("boat", "boat", "sailboat", "ship"),
    "car": ("car", "car", "automobile"), "flower": ("flower", "flower", "blossom"),
}  # fmt: skip
"""The words for each kind of thing; a word listed twice is used twice as often."""

COLOUR_WORDS: dict[str, tuple[str, ...]] = {colour: (colour,) for colour in COLOURS} | {
    "purple": ("purple", "purple", "violet")
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
RELATION_WORDS: dict[str, tuple[str, ...]] = {
    "above": ("above", "above", "over"), "below": ("below", "below", "under", "beneath"),
    "left of": ("to the left of", "to the left of", "left of"),
    "right of": ("to the right of", "to the right of", "right of"),
}  # fmt: skip
PLACE_WORDS: dict[str, tuple[str, ...]] = {
    "meadow": ("in a meadow", "in the countryside", "in a grassy field"),
    "beach": ("at the beach", "by the seaside", "at the shore"),
    "sea": ("at sea", "out on the ocean", "on open water"),
    "night": ("at night", "on a starry night", "in the dark"),
    "snow": ("in the snow", "on a winter day", "in winter"),
    "desert": ("in the desert", "among the dunes", "in a sandy place"),
}
_PARTICIPLES = {  # only what is true of every picture of the thing
    "sun": "shining", "kite": "flying", "balloon": "floating", "cloud": "drifting",
    "car": "parked", "flower": "blooming", "tree": "standing", "house": "standing",
}  # fmt: skip
_UNRELATED: dict[int, tuple[str, ...]] = {  # templates by how many things they mention
    1: ("{a}", "{a} {place}", "{a} {place}", "there is {a} {place}", "{place} there is {a}", "a picture of {a}",
        "a drawing of {a} {place}", "{a} {participle} {place}", "you can see {a} {place}"),
    2: ("{a} and {b}", "{a} and {b} {place}", "{a} and {b} {place}", "there is {a} and {b} {place}",
        "{place} there is {a} and {b}", "a picture of {a} and {b}", "you can see {a} and {b}"),
    3: ("{a}, {b} and {c}", "{a}, {b} and {c} {place}", "{a}, {b} and {c} {place}",
        "{place} there is {a}, {b} and {c}", "you can see {a}, {b} and {c} {place}"),
}  # fmt: skip
_RELATED: dict[int, tuple[str, ...]] = {
    2: ("{a} {relation} {b}", "{a} {relation} {b}", "{a} {relation} {b} {place}", "{a} {relation} {b} {place}",
        "{a} {participle} {relation} {b}", "{inverse} {a} there is {b}", "{a} with {b} {inverse} it"),
    3: ("{a} {relation} {b} and there is also {c}", "{place} there is {a} {relation} {b}, and also {c}"),
}  # fmt: skip
_INVERSE = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}
_RELATION_PROBABILITY = {2: 0.6, 3: 0.4}
_COUNT_PROBABILITIES = {1: (1.0, 0, 0), 2: (0.12, 0.88, 0), 3: (0.1, 0.35, 0.55)}


def describe_scene(scene: Scene) -> list[str]:
    """Five sentences about a scene, all different if the grammar allows; the same scene gives the same five."""
    rng = np.random.default_rng([scene.seed, 1])
    captions: list[str] = []
    attempts = 0
    while len(captions) < CAPTIONS_PER_SCENE:
        caption = _sentence(scene, rng)
        attempts += 1
        if caption not in captions or attempts > 50:
            captions.append(caption)
    return captions


def _sentence(scene: Scene, rng: np.random.Generator) -> str:
    """One sentence: choose what to mention, then the words for it."""
    things = _choose_things(scene, rng)
    if rng.random() < 0.06:  # 'the ball is red and the kite is blue'
        statements = [f"the {_pick(NOUNS[t.kind], rng)} is {_pick(COLOUR_WORDS[t.colour], rng)}" for t in things[:2]]
        words = " and ".join(statements)
    else:
        words = _fill_template(scene, things, rng)
    return words[0].upper() + words[1:] + "."


def _choose_things(scene: Scene, rng: np.random.Generator) -> list[Thing]:
    """The things that a sentence mentions: mostly large ones first, and from left to right."""
    available = len(scene.things)
    count = 1 + int(rng.choice(3, p=_COUNT_PROBABILITIES[available]))
    if rng.random() < 0.9:
        return list(scene.things[:count])
    return [scene.things[i] for i in rng.permutation(available)[:count]]


def _fill_template(scene: Scene, things: list[Thing], rng: np.random.Generator) -> str:
    """A sentence from a template that fits the things and, often, a relation between the first two."""
    relation = _choose_relation(things, rng)
    templates = (_RELATED if relation else _UNRELATED)[len(things)]
    participle = _PARTICIPLES.get(things[0].kind)
    template = _pick([t for t in templates if participle or "{participle}" not in t], rng)
    with_colours = rng.random() < 0.92
    nouns = [_noun_phrase(thing, with_colours, rng) for thing in things]
    return template.format(
        **dict(zip("abc", nouns, strict=False)),
        participle=participle,
        place=_pick(PLACE_WORDS[scene.place], rng),
        relation=_pick(RELATION_WORDS[relation], rng) if relation else "",
        inverse=_pick(RELATION_WORDS[_INVERSE[relation]], rng) if relation else "",
    )


def _choose_relation(things: list[Thing], rng: np.random.Generator) -> str | None:
    """A relation that holds between the first two things: mostly the more obvious one."""
    if len(things) < 2 or rng.random() >= _RELATION_PROBABILITY[len(things)]:
        return None
    margins = relations_between(things[0], things[1])
    if not margins:
        return None
    if rng.random() < 0.85:
        return max(margins, key=margins.__getitem__)
    return _pick(sorted(margins), rng)


def _noun_phrase(thing: Thing, with_colour: bool, rng: np.random.Generator) -> str:
    """'a small red ball', with or without the size and the colour."""
    words = [_pick(NOUNS[thing.kind], rng)]
    if with_colour:
        words.insert(0, _pick(COLOUR_WORDS[thing.colour], rng))
    if rng.random() < 0.25:
        words.insert(0, _pick(SIZE_WORDS[thing.size], rng))
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words])


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
