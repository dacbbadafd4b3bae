"""Which model captions where the user names none."""

from __future__ import annotations

from pathlib import Path

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
