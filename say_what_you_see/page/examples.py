"""What the page has to offer: the models that have been trained, and pictures to choose from."""

import itertools
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.archives import image_members, open_zip, read_member
from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.drawing import draw_scene
from say_what_you_see.data.scenes.scene import Scene, invent_scene
from say_what_you_see.models.numpy_transformer import NumpyTransformer
from say_what_you_see.page.demo import Demo, ExamplePicture, encode_png
from say_what_you_see.page.steps import DemoModel
from say_what_you_see.serving.fast_captioner import NetworkStepModel, load_fast_captioner
from say_what_you_see.serving.model_choice import PHOTO_MODEL, default_model

EXAMPLES = 12
_ADVANCED = {"visual_attention": "Visual attention", "transformer": "Transformer", "show_and_tell": "Show and tell"}


def make_demo(settings: Settings, folder: Path | None = None) -> Demo:
    """Load models and pictures for the page.

    Args:
        folder: a model folder; None takes all models that have been trained with these settings, or else the
            one that comes with the course.

    Raises:
        CourseError: if the model cannot be loaded. Of several, those that can be loaded are used.
    """
    models = [load_demo_model("The model", folder, settings)] if folder else trained_models(settings)
    kinds = {model.captioner.pictures_kind for model in models}
    if kinds == {"scenes"}:
        return Demo(models, drawn_scenes())
    return Demo(models, validation_pictures(settings) if settings.pictures_kind == "photographs" else [])


def load_demo_model(name: str, folder: Path, settings: Settings, others: Sequence[DemoModel] = ()) -> DemoModel:
    """Read a model folder and its encoder: without Keras where that is possible, else like `load_captioner`.

    Args:
        others: models that are already loaded; those with the same weights share one encoder.
    """
    fast = load_fast_captioner(folder, settings.data_folder)
    if fast and not isinstance(fast.model, NetworkStepModel):  # which cannot tell where it looks
        return DemoModel(name, fast, fast.model.attention_grids if isinstance(fast.model, NumpyTransformer) else None)
    from say_what_you_see.decoding.attended_captions import attention_grids
    from say_what_you_see.models.attention import attention_model
    from say_what_you_see.serving.captioner import Captioner, captioner_of, encoder_of
    from say_what_you_see.serving.model_folder import load_caption_model

    model = load_caption_model(folder)
    loaded = [other.captioner.encoder for other in others if isinstance(other.captioner, Captioner)]
    captioner = captioner_of(model, encoder_of(model, settings, loaded))
    attends = model.decoder.name in ("visual_attention", "transformer")
    return DemoModel(name, captioner, partial(attention_grids, attention_model(model.decoder)) if attends else None)


def trained_models(settings: Settings) -> list[DemoModel]:
    """The models that have been trained, those that show where they look first."""
    models: list[DemoModel] = []
    for name, title in _ADVANCED.items():
        folder = settings.work_folder / name / "model"
        try:
            if (folder / "model.json").exists():
                models.append(load_demo_model(title, folder, settings, models))
        except CourseError as error:
            print(f"Left out: {title}. {error}", file=sys.stderr)
    folder = default_model(settings)
    if models and not (folder / "model.json").exists():
        return models
    name = "Photographs" if folder == PHOTO_MODEL else "Decoder"
    return [*models, load_demo_model(name, folder, settings, models)]


def drawn_scenes() -> list[ExamplePicture]:
    """Validation scenes, drawn anew: with one, two and three things in turn, each number in different places."""
    chosen: dict[tuple[int, str], Scene] = {}
    for index in itertools.takewhile(lambda _: len(chosen) < EXAMPLES, itertools.count()):
        scene = invent_scene("val", index, seed=0)  # that of the data set
        if len(scene.things) == 1 + len(chosen) % 3:
            chosen.setdefault((len(scene.things), scene.place), scene)
    return [
        ExamplePicture(f"Scene {number}", encode_png(np.asarray(draw_scene(scene))), describe_scene(scene))
        for number, scene in enumerate(chosen.values(), 1)
    ]


def validation_pictures(settings: Settings) -> list[ExamplePicture]:
    """Some validation pictures of the data set, if it is already there; nothing is downloaded."""
    folders = [settings.dataset_folder, *([Path(settings.dataset)] if Path(settings.dataset).is_absolute() else [])]
    zips = [path for folder in folders for path in sorted(folder.glob("val*.zip"))]
    if not zips:
        return []
    members = image_members(zips[0])
    chosen = [members[index] for index in np.unique(np.linspace(0, len(members) - 1, EXAMPLES).astype(int))]
    with open_zip(zips[0]) as archive:
        return [ExamplePicture(PurePosixPath(member.filename).name, read_member(archive, member)) for member in chosen]
