"""Brings in caption models that somebody else trained, and packs one's own to give away."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from utils.downloads import download
from utils.errors import CourseError
from utils.files import atomic_path, read_json, sha256_of, slug
from utils.images import open_zip
from utils.model_folder import load_caption_model
from utils.settings import Settings

PARTS = ("model.json", "decoder.keras", "vocabulary.json", "README.md")
_MOST_BYTES = 2_000_000_000  # of one part; a decoder has a few million


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


def install_model(source: str, settings: Settings, name: str | None = None, checksum: str | None = None) -> Path:
    """Install a model folder; it appears only when it is whole, and what it says of itself holds.

    Args:
        source: a folder, a zip of one, the address of such a zip, or the address of a folder on the web.
        name: what to call it here; None takes the source's name.
        checksum: 'sha256:…' of the zip, where its publisher gives one.

    Returns:
        The folder of the installed model.

    Raises:
        CourseError: if it cannot be had, is no model folder, or is damaged.
    """
    name = slug(name or Path(source.rstrip("/")).name.removesuffix(".zip"))
    target = models_folder(settings) / name
    if target.exists():
        raise CourseError(f"There is a model {name!r} already ({target}). Remove it, or give --name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".installing_", dir=target.parent) as temporary:
        folder = Path(temporary) / name
        folder.mkdir()
        _bring(source, folder, Path(temporary), checksum)
        load_caption_model(folder)  # checks checksums, vocabulary and decoder, and runs no code of the file's
        os.replace(folder, target)
    return target


def _bring(source: str, folder: Path, temporary: Path, checksum: str | None) -> None:
    """Put the parts of a model into a folder."""
    if source.lower().startswith(("http://", "https://")):
        if source.lower().endswith(".zip"):
            _unpack(download(source, temporary / "model.zip", checksum=checksum), folder)
        else:
            for part in PARTS:
                download(f"{source.rstrip('/')}/{part}", folder / part)
        return
    path = Path(source).expanduser()
    if path.is_dir():
        for part in PARTS:
            if (path / part).is_file():
                shutil.copyfile(path / part, folder / part)
    elif path.exists():
        if checksum and sha256_of(path) != checksum.removeprefix("sha256:").lower():
            raise CourseError(f"{path} has another checksum than {checksum}. Bring a whole copy.")
        _unpack(path, folder)
    else:
        raise CourseError(f"There is no {source}: give a folder, a zip file, or an address that starts with https://.")


def _unpack(zip_path: Path, folder: Path) -> None:
    """Take the parts of a model from a zip, wherever in it they are; nothing else is written."""
    with open_zip(zip_path) as archive:
        for part in PARTS:
            members = [info for info in archive.infolist() if Path(info.filename).name == part and not info.is_dir()]
            if len(members) > 1:
                raise CourseError(f"{zip_path.name} holds {part} {len(members)} times; a model has one.")
            for member in members:
                if member.file_size > _MOST_BYTES:
                    raise CourseError(f"{part} in {zip_path.name} is too large to be part of a caption model.")
                with archive.open(member) as packed, open(folder / part, "wb") as file:
                    shutil.copyfileobj(packed, file)


def pack_model(folder: Path, zip_path: Path) -> Path:
    """Pack a model folder into a zip that `install_model` takes.

    Raises:
        CourseError: if the folder holds no whole model.
    """
    load_caption_model(folder)
    with atomic_path(zip_path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in PARTS:
            if (folder / part).exists():
                info = zipfile.ZipInfo(f"{zip_path.stem}/{part}", (2020, 1, 1, 0, 0, 0))  # the same model, the same zip
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, (folder / part).read_bytes())
    return zip_path


def describe_models(settings: Settings) -> str:
    """A table of the installed models."""
    rows = []
    for name in installed_models(settings):
        facts = read_json(models_folder(settings) / name / "model.json")
        loss = facts.get("scores", {}).get("val_loss")
        shown = f"validation loss {loss:.3f}" if isinstance(loss, float) else ""
        rows.append(f"{name:<24} {facts.get('dataset', '?'):<16} {facts['encoder']['name']:<14} {shown}".rstrip())
    return "\n".join(rows) or "No models are installed. `python -m utils model install URL` brings one in."
