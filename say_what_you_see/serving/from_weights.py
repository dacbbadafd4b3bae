"""Captioners straight from the weights of a model folder and of its encoder's package: no Keras, and no export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from say_what_you_see.core.files import slug
from say_what_you_see.language.captions import END, PAD, START, UNK
from say_what_you_see.models.saved_decoder import read_saved_decoder
from say_what_you_see.models.step import StepModel
from say_what_you_see.serving.exported import FastCaptioner
from say_what_you_see.serving.familiarity import Familiarity
from say_what_you_see.serving.model_choice import read_parts
from say_what_you_see.vision.efficientnet_lite import (
    FEATURE_SIZE,
    VARIANTS,
    checksum_of,
    preprocess_input,
    read_blocks,
)
from say_what_you_see.vision.efficientnet_lite_networks import openvino_encoder
from say_what_you_see.vision.openvino import ParallelNetwork, openvino_is_installed

if TYPE_CHECKING:
    import openvino


def load_from_weights(model_folder: Path, data_folder: Path) -> FastCaptioner | None:
    """The captioner of a model folder with EfficientNet-Lite and a bottlenecked LSTM or a transformer; None for others
    and for damaged ones. What OpenVINO compiles is kept in the data folder.

    Raises:
        CourseError: if the package with the encoder's weights is missing; says how to install it.
    """
    try:
        model = _read_model(model_folder)
    except Exception:  # a damaged model can raise almost anything; Keras takes longer but says what is wrong
        model = None
    if model is None or not openvino_is_installed():
        return None
    encoder, decoder, vocab, familiarity = model
    network = _read_encoder(encoder, data_folder)
    if network is None:
        return None

    def embed(images: np.ndarray) -> np.ndarray:
        return network(map(preprocess_input, images))  # one by one, which takes less memory

    side = VARIANTS[encoder["name"]].input_size
    return FastCaptioner(embed, decoder, (side, side), vocab, encoder["pictures_kind"], familiarity)


def _read_encoder(encoder: dict[str, Any], data_folder: Path) -> ParallelNetwork | None:
    """A model's encoder, compiled before or described by its package; None if that has other weights, or cannot run."""

    def describe() -> openvino.Model:
        blocks = read_blocks(encoder["name"])
        if checksum_of(blocks) != encoder["weights_checksum"]:
            raise ValueError("other weights")
        network = openvino_encoder(encoder["name"], blocks, encoder["features"])
        network.reshape([1, side, side, 3])
        return network

    side = VARIANTS[encoder["name"]].input_size
    kept = f"{encoder['name']}_{encoder['features']}_{encoder['weights_checksum'][:12]}"
    try:
        return ParallelNetwork.described(describe, data_folder / "exported" / "compiled" / slug(kept))
    except (RuntimeError, ValueError):
        return None


def _read_model(folder: Path) -> tuple[dict[str, Any], StepModel, dict[str, int], Familiarity | None] | None:
    """Encoder, decoder, vocabulary and familiarity of a model folder; None if it is another kind of model. Raises
    almost any exception if a part is damaged or does not fit the others.
    """
    metadata, vocab, familiarity = read_parts(folder)
    encoder = metadata["encoder"]
    if encoder["name"] not in VARIANTS or encoder["features"] not in ("mean", "grid"):
        return None
    decoder = read_saved_decoder(folder / "decoder.keras")
    if decoder is None:
        return None
    features = np.zeros((1, FEATURE_SIZE) if encoder["features"] == "mean" else (1, 1, FEATURE_SIZE), np.float32)
    logits, _ = decoder.step(np.array([vocab[START]]), decoder.start(features))
    if familiarity:
        familiarity.doubts(features)
    fits = logits.shape == (1, len(vocab)) and {PAD, UNK, END} <= set(vocab)
    return (encoder, decoder, vocab, familiarity) if fits else None
