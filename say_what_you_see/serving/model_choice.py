"""Chooses the model to caption with: the one that the user names, or the one that is there. Does not import Keras."""

from pathlib import Path
from typing import Any, NamedTuple

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import MAX_MODEL_JSON, read_json, sha256_of, write_json
from say_what_you_see.core.settings import DEFAULT_ENCODER, SHIPPED, Settings
from say_what_you_see.core.text import visible
from say_what_you_see.language.captions import END, PAD, START, UNK
from say_what_you_see.serving.familiarity import FAMILIARITY_FILE, Familiarity, read_familiarity

PHOTO_MODEL, SCENE_MODEL = SHIPPED / "photo_model", SHIPPED / "scene_model"
SHIPPED_MODELS = {"photos": PHOTO_MODEL, "scenes": SCENE_MODEL}
"""The trained models for photographs and for the drawn scenes that come with the course, by name."""

DRAWINGS_ONLY = (
    "Note: this model knows only the course's drawn scenes. What it says about a photograph is wrong. "
    "For photographs, use the model that comes with the course: --model photos."
)

FORMAT = 1
"""The format of model folders."""

PARTS = ("decoder.keras", "vocabulary.json")
"""What each model folder has besides its model.json and its card."""

_ENCODER_KEYS = {"name", "weights", "weights_checksum", "pictures_kind", "encoder_setting"}
_LAST = "last_training.json"
_LONGEST_WORD = 1000


def remember_training(settings: Settings, folder: Path) -> None:
    """Note that a training with these settings was the last one: its model folder is the one to caption with."""
    model = folder.relative_to(settings.data_folder).as_posix()
    note = {"model": model, "encoder": settings.encoder, "pictures": settings.pictures_kind}
    write_json(note, settings.data_folder / _LAST)


class LastTraining(NamedTuple):
    """What `remember_training` noted."""

    folder: Path  # of the model
    encoder: str  # its setting
    of_scenes: bool  # whether the model knows only the drawn scenes


def last_training(settings: Settings) -> LastTraining | None:
    """The last training in this data folder; None if there is none."""
    try:
        last = read_json(settings.data_folder / _LAST)
        folder, encoder = settings.data_folder / last["model"], str(last["encoder"])
        pictures = last.get("pictures", last["model"].partition("/")[0].removesuffix("_small"))  # older notes lack it
        found = LastTraining(folder, encoder, pictures == "scenes")
        return found if (folder / "model.json").is_file() else None
    except (CourseError, KeyError, TypeError):
        return None


def default_model(settings: Settings) -> Path:
    """The model folder that goes with the settings; with the default ones, that of the last training on photographs, or
    else the model for photographs that is shipped.
    """
    last = last_training(settings)
    if settings.dataset != "scenes":
        return last.folder if last and last.folder.is_relative_to(settings.work_folder) else settings.model_folder
    if settings.encoder != DEFAULT_ENCODER:
        return last.folder if last and last.encoder == settings.encoder else settings.model_folder
    return last.folder if last and not last.of_scenes else PHOTO_MODEL


def introduction(folder: Path, settings: Settings) -> str:
    """A line that says which model captions."""
    last = last_training(settings)
    for name, shipped in SHIPPED_MODELS.items():
        if folder == shipped:
            return f"Model: {name}, which comes with the course."
    return f"Model: {'that of the last training, ' if last and folder == last.folder else ''}{folder}"


def models_folder(settings: Settings) -> Path:
    """Where installed models are."""
    return settings.data_folder / "models"


def find_model(name: str | Path, settings: Settings) -> Path:
    """The folder of a model: a path, or the name of one that is shipped or installed."""
    if str(name) in SHIPPED_MODELS:
        return SHIPPED_MODELS[str(name)]
    path, installed = Path(name), models_folder(settings) / str(name)
    if path.suffix == ".zip" and path.is_file():
        raise CourseError(f"{path} is a packed model. Install it first: say-what-you-see model install {path}")
    if path.exists() or len(path.parts) > 1:
        return path
    if not installed.exists():
        known = ", ".join([*SHIPPED_MODELS, *installed_models(settings)])
        raise CourseError(f"There is no model {name!r}: neither a folder nor a model of that name ({known}).")
    return installed


def installed_models(settings: Settings) -> list[str]:
    """The names of the installed models."""
    return sorted(path.parent.name for path in models_folder(settings).glob("[!.]*/model.json"))


def describe_models(settings: Settings) -> str:
    """A table of the models that are shipped or installed."""
    installed = {name: models_folder(settings) / name for name in installed_models(settings)}
    return "\n".join(f"{name:<24} {_describe(folder)}" for name, folder in (SHIPPED_MODELS | installed).items())


def _describe(folder: Path) -> str:
    try:
        metadata = read_metadata(folder)
    except CourseError as error:
        return f"cannot be used: {error}"
    loss = metadata.get("scores", {}).get("val_loss")
    shown = f"validation loss {loss:.3f}" if isinstance(loss, float) else ""
    return f"{metadata.get('dataset', '?')!s:<16} {metadata['encoder']['name']:<26} {shown}".rstrip()


def read_parts(folder: Path) -> tuple[dict[str, Any], dict[str, int], Familiarity | None]:
    """The model.json of a model folder, its vocabulary and, if it has one, its familiarity.

    Raises:
        CourseError: if a part is damaged, or any part but the card has changed since it was written.
    """
    metadata, path = read_metadata(folder), folder / FAMILIARITY_FILE
    checksums = metadata["checksums"]
    for name in [*PARTS, FAMILIARITY_FILE] if path.name in checksums else PARTS:
        if not (folder / name).is_file() or sha256_of(folder / name) != checksums.get(name):
            raise CourseError(f"{folder / name} is missing or does not belong to this model. Copy the folder again.")
    familiarity = read_familiarity(path) if path.name in checksums else None
    return metadata, read_vocabulary(folder / "vocabulary.json"), familiarity


def read_metadata(folder: Path) -> dict[str, Any]:
    """The model.json of a model folder, after a check that it has everything that this version of the course reads.

    Raises:
        CourseError: if it does not.
    """
    metadata = read_json(folder / "model.json", MAX_MODEL_JSON)
    if not _is_known(metadata):
        raise CourseError(f"{folder / 'model.json'} has a format that this version of the course does not know.")
    return metadata


def _is_known(metadata: Any) -> bool:
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        return False
    encoder, scores = metadata.get("encoder"), metadata.get("scores", {})
    if not (isinstance(encoder, dict) and isinstance(scores, dict) and isinstance(metadata.get("checksums"), dict)):
        return False
    numbers = all(isinstance(score, int | float) for score in scores.values())
    return numbers and all(isinstance(encoder.get(key), str) for key in _ENCODER_KEYS)


def read_vocabulary(path: Path) -> dict[str, int]:
    """Word to index, from a list of words that are checked: somebody else's model could hold anything."""
    words = read_json(path, MAX_MODEL_JSON)
    if not isinstance(words, list) or not all(isinstance(word, str) and len(word) <= _LONGEST_WORD for word in words):
        raise CourseError(f"{path} is not a list of words. Copy the folder again.")
    if strange := [word for word in words if not word or visible(word) != word or len(word.split()) != 1]:
        raise CourseError(f"{path} holds {strange[0]!r}, which is not a word. Copy the folder again.")
    vocab = {word: index for index, word in enumerate(words)}
    if len(vocab) != len(words):
        raise CourseError(f"{path} lists a word twice. Copy the folder again.")
    if missing := [token for token in (PAD, UNK, START, END) if token not in vocab]:
        raise CourseError(f"{path} lacks {', '.join(missing)}.")
    return vocab
