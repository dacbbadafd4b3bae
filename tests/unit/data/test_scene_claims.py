"""The claims of captions are read word by word, and what scenes show from the instances JSON."""

import json
import zipfile

import pytest
from scene_samples import scenes_of, truth_of

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.dataset import file_name, instances_json
from say_what_you_see.data.scenes.truth import read_scene_truths, recreate_scenes


def read(caption: str) -> tuple[list[tuple[str, str | None, str | None]], list[tuple[str, str, str]]]:
    """Things with colour and size, and relations between kinds."""
    claims = read_claims(caption)
    kinds = [mention.kind for mention in claims.mentions]
    return (
        [(mention.kind, mention.colour, mention.size) for mention in claims.mentions],
        [(kinds[subject], relation, kinds[other]) for subject, relation, other in claims.relations],
    )


@pytest.mark.parametrize(("caption", "things"), [
    ("A small red ball at the beach.", [("ball", "red", "small")]),
    ("a huge violet ship and an automobile", [("boat", "purple", "large"), ("car", None, None)]),
    ("the red ball is near a kite", [("ball", "red", None), ("kite", None, None)]),
    ("a ball, a kite and a fish", [("ball", None, None), ("kite", None, None), ("fish", None, None)]),
    ("a red and a blue kite", [("kite", "blue", None)]),
    ("red, says the tiny orange flower", [("flower", "orange", "small")]),
    ("blue #UNK# kite", [("kite", None, None)]),
    ("in the desert at night", []),
    ("", []),
])  # fmt: skip
def test_things_are_read_with_their_adjectives(caption, things):
    assert read(caption) == (things, [])


@pytest.mark.parametrize(("caption", "relation"), [
    ("a red ball above a blue kite", ("ball", "above", "kite")),
    ("a ball beneath the big kite at sea", ("ball", "below", "kite")),
    ("a kite flying to the left of a small white ball", ("kite", "left of", "ball")),
    ("below a kite there is a ball", ("ball", "below", "kite")),
    ("to the right of a blue kite there is a tiny red ball", ("ball", "right of", "kite")),
    ("a large house with a green ball to the left of it", ("ball", "left of", "house")),
    ("at the beach there is a ball under a kite, and also a fish", ("ball", "below", "kite")),
])  # fmt: skip
def test_relations_are_read(caption, relation):
    things, relations = read(caption)
    assert relations == [relation]
    assert {relation[0], relation[2]} <= {kind for kind, _, _ in things}


@pytest.mark.parametrize("caption", [
    "a ball under the stars",
    "a bird over the water near a boat",
    "under the stars there is a ball and a kite",
    "a ball above",
    "to the left of it",
    "a ball on the right and a kite",
])  # fmt: skip
def test_what_relates_nothing_is_no_relation(caption):
    assert read(caption)[1] == []


def test_truths_come_back_from_the_instances_json(tmp_path):
    scenes = scenes_of("val", 40)
    captions = [describe_scene(scene) for scene in scenes]
    with zipfile.ZipFile(tmp_path / "captions.zip", "w") as archive:
        archive.writestr("instances.json", json.dumps(instances_json("val", scenes, captions)))
    truths = read_scene_truths(tmp_path / "captions.zip", "instances.json")
    assert list(truths) == [file_name("val", index) for index in range(len(scenes))]
    for truth, scene, group in zip(truths.values(), scenes, captions, strict=True):
        expected = truth_of(scene, group)
        assert (truth.colours, truth.sizes) == (expected.colours, expected.sizes)
        assert (truth.relations, truth.salient) == (expected.relations, expected.salient)
        assert truth.boxes.keys() == expected.boxes.keys()
        for kind, box in truth.boxes.items():
            assert box == pytest.approx(expected.boxes[kind])


def test_the_scenes_behind_pictures_are_found_by_name():
    val = scenes_of("val", 4)
    fns = [file_name("val", index) for index in (3, 0)]
    scenes = recreate_scenes(fns, "val", 0, [truth_of(val[3]), truth_of(val[0])])
    assert scenes == [val[3], val[0]]
    with pytest.raises(CourseError, match=r"scene_val_000003\.jpg does not show the scene"):
        recreate_scenes(fns, "val", 0, [truth_of(val[1]), truth_of(val[0])])
    with pytest.raises(CourseError, match="dog.jpg is not the name"):
        recreate_scenes([fns[0], "dog.jpg"], "val", 0)
