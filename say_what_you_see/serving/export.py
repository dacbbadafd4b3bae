"""Exports a captioner: all that it takes to caption pictures, in a folder that needs no Keras to be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from say_what_you_see.core.files import atomic_folder, write_json
from say_what_you_see.decoding.generate import generate
from say_what_you_see.language.captions import invert_vocabulary
from say_what_you_see.models.numpy_decoder import NumpyDecoder
from say_what_you_see.serving.captioner import Captioner
from say_what_you_see.serving.exported import (
    DECODER_FILE,
    FACTS_FILE,
    FORMAT,
    FastCaptioner,
    exported_folder,
    model_digest,
)
from say_what_you_see.vision.encoders import affine_preprocessing
from say_what_you_see.vision.openvino import export_network

TOLERANCE = 1e-3
"""How far the exported encoder may be from Keras, relative to the largest number."""


def export_captioner(captioner: Captioner, model_folder: Path, data_folder: Path) -> str | None:
    """Export the captioner of a model folder; the export appears when it is whole and was tried.

    Returns:
        None if it was made. Else why not, which is written down as well, so that nobody waits for it again: an
        engine can refuse a network, or make other numbers of it than Keras.
    """
    folder, digest = exported_folder(model_folder, data_folder), model_digest(model_folder)
    with atomic_folder(folder) as staging:
        reason = _try(captioner, staging, digest)
        if reason:
            write_json({"model": digest, "failed": reason}, staging / FACTS_FILE)
    return reason


def _try(captioner: Captioner, folder: Path, digest: str) -> str | None:
    """Write an export and hold it against Keras; what went wrong, if anything did."""
    try:
        _write(captioner, folder, digest)
        if _agrees(FastCaptioner(folder, warm=False), captioner):
            return None
        reason = "OpenVINO gives other numbers than Keras"
    except Exception as error:  # OpenVINO's have no class in common
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
    for path in folder.iterdir():  # nobody needs half of it
        path.unlink()
    return reason


def _write(captioner: Captioner, folder: Path, digest: str) -> None:
    """Write the encoder, the decoder, and what belongs to them."""
    model, encoder = captioner.model, captioner.encoder
    export_network(encoder.model, folder / "encoder.xml")
    decoder = model.fastest()
    if isinstance(decoder, NumpyDecoder) and decoder.can_be_saved:
        decoder.save(folder / DECODER_FILE)
    else:
        export_network(model.start_model, folder / "start.xml")
        export_network(model.step_model, folder / "step.xml")
    scale, shift, reverse = affine_preprocessing(encoder.preprocess_for_model)
    facts = {
        "format": FORMAT, "model": digest, "pictures_kind": captioner.pictures_kind,
        "words": invert_vocabulary(captioner.vocab), "input_shape": list(encoder.input_shape),
        "n_states": len(model.step_model.outputs) - 1, "scale": scale, "shift": shift, "reverse_channels": reverse,
    }  # fmt: skip
    write_json(facts, folder / FACTS_FILE)


def _agrees(fast: FastCaptioner, captioner: Captioner) -> bool:
    """Whether both see the same in pictures of noise, and say the same of them."""
    noise = np.random.default_rng(0).integers(256, size=(2, *fast.input_shape, 3), dtype="uint8")
    expected, found = captioner.embed(noise), fast.embed(noise)
    if np.abs(found - expected).max() > TOLERANCE * np.abs(expected).max():
        return False
    captions = generate(captioner.model, expected, captioner.vocab)
    return np.array_equal(fast.generate(expected).indices, captions.indices)
