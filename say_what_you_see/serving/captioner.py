"""From a picture to a sentence: an encoder and a decoder that belong together."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.decoding.samplers import Greedy, Sampler, Sampling
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.serving.familiarity import Familiarity
from say_what_you_see.serving.model_choice import last_training
from say_what_you_see.serving.model_folder import ENCODER_FILE, CaptionModel, load_caption_model
from say_what_you_see.vision.encoders import EncoderInfo, encoder_for, with_features
from say_what_you_see.vision.sources import image_file

_UNCOMPILED_BATCHES = 2
"""The number of batches encoded before the encoder is compiled, which takes as long as several of them."""


@dataclass
class Captioner:
    """Everything that is needed to caption a picture."""

    encoder: EncoderInfo  # turns a picture into an embedding
    model: KerasStepModel  # predicts the next word
    vocab: dict[str, int]  # word to index
    pictures_kind: str = "photographs"  # or "scenes" that the course drew: what it was trained on
    familiarity: Familiarity | None = None  # recognises pictures unlike its training data
    _batches: int = field(default=0, init=False, repr=False, compare=False)

    @property
    def input_shape(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.encoder.input_shape

    def embed(self, images: np.ndarray) -> np.ndarray:
        """The features of images, (n, ...), from RGB from 0 to 255, (n, height, width, 3)."""
        pixels = self.encoder.preprocess_for_model(images)
        self._batches += 1
        if self._batches <= _UNCOMPILED_BATCHES:
            return keras.ops.convert_to_numpy(self.encoder.model(pixels, training=False))
        return self.encoder.model.predict_on_batch(pixels)

    def compile_encoder(self) -> None:
        """Compile the encoder, to be ready for many pictures, one after the other."""
        self._batches = _UNCOMPILED_BATCHES
        self.embed(np.zeros((1, *self.input_shape, 3), dtype="uint8"))


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
        max_len: stop after this many words.
        rng: source of randomness when sampling.
        beam: follow this many captions at once and return the most probable one.
    """
    sampler: Sampler = Sampling(t, max_len=max_len) if sample else Greedy(max_len)
    if beam is not None:
        sampler = BeamSearch(beam, max_len=max_len)
    return generate_sentences(captioner.model, captioner.embed(image[None]), captioner.vocab, sampler, rng)[0]


def load_captioner(folder: Path, settings: Settings) -> Captioner:
    """Read a model folder and the encoder that its decoder was trained with.

    Args:
        settings: where to look for weights. The kind of pictures and the encoder are the model's own; only
            the path of a `.keras` file has to be given.

    Raises:
        CourseError: if the encoder here is not the one that the model was trained with, or has to be given.
    """
    model = load_caption_model(folder)
    return captioner_of(model, encoder_of(model, settings))


def captioner_of(model: CaptionModel, encoder: EncoderInfo) -> Captioner:
    """A model together with its encoder."""
    kind = model.encoder["pictures_kind"]
    return Captioner(encoder, step_model_of(model.decoder), model.vocab, kind, model.familiarity)


def encoder_of(model: CaptionModel, settings: Settings, loaded: Sequence[EncoderInfo] = ()) -> EncoderInfo:
    """The encoder that a model was trained with; refuses one with other weights.

    Args:
        loaded: encoders that are already loaded: one with the model's weights is used again.
    """
    known, features = model.encoder, model.encoder.get("features", "mean")
    for encoder in loaded:
        if encoder.weights_checksum == known["weights_checksum"] and encoder.features != "fc2":
            return with_features(encoder, features)
    setting = str(find_encoder_file(model, settings)) if model.encoder_file else known["encoder_setting"]
    encoder = encoder_for(replace(settings, dataset=known["pictures_kind"], encoder=setting), features)
    if encoder.weights_checksum != known["weights_checksum"]:
        raise CourseError(
            f"The model was trained with {known['name']}, weights {known['weights']}, but the encoder here has other "
            f"weights ({encoder.weights}). Get the same weights, or train the model again."
        )
    return encoder


def find_encoder_file(model: CaptionModel, settings: Settings) -> Path:
    """The `.keras` file of a model's encoder: the one in the settings, or beside the model, or in the data folder.

    Raises:
        CourseError: if it is in none of these places; the message says where to put it.
    """
    if settings.encoder.endswith(".keras"):
        return Path(settings.encoder)
    name = Path(str(model.encoder_file)).name
    places, last = [settings.data_folder / name], last_training(settings)
    if model.folder:
        places.insert(0, model.folder / ENCODER_FILE)
    if last and last.folder == model.folder:
        places.append(Path(last.encoder))
    for path in places:
        if path.is_file():
            return path
    raise CourseError(
        f"The model was trained with the encoder {name}, which is a file. Say where it is: "
        f"--encoder FOLDER/{name}, or ENCODER=FOLDER/{name} in the environment. Or put it into {settings.data_folder}, "
        "where it will be found."
    )


def read_picture(path: Path, captioner: Captioner) -> np.ndarray:
    """Read a picture file and bring it into the encoder's input shape: uint8 RGB.

    Raises:
        CourseError: if the file is missing or is not a picture.
    """
    return image_file(path).squares(captioner.input_shape)[0]
