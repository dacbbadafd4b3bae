"""From a picture to a sentence: an encoder and a decoder that belong together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from utils.architectures import next_word_model
from utils.encoder import EncoderInfo, encoder_for
from utils.errors import CourseError
from utils.generation import BeamSearch, Decoding, Greedy, NextWordModel, Sampling, generate_sentences
from utils.images import crop_and_resize
from utils.model_folder import CaptionModel, load_caption_model
from utils.settings import Settings


@dataclass(frozen=True)
class Captioner:
    """Everything that captions a picture.

    Attributes:
        encoder: turns a picture into an embedding.
        model: predicts the next word.
        vocab: word to index.
        pictures_kind: what it was trained on: "scenes" that the course drew, or "photographs".
    """

    encoder: EncoderInfo
    model: NextWordModel
    vocab: dict[str, int]
    pictures_kind: str = "photographs"

    def embed(self, images: np.ndarray) -> np.ndarray:
        """What the decoder wants to know of pictures, (n, ...): RGB from 0 to 255, (n, height, width, 3)."""
        return self.encoder.model.predict_on_batch(self.encoder.preprocess_for_model(images))


def generate_caption(
    captioner: Captioner,
    image: np.ndarray,
    t: float = 1.0,
    sample: bool = False,
    max_len: int = 20,
    rng: np.random.Generator | None = None,
    beam: int | None = None,
) -> str:
    """Caption one picture.

    Args:
        image: RGB from 0 to 255, (height, width, 3), cropped and resized for the encoder.
        t: temperature, used when sampling: the higher, the more surprising.
        sample: draw words by their probability instead of always taking the most probable one.
        max_len: stop after so many words.
        rng: source of randomness when sampling.
        beam: follow so many captions at once and return the most probable one.
    """
    how: Decoding = Sampling(t, max_len=max_len) if sample else Greedy(max_len)
    if beam is not None:
        how = BeamSearch(beam, max_len=max_len)
    return generate_sentences(captioner.model, captioner.embed(image[None]), captioner.vocab, how, rng)[0]


def load_captioner(folder: Path, settings: Settings) -> Captioner:
    """Read a model folder and the encoder that its decoder was trained with.

    Args:
        settings: where weights are looked for. Kind of pictures and encoder are the model's own; only the
            path of a `.keras` file has to be given.

    Raises:
        CourseError: if the encoder at hand is another one than the model was trained with, or has to be given.
    """
    model = load_caption_model(folder)
    encoder = encoder_of(model, settings)
    return Captioner(encoder, next_word_model(model.decoder), model.vocab, model.encoder["pictures_kind"])


def encoder_of(model: CaptionModel, settings: Settings) -> EncoderInfo:
    """The encoder that a model was trained with; refuses one with other weights."""
    known = model.encoder
    setting = known["encoder_setting"]
    if setting.endswith(".keras"):  # the model knows the file's name but not where it is; its checksum tells the rest
        if not settings.encoder.endswith(".keras"):
            raise CourseError(
                f"The model was trained with the encoder {setting}, a file of your own. Say where it is: "
                f"--encoder FOLDER/{setting}, or ENCODER=FOLDER/{setting} in the environment."
            )
        setting = settings.encoder
    features = known.get("features", "mean")
    encoder = encoder_for(replace(settings, dataset=known["pictures_kind"], encoder=setting), features)
    if encoder.weights_checksum != known["weights_checksum"]:
        raise CourseError(
            f"The model was trained with {known['name']}, weights {known['weights']}, but the encoder here has other "
            f"weights ({encoder.weights}). Bring the same weights, or train the model again."
        )
    return encoder


def read_picture(path: Path, captioner: Captioner) -> np.ndarray:
    """Read a picture file and bring it into the encoder's input shape: uint8 RGB.

    Raises:
        CourseError: if the file is missing or is no picture.
    """
    try:
        return crop_and_resize(path.read_bytes(), captioner.encoder.input_shape)
    except OSError as error:
        raise CourseError(f"Cannot read {path}: {error.strerror}.") from error
    except CourseError as error:
        raise CourseError(f"{path} is no picture that can be read: {error}") from error
