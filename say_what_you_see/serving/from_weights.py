"""Captioners straight from weights, those of a model folder and of its encoder's package: no Keras, and no export."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, sha256_of
from say_what_you_see.models.saved_decoder import read_saved_decoder
from say_what_you_see.serving.exported import FastCaptioner
from say_what_you_see.serving.familiarity import read_familiarity
from say_what_you_see.vision.efficientnet_lite import VARIANTS, checksum_of, preprocess_input, read_blocks
from say_what_you_see.vision.efficientnet_lite_networks import openvino_encoder
from say_what_you_see.vision.openvino import Network, openvino_is_installed

_IMAGES_AT_ONCE = 4
"""So many images are in the encoder together: what it computes of each takes memory."""


def load_from_weights(model_folder: Path, data_folder: Path) -> FastCaptioner | None:
    """The captioner of a model folder with a bottlenecked LSTM and EfficientNet-Lite; None for others, or damaged ones.

    OpenVINO keeps what it compiles in the data folder, for a quicker start.

    Raises:
        CourseError: if the package with the encoder's weights is missing; says how to install it.
    """
    try:
        metadata = read_json(model_folder / "model.json")
        encoder, checksums = metadata["encoder"], metadata["checksums"]
        name, parts = encoder["name"], ("decoder.keras", "vocabulary.json")
        if name not in VARIANTS or encoder["features"] != "mean" or not openvino_is_installed():
            return None
        if any(sha256_of(model_folder / part) != checksums[part] for part in parts):
            return None
        decoder, familiarity = read_saved_decoder(model_folder / parts[0]), read_familiarity(model_folder)
        words = read_json(model_folder / parts[1])
    except (CourseError, OSError, LookupError, TypeError, ValueError):
        return None  # with Keras it takes longer to say what is wrong
    blocks = read_blocks(name)
    if decoder is None or checksum_of(blocks) != encoder["weights_checksum"]:
        return None
    network = Network(openvino_encoder(name, blocks), data_folder / "exported" / "compiled")

    def embed(images: np.ndarray) -> np.ndarray:
        portions = [images[first : first + _IMAGES_AT_ONCE] for first in range(0, len(images), _IMAGES_AT_ONCE)]
        return np.concatenate([network(preprocess_input(portion))[0] for portion in portions])

    vocab = {word: index for index, word in enumerate(words)}
    return FastCaptioner(embed, decoder, tuple(encoder["input_shape"]), vocab, encoder["pictures_kind"], familiarity)
