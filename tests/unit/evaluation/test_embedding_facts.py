"""What can be read off an embedding: everything that is in it, and nothing that is not."""

from __future__ import annotations

import numpy as np
import pytest
from scene_samples import scenes_of, thing_at, truth_of

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.scenes.dataset import file_name
from say_what_you_see.data.scenes.scene import COLOURS, KINDS, Scene
from say_what_you_see.evaluation.embedding_facts import (
    FACING_KINDS,
    QUESTIONS,
    answers_table,
    ask_embedding,
    invent_scenes_again,
    say_facing,
)

TRAIN, VAL = scenes_of("train", 400), scenes_of("val", 120)
COLOUR, SIZE, _, FACING = QUESTIONS


def embedding_of(scenes, seed: int) -> np.ndarray:
    """Features that tell kinds and colours, and which way things look not at all."""
    features = np.random.default_rng(seed).normal(0, 0.01, (len(scenes), len(KINDS) * len(COLOURS)))
    for row, scene in enumerate(scenes):
        for thing in scene.things:
            features[row, KINDS.index(thing.kind) * len(COLOURS) + COLOURS.index(thing.colour)] += 1
    return features


@pytest.fixture(scope="module")
def splits():
    return (embedding_of(TRAIN, 0), TRAIN), (embedding_of(VAL, 1), VAL)


def test_what_is_in_the_embedding_is_read(splits):
    answered = ask_embedding(COLOUR, *splits)
    assert answered.things == sum(len(scene.things) for scene in VAL)
    assert answered.read > 0.85 > 0.3 > answered.guessed


@pytest.mark.parametrize("question", [SIZE, FACING])
def test_what_is_not_in_it_is_only_guessed(splits, question):
    answered = ask_embedding(question, *splits)
    asked = [thing for scene in VAL for thing in scene.things if thing.kind in question.kinds]
    assert answered.things == len(asked)
    assert abs(answered.read - 0.5) < 0.22


def test_facing_is_asked_of_things_that_face_somewhere():
    assert FACING.kinds == FACING_KINDS and set(FACING_KINDS) < set(KINDS)


def test_the_scenes_behind_pictures_are_found_by_name():
    fns = [file_name("val", index) for index in (3, 0)]
    scenes = invent_scenes_again(fns, "val", 0, [truth_of(VAL[3]), truth_of(VAL[0])])
    assert scenes == [VAL[3], VAL[0]]
    with pytest.raises(CourseError, match=r"scene_val_000003\.jpg shows another scene"):
        invent_scenes_again(fns, "val", 0, [truth_of(VAL[1]), truth_of(VAL[0])])
    with pytest.raises(CourseError, match="dog.jpg is not the name"):
        invent_scenes_again([fns[0], "dog.jpg"], "val", 0)


def test_the_table_has_a_line_for_each_question(splits):
    lines = answers_table([ask_embedding(question, *splits) for question in QUESTIONS]).splitlines()
    assert len(lines) == 1 + len(QUESTIONS)
    assert all(line.startswith(question.text) for line, question in zip(lines[1:], QUESTIONS, strict=True))
    assert len({len(line) for line in lines}) == 1


def test_facing_in_words():
    things = (
        thing_at("fish", "red", 0, 0),
        thing_at("sun", "red", 90, 0),
        thing_at("bird", "blue", 0, 90, flipped=True),
    )
    assert say_facing(Scene("sea", things, False, 1)) == "the fish faces right\nthe bird faces left"
    assert say_facing(Scene("sea", things[1:2], False, 1)) == ""
