"""Brings in caption models that somebody else trained, and packs one's own to give away."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, sha256_of, slug
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.archives import open_zip, read_member
from say_what_you_see.data.resources import download
from say_what_you_see.serving.captioner import encoder_of, find_encoder_file
from say_what_you_see.serving.familiarity import FAMILIARITY_FILE
from say_what_you_see.serving.model_choice import models_folder
from say_what_you_see.serving.model_folder import ENCODER_FILE, CaptionModel, load_caption_model

PARTS = ("model.json", "decoder.keras", "vocabulary.json", "README.md")
_ALL_PARTS = (*PARTS, FAMILIARITY_FILE, ENCODER_FILE)  # not every model has the last two
_MOST_BYTES = 2_000_000_000  # of one part; a decoder has a few million


def install_model(source: str, settings: Settings, name: str | None = None, checksum: str | None = None) -> Path:
    """Install a model folder; it appears only when it is whole, and what it says of itself holds.

    Args:
        source: a folder, a zip of one, the address of such a zip, or the address of a folder on the web.
        name: what to call it here; None takes the source's name.
        checksum: 'sha256:…' of the zip, where its publisher gives one.

    Returns:
        The folder of the installed model.
    """
    name = slug(name or Path(source.rstrip("/")).name.removesuffix(".zip"))
    target = models_folder(settings) / name
    if target.exists():
        raise CourseError(f"There is a model {name!r} already. Remove {target}, or give --name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".installing_", dir=target.parent) as temporary:
        folder = Path(temporary) / name
        folder.mkdir()
        _bring(source, folder, Path(temporary), checksum)
        model = load_caption_model(folder)  # checks checksums, vocabulary and decoder, and runs no code of the file's
        if (folder / ENCODER_FILE).exists():
            encoder_of(model, replace(settings, encoder=str(folder / ENCODER_FILE)))  # is it the model's own?
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
            if FAMILIARITY_FILE.encode() in (folder / "model.json").read_bytes():
                download(f"{source.rstrip('/')}/{FAMILIARITY_FILE}", folder / FAMILIARITY_FILE)
        return
    path = Path(source).expanduser()
    if path.is_dir():
        for part in _ALL_PARTS:
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
        for part in _ALL_PARTS:
            members = [info for info in archive.infolist() if Path(info.filename).name == part and not info.is_dir()]
            if len(members) > 1:
                raise CourseError(f"{zip_path.name} holds {part} {len(members)} times; a model has one.")
            for member in members:
                (folder / part).write_bytes(read_member(archive, member, _MOST_BYTES))


def missing_encoder(folder: Path, settings: Settings) -> str | None:
    """The name of the `.keras` file that a model needs and that is not found, None where nothing is missing."""
    model = load_caption_model(folder)
    try:
        if model.encoder_file:
            find_encoder_file(model, replace(settings, encoder=""))  # whatever this run was told, the next one is not
    except CourseError:
        return model.encoder_file
    return None


def pack_model(folder: Path, zip_path: Path, settings: Settings | None = None) -> Path:
    """Pack a model folder into a zip that `install_model` takes.

    Args:
        settings: with them the encoder is packed, too: the `.keras` file that they name, or that lies beside the model.
    """
    model = load_caption_model(folder)
    parts = {part: folder / part for part in (*PARTS, FAMILIARITY_FILE) if (folder / part).exists()}
    if settings is not None:
        parts[ENCODER_FILE] = _encoder_to_pack(model, settings)
    with atomic_path(zip_path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, path in parts.items():
            info = zipfile.ZipInfo(f"{zip_path.stem}/{part}", (2020, 1, 1, 0, 0, 0))  # the same model, the same zip
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())
    return zip_path


def _encoder_to_pack(model: CaptionModel, settings: Settings) -> Path:
    """The file of a model's own encoder, after a look at its weights."""
    if model.encoder_file is None:
        raise CourseError(
            f"The model's encoder is {model.encoder['name']} of Keras, which everybody has: leave --with-encoder out."
        )
    path = find_encoder_file(model, settings)
    encoder_of(model, replace(settings, encoder=str(path)))
    return path
