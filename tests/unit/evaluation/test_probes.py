"""Linear probes read what an embedding holds, and nothing that it does not hold."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hostile_files import write_zip
from scene_samples import scenes_of

from say_what_you_see.data.coco_format import DatasetFiles
from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.dataset import file_name, instances_json
from say_what_you_see.data.scenes.scene import COLOURS, KINDS, UNSEEN_PAIRS, Scene
from say_what_you_see.evaluation.probes import (
    PROBE_QUESTIONS,
    Embedded,
    probe_captions,
    probe_embedding,
    probe_kinds,
    probe_words,
)

SCENES = {"train": scenes_of("train", 600), "val": scenes_of("val", 100)}
NAMES = {split: [file_name(split, index) for index in range(len(scenes))] for split, scenes in SCENES.items()}
COLOUR, SIZE, _, FACING = PROBE_QUESTIONS


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> DatasetFiles:
    """The instances of the scenes; nothing is drawn."""
    captions = {split: [describe_scene(scene) for scene in scenes] for split, scenes in SCENES.items()}
    members = {f"{split}.json": json.dumps(instances_json(split, SCENES[split], captions[split])) for split in SCENES}
    path, nowhere = write_zip(tmp_path_factory.mktemp("probe") / "captions.zip", members), Path("nowhere.zip")
    return DatasetFiles(nowhere, nowhere, path, "", "", "", "", "train.json", "val.json")


def pairs_shown(scenes: list[Scene]) -> np.ndarray:
    """Features that say which thing has which colour, with some noise; each is there many times over."""
    pairs = list(product(COLOURS, KINDS))
    shown = [[pair in {(t.colour, t.kind) for t in scene.things} for pair in pairs] for scene in scenes]
    noise = np.random.default_rng(len(scenes)).normal(0, 0.05, (len(scenes), 20 * len(pairs)))
    return np.tile(np.array(shown, dtype=float), 20) + noise


@pytest.fixture(scope="module")
def embedded() -> list[Embedded]:
    """Both splits, with the file names of the scenes."""
    return [(pairs_shown(scenes), NAMES[split]) for split, scenes in SCENES.items()]


def test_embeddings_that_hold_the_answers(files, embedded):
    found = re.fullmatch(r".*kinds.* (\d+) %.*\n.*colour.* (\d+) %.*", probe_kinds(files, *embedded))
    kinds, colours = (int(share) / 100 for share in found.groups())
    unseen = np.mean([any((t.colour, t.kind) in UNSEEN_PAIRS for t in scene.things) for scene in SCENES["val"]])
    assert kinds > 0.85
    assert 0.85 < colours <= 1 - unseen, "of a pair that no training scene has, nothing can be learned"


def test_a_probe_captions_scenes_whose_embeddings_hold_the_answers(files, embedded):
    captions = probe_captions(files, *embedded)
    right = [
        set(caption.split(" and ")) == {f"a {thing.colour} {thing.kind}" for thing in scene.things}
        for caption, scene in zip(captions, SCENES["val"], strict=True)
    ]
    assert np.mean(right) > 0.7


def test_words_are_read_off_embeddings_that_hold_them():
    rng = np.random.default_rng(0)
    shows_dog = rng.random(300) < 0.3
    captions = [["a dog runs", "the dog"] if dog else ["a cat", "a cat sits"] for dog in shows_dog]
    embeddings = shows_dog[:, None] + rng.normal(0, 0.05, (300, 20))
    report = probe_words(["dog", "horse"], (embeddings[:200], captions[:200]), (embeddings[200:], captions[200:]))
    _, line = report.splitlines()
    share = f"{100 * shows_dog[200:].mean():.0f} %"
    assert line.split() == ["dog", *share.split(), "100", "%"], "of a word that no picture has there is no line"


@pytest.mark.parametrize("question", [COLOUR, SIZE, FACING])
def test_what_is_in_the_embedding_is_read_and_the_rest_is_only_guessed(question):
    train, val = SCENES["train"][:400], SCENES["val"]
    result = probe_embedding(question, (pairs_shown(train), train), (pairs_shown(val), val))
    assert result.things == len([thing for scene in val for thing in scene.things if thing.kind in question.kinds])
    if question is COLOUR:
        assert result.probe_accuracy > 0.85 > 0.3 > result.majority_accuracy
    else:
        assert abs(result.probe_accuracy - 0.5) < 0.22
