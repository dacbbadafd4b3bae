"""Captions pictures with a checkpoint of im2txt's model, and prints them as im2txt does."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.text import visible
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import BeamSearch
from say_what_you_see.language.captions import indices_to_sentence, invert_vocabulary
from say_what_you_see.models.image_to_text import image_to_text_step_model
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.training.scale.folder import TrainedModel, load_trained_model
from say_what_you_see.vision.pictures import crop_and_resize, read_pictures

BATCH = 32


@dataclass(frozen=True)
class CaptionWithProbability:
    """A caption, and the probability of all its words and its end together."""

    sentence: str
    probability: float


class ScaleCaptioner:
    """A trained model, ready to caption pictures by beam search, without normalisation by length.

    Attributes:
        trained: the model with its vocabulary.
        step_model: the same layers, rearranged to predict one word at a time.
    """

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained
        self.step_model: KerasStepModel = image_to_text_step_model(trained.model)

    def caption(self, pictures: np.ndarray, k: int = 3, max_len: int = 20) -> list[list[CaptionWithProbability]]:
        """The k most probable captions of each picture, the best first.

        Args:
            pictures: (pictures, side, side, 3), from -1 to 1.
            k: how many captions the search follows, and returns.
            max_len: captions end after so many words.
        """
        vocab, words = self.trained.vocab, invert_vocabulary(self.trained.vocab)
        found = generate(self.step_model, pictures, vocab, BeamSearch(k, max_len=max_len), batch_size=BATCH)
        probabilities = np.exp(found.log_probabilities)
        return [
            [
                CaptionWithProbability(indices_to_sentence(row, words), float(p))
                for row, p in zip(rows, ps, strict=True)
                if p
            ]
            for rows, ps in zip(found.indices, probabilities, strict=True)
        ]


def read_photo(path: Path, side: int) -> np.ndarray:
    """Read a picture file as the records' pictures are read: centre square, resized, float32 from -1 to 1.

    Raises:
        CourseError: if the file is missing or is no picture.
    """
    try:
        return crop_and_resize(path.read_bytes(), (side, side)).astype(np.float32) / 127.5 - 1
    except OSError as error:
        raise CourseError(f"Cannot read {path}: {error.strerror}.") from error
    except CourseError as error:
        raise CourseError(f"{path} is no picture that can be read: {error}") from error


def read_pictures_of_zip(zip_fn: str | Path, fns: Sequence[str], side: int) -> np.ndarray:
    """Read pictures out of a zip as the records' pictures are read: (pictures, side, side, 3) from -1 to 1."""
    return np.stack([picture.astype(np.float32) / 127.5 - 1 for picture in read_pictures(zip_fn, fns, side)])


def run_inference(checkpoint: Path, photos: Sequence[Path], k: int = 3, max_len: int = 20) -> int:
    """Caption picture files and print the captions; a bad picture is reported on stderr and the rest goes on.

    Args:
        checkpoint: a checkpoint, or a folder of them: then the latest.

    Returns:
        The exit status: 1 if a picture could not be read, else 0.

    Raises:
        CourseError: if there is no such checkpoint, or if it is damaged.
    """
    captioner = ScaleCaptioner(load_trained_model(checkpoint))
    status = 0
    for path, picture in _readable(photos, captioner.trained.config.side):
        if picture is None:
            status = 1
            continue
        print(visible(format_captions(path, captioner.caption(picture[None], k, max_len)[0])), flush=True)
    return status


def _readable(photos: Sequence[Path], side: int) -> Iterator[tuple[Path, np.ndarray | None]]:
    """Each picture, or None where it cannot be read, which is reported."""
    for path in photos:
        try:
            yield path, read_photo(path, side)
        except CourseError as error:
            print(f"Error: {error}", file=sys.stderr)
            yield path, None


def format_captions(path: Path, captions: Sequence[CaptionWithProbability]) -> str:
    """The captions of a picture in the form of im2txt's own program."""
    lines = [f"  {rank}) {found.sentence} (p={found.probability:f})" for rank, found in enumerate(captions)]
    return "\n".join([f"Captions for image {path.name}:", *lines])
