"""Which model captions: the one that the user names, or the one that is there. Does without Keras."""

from __future__ import annotations

from pathlib import Path

from utils.errors import CourseError
from utils.settings import REPOSITORY, Settings

SCENE_MODEL = REPOSITORY / "data" / "scene_model"
"""The trained model of the drawn scenes, which comes with the course."""

DRAWINGS_ONLY = (
    "Note: this model knows the course's drawn scenes and nothing else. Of a photograph it says something, "
    "and what it says is wrong. For photographs, train one on photographs: see README.md."
)


def default_model(settings: Settings) -> Path:
    """The model folder of the last training; before any training of the drawn scenes, the one that is shipped."""
    if (settings.model_folder / "model.json").exists() or settings.dataset != "scenes":
        return settings.model_folder
    return SCENE_MODEL


def models_folder(settings: Settings) -> Path:
    """Where installed models are."""
    return settings.data_folder / "models"


def find_model(name: str | Path, settings: Settings) -> Path:
    """The folder of a model: a path, or the name of an installed one.

    Raises:
        CourseError: if it is neither.
    """
    path, installed = Path(name), models_folder(settings) / str(name)
    if path.exists() or len(path.parts) > 1:
        return path
    if not installed.exists():
        known = ", ".join(installed_models(settings)) or "none"
        raise CourseError(
            f"There is no model {name!r}: neither such a folder, nor an installed model (there: {known})."
        )
    return installed


def installed_models(settings: Settings) -> list[str]:
    """The names of the installed models."""
    return sorted(path.parent.name for path in models_folder(settings).glob("*/model.json"))
