"""Exports what is needed, besides a model folder, to caption pictures without Keras."""

import sys
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_note, write_json
from say_what_you_see.decoding.generate import generate
from say_what_you_see.models.saved_decoder import read_saved_decoder
from say_what_you_see.serving.captioner import Captioner
from say_what_you_see.serving.fast_captioner import (
    FORMAT,
    METADATA_FILE,
    FastCaptioner,
    exported_folder,
    model_digest,
    read_exported,
)
from say_what_you_see.vision import fast_encoder
from say_what_you_see.vision.encoders import affine_preprocessing
from say_what_you_see.vision.fast_encoder import export_folder, load_or_export
from say_what_you_see.vision.openvino import OTHER_NUMBERS, agree, export_network, export_once

_NO_COPY = "No quick copy was made ({}). The model works without one."


def export_captioner(captioner: Captioner, model_folder: Path, data_folder: Path) -> str | None:
    """Export the captioner of a model folder; the export appears only when it is complete and has been tested.

    The encoder's export is shared by all models with that encoder, and by the extraction of embeddings. What is done
    and what goes wrong is said on standard error, and Ctrl-C skips it.

    Returns:
        Why there is no export; None if there is one.
    """
    encoder_folder = export_folder(captioner.encoder, data_folder)
    note = {"format": FORMAT, "model": model_digest(model_folder), "encoder": encoder_folder.name}

    def export(folder: Path) -> str | None:
        if load_or_export(captioner.encoder, encoder_folder) is None:
            if "failed" in read_note(encoder_folder / fast_encoder.METADATA_FILE):
                return "OpenVINO cannot run the encoder"
            raise CourseError("the encoder could not be exported")  # this time
        write_json(note | _write_networks(captioner, model_folder, folder), folder / METADATA_FILE)
        return None if _say_the_same(read_exported(folder, model_folder), captioner) else OTHER_NUMBERS

    note_path = exported_folder(model_folder, data_folder) / METADATA_FILE
    announcement = "Making a quick copy of this model for next time (only once; Ctrl-C skips it) ..."
    try:
        return export_once(note_path, note, export, announcement, _NO_COPY)
    except KeyboardInterrupt:
        print(_NO_COPY.format("stopped"), file=sys.stderr)
        return "stopped"


def _write_networks(captioner: Captioner, model_folder: Path, folder: Path) -> dict:
    """Write the decoder if NumPy cannot read it from its model folder; returns what else is needed to caption."""
    model = captioner.model
    if read_saved_decoder(model_folder / "decoder.keras") is None:
        export_network(model.start_model, folder / "start.xml")
        export_network(model.step_model, folder / "step.xml")
    scale, shift, reverse = affine_preprocessing(captioner.encoder.preprocess_for_model)
    preprocessing = {"scale": scale, "shift": shift, "reverse_channels": reverse}
    return {"input_shape": list(captioner.input_shape), "n_states": len(model.step_model.outputs) - 1, **preprocessing}


def _say_the_same(fast: FastCaptioner, captioner: Captioner) -> bool:
    """Whether both compute the same from images of noise, and caption them alike."""
    noise = np.random.default_rng(0).integers(256, size=(2, *fast.input_shape, 3), dtype="uint8")
    expected = captioner.embed(noise)
    own, theirs = (generate(each.model, expected, captioner.vocab).indices for each in (fast, captioner))
    return agree(fast.embed(noise), expected) and np.array_equal(own, theirs)
