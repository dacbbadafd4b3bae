"""What is still in a frozen embedding, and what is lost: asked thing by thing, with nothing but weighted sums.

A decoder can only say what its embedding holds. On the scenes everything is known that was drawn, so any
question can be put to the embedding, also one that the encoder was never trained to answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.scenes.scene import KINDS, Scene, Thing, invent_scene
from say_what_you_see.evaluation.scene_truth import SceneTruth

RIDGE = 1000.0
FACING_KINDS = ("fish", "bird")
"""Things that look to one side: they are drawn facing right or, mirrored, left."""


@dataclass(frozen=True)
class Question:
    """A question about every thing of a scene.

    Attributes:
        text: the question.
        answer: gives the true answer for a thing.
        kinds: the things that it is asked about.
    """

    text: str
    answer: Callable[[Thing], Hashable]
    kinds: tuple[str, ...] = KINDS


QUESTIONS = (
    Question("which colour is it?", lambda thing: thing.colour),
    Question("is it small or large?", lambda thing: thing.size),
    Question("left or right of the middle?", lambda thing: thing.centre[0] < 0.5),
    Question("facing left or right?", lambda thing: thing.flipped, FACING_KINDS),
)
"""The scene encoder was trained to answer the first three. Nobody ever asked it the last."""


@dataclass(frozen=True)
class Answered:
    """How a question was answered on new scenes.

    Attributes:
        question: its text.
        things: how many things were asked about.
        guessed: the share that is right when always the commonest answer is given.
        read: the share that is right when the answer is read off the embedding.
    """

    question: str
    things: int
    guessed: float
    read: float


def invent_scenes_again(
    fns: Sequence[str], split: str, seed: int, truths: Sequence[SceneTruth] | None = None
) -> list[Scene]:
    """The scenes behind the pictures of the built-in data set, from their names and the seed.

    Args:
        fns: names of pictures, such as `scene_train_000012.jpg`.
        split: "train" or "val".
        seed: that the data set was drawn with.
        truths: what the pictures show, to check that the scenes are the same.

    Raises:
        CourseError: if a name is of another form, or a scene is another one.
    """
    numbers = [re.fullmatch(rf"scene_{split}_(\d+)\.jpg", fn) for fn in fns]
    if not all(numbers):
        raise CourseError(f"{fns[numbers.index(None)]} is not the name of a {split} scene that the course drew.")
    scenes = [invent_scene(split, int(number[1]), seed) for number in numbers]
    for fn, scene, truth in zip(fns, scenes, truths or [None] * len(fns), strict=True):
        if truth is not None and truth.colours != {thing.kind: thing.colour for thing in scene.things}:
            raise CourseError(f"{fn} shows another scene than seed {seed} gives. Draw the data set again.")
    return scenes


def say_facing(scene: Scene) -> str:
    """Which way the things of a scene are facing, a line for each that faces anywhere; empty where none does."""
    facing = [thing for thing in scene.things if thing.kind in FACING_KINDS]
    return "\n".join(f"the {thing.kind} faces {'left' if thing.flipped else 'right'}" for thing in facing)


def ask_embedding(
    question: Question, train: tuple[np.ndarray, Sequence[Scene]], val: tuple[np.ndarray, Sequence[Scene]]
) -> Answered:
    """Learn to answer a question with a linear probe on training scenes, and answer it on validation scenes.

    Args:
        train, val: embeddings (scenes, features) and the scenes.
    """
    scaler = StandardScaler().fit(train[0])
    answers = sorted({question.answer(thing) for _, thing in _things(train[1], question)}, key=repr)
    targets = np.zeros((len(train[1]), len(question.kinds), len(answers)))
    for row, thing in _things(train[1], question):
        targets[row, question.kinds.index(thing.kind), answers.index(question.answer(thing))] = 1
    probe = Ridge(alpha=RIDGE).fit(scaler.transform(train[0]), targets.reshape(len(targets), -1))
    scores = probe.predict(scaler.transform(val[0])).reshape(len(val[1]), len(question.kinds), len(answers))
    commonest = Counter(question.answer(thing) for _, thing in _things(train[1], question)).most_common(1)[0][0]
    asked = _things(val[1], question)
    read = [answers[scores[row, question.kinds.index(thing.kind)].argmax()] for row, thing in asked]
    truth = [question.answer(thing) for _, thing in asked]
    right = np.mean([a == b for a, b in zip(read, truth, strict=True)])
    return Answered(question.text, len(asked), float(np.mean([a == commonest for a in truth])), float(right))


def _things(scenes: Sequence[Scene], question: Question) -> list[tuple[int, Thing]]:
    """Every thing that a question is asked about, with the number of its scene."""
    return [(row, thing) for row, scene in enumerate(scenes) for thing in scene.things if thing.kind in question.kinds]


def answers_table(answered: Sequence[Answered]) -> str:
    """A line for each question."""
    lines = [f"{'':<32}{'things':>7}{'by guessing':>13}{'read off the embedding':>24}"]
    for one in answered:
        guessed, read = f"{100 * one.guessed:.1f} %", f"{100 * one.read:.1f} %"
        lines.append(f"{one.question:<32}{one.things:>7}{guessed:>13}{read:>24}")
    return "\n".join(lines)
