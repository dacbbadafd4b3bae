"""Exports what is needed, besides a model folder, to caption pictures without Keras."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.files import atomic_folder, write_json
from say_what_you_see.decoding.generate import generate
from say_what_you_see.models.saved_decoder import read_saved_decoder
from say_what_you_see.serving.captioner import Captioner
from say_what_you_see.serving.exported import (
    FORMAT,
    METADATA_FILE,
    FastCaptioner,
    exported_folder,
    model_digest,
    read_exported,
)
from say_what_you_see.vision.encoders import affine_preprocessing
from say_what_you_see.vision.fast_encoder import TOLERANCE, export_folder, load_or_export
from say_what_you_see.vision.openvino import export_network


def export_captioner(captioner: Captioner, model_folder: Path, data_folder: Path) -> str | None:
    """Export the captioner of a model folder; the export appears only when it is complete and has been tested.

    The encoder's export is shared by all models with that encoder, and by the extraction of embeddings.

    Returns:
        None if it was made, else why not. That is noted in its place, so that it is not tried again: an engine
        can refuse a network, or compute other numbers than Keras.
    """
    encoder_folder = export_folder(captioner.encoder, data_folder)
    reason = None if load_or_export(captioner.encoder, encoder_folder) else "OpenVINO cannot run the encoder"
    metadata = {"format": FORMAT, "model": model_digest(model_folder), "encoder": encoder_folder.name}
    with atomic_folder(exported_folder(model_folder, data_folder)) as staging:
        reason = reason or _try(captioner, model_folder, staging, metadata)
        if reason:
            shutil.rmtree(staging)
            staging.mkdir()
            write_json({**metadata, "failed": reason}, staging / METADATA_FILE)
    return reason


def _try(captioner: Captioner, model_folder: Path, folder: Path, metadata: dict[str, Any]) -> str | None:
    """Write an export and compare it with Keras; returns what went wrong, if anything did."""
    try:
        _write(captioner, model_folder, folder, metadata)
        agrees = _agrees(read_exported(folder, model_folder), captioner)
    except Exception as error:  # OpenVINO's errors have no class in common
        return str(error).strip().split("\n")[0][:200] or type(error).__name__
    return None if agrees else "OpenVINO gives other numbers than Keras"


def _write(captioner: Captioner, model_folder: Path, folder: Path, metadata: dict[str, Any]) -> None:
    """Write what the encoder needs, and the decoder if NumPy cannot read it from its model folder."""
    model = captioner.model
    if read_saved_decoder(model_folder / "decoder.keras") is None:
        export_network(model.start_model, folder / "start.xml")
        export_network(model.step_model, folder / "step.xml")
    scale, shift, reverse = affine_preprocessing(captioner.encoder.preprocess_for_model)
    more = {"input_shape": list(captioner.input_shape), "n_states": len(model.step_model.outputs) - 1}
    preprocessing = {"scale": scale, "shift": shift, "reverse_channels": reverse}
    write_json(metadata | more | preprocessing, folder / METADATA_FILE)


def _agrees(fast: FastCaptioner, captioner: Captioner) -> bool:
    """Whether both compute the same from images of noise, and caption them alike."""
    noise = np.random.default_rng(0).integers(256, size=(2, *fast.input_shape, 3), dtype="uint8")
    expected = captioner.embed(noise)
    if np.abs(fast.embed(noise) - expected).max() > TOLERANCE * np.abs(expected).max():
        return False
    own, theirs = (generate(each.model, expected, captioner.vocab).indices for each in (fast, captioner))
    return np.array_equal(own, theirs)
