"""Captions images with a checkpoint of im2txt's model, and prints them as im2txt does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.text import visible
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import BeamSearch
from say_what_you_see.language.captions import indices_to_sentence, invert_vocabulary
from say_what_you_see.models.image_to_text import image_to_text_step_model
from say_what_you_see.training.scale.folder import ScaleModel, load_scale_model
from say_what_you_see.vision.sources import image_file


@dataclass(frozen=True)
class CaptionWithProbability:
    """A caption, and the probability of all its words and its end together."""

    sentence: str
    probability: float


class ScaleCaptioner:
    """A trained model, ready to caption images by beam search, without normalisation by length."""

    def __init__(self, trained: ScaleModel) -> None:
        self.trained = trained
        self.step_model = image_to_text_step_model(trained.model)

    def caption(self, images: np.ndarray, k: int = 3, max_len: int = 20) -> list[list[CaptionWithProbability]]:
        """The k most probable captions of each image, the best first.

        Args:
            images: (images, side, side, 3), from -1 to 1.
            k: how many captions the search follows, and returns.
            max_len: captions end after so many words.
        """
        vocab, words = self.trained.vocab, invert_vocabulary(self.trained.vocab)
        result = generate(self.step_model, images, vocab, BeamSearch(k, max_len=max_len), batch_size=32)
        captions = []
        for candidates, log_probabilities in zip(result.indices, result.log_probabilities, strict=True):
            sentences = [indices_to_sentence(indices, words) for indices in candidates]
            pairs = zip(sentences, np.exp(log_probabilities).tolist(), strict=True)
            captions.append(
                [CaptionWithProbability(sentence, probability) for sentence, probability in pairs if probability]
            )
        return captions


def read_photo(path: Path, side: int) -> np.ndarray:
    """Read an image file as the records' images are read: centre square, resized, float32 from -1 to 1.

    Raises:
        CourseError: if the file is missing or is no image.
    """
    return image_file(path).squares((side, side))[0].astype(np.float32) / 127.5 - 1


def run_inference(checkpoint: Path, photos: Sequence[Path], k: int = 3, max_len: int = 20) -> int:
    """Caption image files and print the captions; a bad image is reported on stderr and the rest goes on.

    Args:
        checkpoint: a checkpoint, or a folder of them: then the latest.

    Returns:
        The exit status: 1 if an image could not be read, else 0.

    Raises:
        CourseError: if there is no such checkpoint, or if it is damaged.
    """
    captioner, status = ScaleCaptioner(load_scale_model(checkpoint)), 0
    for path in photos:
        try:
            image = read_photo(path, captioner.trained.config.side)
        except CourseError as error:
            print(f"Error: {error}", file=sys.stderr)
            status = 1
            continue
        print(visible(format_captions(path, captioner.caption(image[None], k, max_len)[0])), flush=True)
    return status


def format_captions(path: Path, captions: Sequence[CaptionWithProbability]) -> str:
    """The captions of an image in the form of im2txt's own program."""
    lines = [f"  {rank}) {caption.sentence} (p={caption.probability:f})" for rank, caption in enumerate(captions)]
    return "\n".join([f"Captions for image {path.name}:", *lines])
