"""What the page in the browser has to offer: the models that have been trained, and pictures to pick from."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path, PurePosixPath

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.archives import image_members, open_zip, read_member
from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.drawing import draw_scene
from say_what_you_see.data.scenes.scene import PLACES, Scene, invent_scene
from say_what_you_see.page.core import Demo, DemoModel, ExamplePicture, encode_png, load_demo_model
from say_what_you_see.serving.model_choice import default_model

EXAMPLES = 12
_SCENES_SEED = 0  # the built-in data set's
_ADVANCED = {"visual_attention": "Visual attention", "show_and_tell": "Show and tell"}


def make_demo(settings: Settings, folder: Path | None = None) -> Demo:
    """Load models and pictures.

    Args:
        folder: a model folder; None takes all models that have been trained with these settings, or else the
            one that comes with the course.

    Raises:
        CourseError: if the model cannot be loaded. Of several, those that can be loaded are taken.
    """
    models = [load_demo_model("The model", folder, settings)] if folder else trained_models(settings)
    kinds = {model.captioner.pictures_kind for model in models}
    return Demo(models, drawn_scenes() if kinds == {"scenes"} else validation_pictures(settings))


def trained_models(settings: Settings) -> list[DemoModel]:
    """The models that notebooks have left, the one that shows where it looks first."""
    advanced = {title: settings.work_folder / name / "model" for name, title in _ADVANCED.items()}
    models = []
    for title, folder in advanced.items():
        if (folder / "model.json").exists():
            try:
                models.append(load_demo_model(title, folder, settings, models))
            except CourseError as error:
                print(f"Left out: {title}. {error}", file=sys.stderr)
    folder = default_model(settings)
    if models and not (folder / "model.json").exists():
        return models
    return [*models, load_demo_model("Decoder", folder, settings, models)]


def drawn_scenes(count: int = EXAMPLES) -> list[ExamplePicture]:
    """Validation scenes, drawn anew: with one thing, with two and with three in turn, each from all places."""
    chosen: list[Scene] = []
    seen: set[tuple[int, str]] = set()
    invented = (invent_scene("val", index, _SCENES_SEED) for index in itertools.count())
    while len(chosen) < min(count, 3 * len(PLACES)):
        scene = next(invented)
        kind = len(scene.things), scene.place
        if kind[0] == 1 + len(chosen) % 3 and kind not in seen:
            chosen.append(scene)
            seen.add(kind)
    return [_drawn(scene, number) for number, scene in enumerate(chosen, 1)]


def _drawn(scene: Scene, number: int) -> ExamplePicture:
    return ExamplePicture(f"Scene {number}", encode_png(np.asarray(draw_scene(scene))), describe_scene(scene))


def validation_pictures(settings: Settings, count: int = EXAMPLES) -> list[ExamplePicture]:
    """Some pictures of the data set's validation side, where it is there already; nothing is downloaded."""
    places = [settings.dataset_folder, *([Path(settings.dataset)] if Path(settings.dataset).is_absolute() else [])]
    zips = [path for place in places for path in sorted(place.glob("val*.zip"))]
    if not zips:
        return []
    members = image_members(zips[0])
    rows = np.unique(np.linspace(0, len(members) - 1, count).astype(int))
    with open_zip(zips[0]) as archive:
        return [
            ExamplePicture(PurePosixPath(members[row].filename).name, read_member(archive, members[row]))
            for row in rows
        ]
