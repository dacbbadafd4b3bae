"""Captions images with a checkpoint of im2txt's model, and prints them as im2txt does."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.text import visible
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import generate
from say_what_you_see.serving.caption_photos import sentences_with_probabilities
from say_what_you_see.training.scale.folder import ScaleModel, load_scale_model
from say_what_you_see.vision.sources import image_file


def caption_images(
    trained: ScaleModel, images: np.ndarray, k: int = 3, max_len: int = 20
) -> list[list[tuple[str, float]]]:
    """The k most probable captions of each image, the best first, by beam search without length normalisation.

    Args:
        images: (images, side, side, 3), from -1 to 1.
        k: how many captions the search follows, and returns.
        max_len: captions end after this many words.
    """
    generated = generate(trained.step_model, images, trained.vocab, BeamSearch(k, max_len=max_len), batch_size=32)
    return sentences_with_probabilities(generated, trained.vocab)


def run_inference(checkpoint: Path, photos: Sequence[Path], k: int = 3, max_len: int = 20) -> int:
    """Caption image files and print the captions; a bad image is reported on stderr and the others are captioned.

    Args:
        checkpoint: a checkpoint, or a folder of them, of which the latest is used.

    Returns:
        The exit status: 1 if an image could not be read, else 0.

    Raises:
        CourseError: if there is no such checkpoint, or if it is damaged.
    """
    trained, status = load_scale_model(checkpoint), 0
    side = trained.config.side
    for path in photos:
        try:
            pixels = image_file(path).squares((side, side))[0]
        except CourseError as error:
            print(f"Error: {error}", file=sys.stderr)
            status = 1
            continue
        [captions] = caption_images(trained, pixels[None].astype(np.float32) / 127.5 - 1, k, max_len)
        lines = [f"  {rank}) {sentence} (p={probability:f})" for rank, (sentence, probability) in enumerate(captions)]
        print(visible("\n".join([f"Captions for image {path.name}:", *lines])), flush=True)
    return status
