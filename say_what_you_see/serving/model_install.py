"""Installs caption models that somebody else trained, and packs models to share."""

import os
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_folder, atomic_path, sha256_of, slug
from say_what_you_see.core.settings import Settings
from say_what_you_see.core.text import without_password
from say_what_you_see.data.archives import member_chunks, open_zip
from say_what_you_see.data.resources import download
from say_what_you_see.decoding.generate import generate
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.serving.captioner import Captioner, encoder_of, find_encoder_file
from say_what_you_see.serving.familiarity import FAMILIARITY_FILE
from say_what_you_see.serving.model_choice import PARTS, SHIPPED_MODELS, models_folder
from say_what_you_see.serving.model_folder import ENCODER_FILE, CaptionModel, load_caption_model, save_caption_model

_FILES = ("model.json", *PARTS, "README.md")
_ALL_PARTS = (*_FILES, FAMILIARITY_FILE, ENCODER_FILE)  # not every model has the last two
_MOST_BYTES = 2_000_000_000  # of one part; a decoder has a few million
_BY_HAND = "Check the connection and the address and run this again, or download the model yourself and install that."


def install_model(source: str, settings: Settings, name: str | None = None, checksum: str | None = None) -> Path:
    """Install a model folder; it appears only when it is complete, fits its own description, and can caption.

    Args:
        source: a folder, a zip of one, the address of such a zip, or the address of a folder on the web.
        name: what to call it here; None takes the source's name.
        checksum: 'sha256:…' of the zip, or of a folder's model.json, which holds those of the model's parts.

    Returns:
        The folder of the installed model.
    """
    if checksum and not re.fullmatch("sha256:[0-9a-f]{64}", checksum.lower()):
        raise CourseError(f"{checksum!r} is not a checksum of the form sha256:…, with 64 digits from 0 to f.")
    name = slug(name or Path(without_password(source).rstrip("/")).name.removesuffix(".zip"))
    target = models_folder(settings) / name
    if target.exists() or name in SHIPPED_MODELS:
        or_remove = f", or remove {target}" if target.exists() else ""  # the shipped ones are not there
        raise CourseError(f"There is already a model named {name!r}. Choose another --name{or_remove}.")
    with atomic_folder(target) as folder:
        try:
            _bring(source, folder, checksum)
            _try(load_caption_model(folder), folder, settings)
        except CourseError as error:  # the folder will be gone
            named = str(error).replace(str(folder / "model.zip"), source).replace(str(folder), source)
            raise CourseError(named) from error
    return target


def _bring(source: str, folder: Path, checksum: str | None) -> None:
    """Copy, unpack or download the parts of a model into a folder."""
    path, packed, known = Path(os.path.expanduser(source)), folder / "model.zip", folder / "model.json"
    if source.lower().startswith(("http://", "https://")):
        if source.lower().endswith(".zip"):
            known = download(source, packed, by_hand=_BY_HAND)
        else:
            for part in _FILES:
                download(f"{source.rstrip('/')}/{part}", folder / part, by_hand=_BY_HAND)
            if FAMILIARITY_FILE.encode() in known.read_bytes():
                download(f"{source.rstrip('/')}/{FAMILIARITY_FILE}", folder / FAMILIARITY_FILE, by_hand=_BY_HAND)
    elif source and path.is_dir():
        for part in _ALL_PARTS:
            if (path / part).is_file():
                shutil.copyfile(path / part, folder / part)
    elif source and path.exists():
        known = path
    else:
        raise CourseError(f"There is no {source}: give a folder, a zip file, or an address that starts with https://.")
    if checksum and known.exists() and f"sha256:{sha256_of(known)}" != checksum.lower():
        raise CourseError(f"{known} does not have the checksum {checksum}. Get a complete copy.")
    if known in (packed, path):
        _unpack(known, folder)
    packed.unlink(missing_ok=True)


def _unpack(zip_path: Path, folder: Path) -> None:
    """Unpack the parts of a model from a zip, wherever in it they are; nothing else is written."""
    with open_zip(zip_path) as archive:
        for part in _ALL_PARTS:
            members = [info for info in archive.infolist() if Path(info.filename).name == part and not info.is_dir()]
            if len(members) > 1:
                raise CourseError(f"{zip_path.name} holds {part} {len(members)} times; a model has only one.")
            for member in members:
                with open(folder / part, "wb") as file:
                    file.writelines(member_chunks(archive, member, _MOST_BYTES))


def _try(model: CaptionModel, folder: Path, settings: Settings) -> None:
    """Caption noise, with the model's own encoder if that came along."""
    shape = [size or 1 for size in model.decoder.inputs[0].shape[1:]]
    features = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    step_model = step_model_of(model.decoder)
    if (folder / ENCODER_FILE).exists():
        encoder = encoder_of(model, replace(settings, encoder=str(folder / ENCODER_FILE)))
        noise = np.random.default_rng(0).integers(256, size=(1, *encoder.input_shape, 3), dtype=np.uint8)
        features = Captioner(encoder, step_model, model.vocab).embed(noise)
    try:
        captions = generate(step_model, features, model.vocab)
    except Exception as error:  # Keras complains in many ways
        raise CourseError(f"{folder / 'decoder.keras'} cannot caption ({error}). Use another model.") from error
    if not np.isfinite(captions.log_probabilities).all():
        raise CourseError(f"{folder / 'decoder.keras'} gives probabilities that are not numbers (NaN).")


def missing_encoder(folder: Path, settings: Settings) -> str | None:
    """The name of the `.keras` file that a model needs but that is not found; None if nothing is missing."""
    model = load_caption_model(folder)
    try:
        if model.encoder_file:
            find_encoder_file(model, replace(settings, encoder=""))  # the next run may not name one
    except CourseError:
        return model.encoder_file
    return None


def pack_model(folder: Path, zip_path: Path, settings: Settings | None = None, half_precision: bool = False) -> Path:
    """Pack a model folder into a zip that `install_model` takes.

    Args:
        settings: with them, the encoder is packed too: the `.keras` file that they name, or the one beside the model.
        half_precision: pack the decoder's matrices as float16, which takes half the space.
    """
    model = load_caption_model(folder)
    encoder = {} if settings is None else {ENCODER_FILE: _encoder_to_pack(model, settings)}
    with TemporaryDirectory() as halved:
        if half_precision:
            folder = Path(halved)
            save_caption_model(model, folder, half_precision)
        parts = {part: folder / part for part in (*_FILES, FAMILIARITY_FILE) if (folder / part).exists()} | encoder
        with atomic_path(zip_path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, path in parts.items():
                info = zipfile.ZipInfo(f"{zip_path.stem}/{part}", (2020, 1, 1, 0, 0, 0))  # the same model, the same zip
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, path.read_bytes())
    return zip_path


def _encoder_to_pack(model: CaptionModel, settings: Settings) -> Path:
    """The file of a model's own encoder, after checking its weights."""
    if model.encoder_file is None:
        raise CourseError(
            f"The model's encoder is {model.encoder['name']}, which everybody can get: leave --with-encoder out."
        )
    path = find_encoder_file(model, settings)
    encoder_of(model, replace(settings, encoder=str(path)))
    return path
