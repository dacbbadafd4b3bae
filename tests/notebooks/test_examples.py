"""Examples out of a zip: the right picture, under the right words."""

import numpy as np
import pytest
from hostile_files import write_zip

from say_what_you_see.course.features import load_embeddings
from say_what_you_see.page.demo import encode_png
from say_what_you_see.serving.captioner import generate_caption, load_captioner
from say_what_you_see.vision.pictures import read_pictures
from utils import pictures as examples
from utils.pictures import show_training_example, show_valid_example

COLOURS = {"sky.png": (60, 120, 250), "grass.png": (40, 180, 60), "fire.png": (250, 90, 20)}
CAPTIONS = [["a blue sky", "nothing but sky"], ["green grass"], ["fire", "a fire burns"]]


@pytest.fixture
def shown(monkeypatch) -> list[tuple]:
    """What would be shown: pictures, titles and the alternative text."""
    calls = []
    monkeypatch.setattr(
        examples, "show_pictures", lambda pictures, titles, alt, **_: calls.append((pictures, titles, alt))
    )
    return calls


@pytest.mark.parametrize("example_idx", range(3))
def test_a_training_example_stands_under_its_captions(example_idx, tmp_path, shown):
    """Names and captions may come in another order than the pictures of the zip."""
    members = {"train/notes.txt": b"no picture"}
    for name, colour in COLOURS.items():
        picture = np.full((30, 50, 3), (255, 0, 0), np.uint8)
        picture[:, 10:40] = colour  # the middle, which is shown
        members[f"train/{name}"] = encode_png(picture)
    zip_fn = write_zip(tmp_path / "pictures.zip", members)
    show_training_example(zip_fn, list(COLOURS)[::-1], CAPTIONS[::-1], example_idx)
    [([picture], [title], alt)] = shown
    assert picture.shape == (30, 30, 3) and (picture == list(COLOURS.values())[example_idx]).all()
    assert title.splitlines() == CAPTIONS[example_idx]
    assert all(caption in alt for caption in CAPTIONS[example_idx])


def test_a_validation_example_stands_under_the_models_caption(finished_course, shown):
    settings = finished_course.settings
    captioner, (_, fns) = load_captioner(settings.model_folder, settings), load_embeddings(settings, "val")
    val_zip = settings.dataset_folder / "val_scenes.zip"
    show_valid_example(captioner, val_zip, fns, 5)
    [([picture], [title], alt)] = shown
    np.testing.assert_array_equal(picture, read_pictures(val_zip, [fns[5]], 24)[0])
    assert title == generate_caption(captioner, picture)
    assert alt.endswith(title) and len(alt) > len(title)
