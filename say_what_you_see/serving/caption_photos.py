"""Captions for any number of pictures: batched, in order, and a bad picture does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.prefetch import prefetch
from say_what_you_see.decoding.generate import GeneratedCaptions, generate
from say_what_you_see.decoding.samplers import Sampler, Sampling
from say_what_you_see.language.captions import END, indices_to_sentence, invert_vocabulary
from say_what_you_see.serving.familiarity import log_probability_of_a_word
from say_what_you_see.vision.sources import ImageSource

if TYPE_CHECKING:  # an exported captioner does not need Keras
    from say_what_you_see.serving.captioner import Captioner
    from say_what_you_see.serving.fast_captioner import FastCaptioner

_THUMBNAIL_SHAPE = (240, 240)


@dataclass(frozen=True)
class PictureCaptions:
    """The captions of a picture, or what went wrong with it."""

    name: str  # as the user gave it
    captions: list[tuple[str, float]] = field(default_factory=list)  # sentence and probability, the best first
    error: str | None = None  # what went wrong, if anything did
    thumbnail: np.ndarray | None = None  # a small picture, (side, side, 3), where one was asked for
    doubts: list[str] | None = None  # reasons to doubt the best caption; None where the model cannot tell

    @property
    def caption(self) -> str:
        """The best caption."""
        return self.captions[0][0] if self.captions else ""

    def as_json(self) -> dict[str, Any]:
        """The same as a dictionary for JSON."""
        if self.error is not None:
            return {"picture": self.name, "error": self.error}
        captions = [{"caption": sentence, "probability": probability} for sentence, probability in self.captions]
        doubts = {} if self.doubts is None else {"doubts": self.doubts}
        return {"picture": self.name, **captions[0], **doubts, **({"captions": captions} if len(captions) > 1 else {})}


def caption_pictures(
    captioner: Captioner | FastCaptioner,
    sources: Sequence[ImageSource],
    sampler: Sampler,
    rng: np.random.Generator | None = None,
    batch_size: int = 32,
    thumbnails: bool = False,
) -> Iterator[PictureCaptions]:
    """Caption pictures batch by batch, in their order; meanwhile threads read and embed the next ones.

    Args:
        rng: the source of randomness when sampling.
        thumbnails: keep a small picture of each.
    """

    def read(batch: Sequence[ImageSource]) -> list[tuple[PictureCaptions, np.ndarray | None]]:
        return [_read(source, captioner.input_shape, thumbnails) for source in batch]

    def embed(batch: Sequence[tuple[PictureCaptions, Any]]) -> tuple[list[PictureCaptions], np.ndarray | None]:
        images = [image for _, image in batch if image is not None]
        return [picture for picture, _ in batch], captioner.embed(np.stack(images)) if images else None

    batches = [sources[first : first + batch_size] for first in range(0, len(sources), batch_size)]
    for pictures, features in prefetch(embed, prefetch(read, batches), ahead=1):
        said = iter(() if features is None else captions_with_doubts(features, captioner, sampler, rng))
        for picture in pictures:
            if picture.error is not None:
                yield picture
                continue
            captions, doubts = next(said)
            no_numbers = f"{picture.name} has no caption: the model's output is not numbers. Use another model."
            yield replace(picture, captions=captions, error=None if captions else no_numbers, doubts=doubts)


def _read(
    source: ImageSource, input_shape: tuple[int, int], thumbnails: bool
) -> tuple[PictureCaptions, np.ndarray | None]:
    """A picture without captions yet, and its pixels; None instead of pixels if it cannot be read."""
    try:
        image, *small = source.squares(input_shape, *([_THUMBNAIL_SHAPE] if thumbnails else []))
    except CourseError as error:
        return PictureCaptions(source.name, error=str(error)), None
    return PictureCaptions(source.name, thumbnail=small[0] if small else None), image


def captions_with_doubts(
    features: np.ndarray,
    captioner: Captioner | FastCaptioner,
    sampler: Sampler,
    rng: np.random.Generator | None,
) -> list[tuple[list[tuple[str, float]], list[str] | None]]:
    """For each image's features, captions with their probabilities, and the reasons to doubt the best one."""
    generated = generate(captioner.model, features, captioner.vocab, sampler, rng)
    captions = sentences_with_probabilities(generated, captioner.vocab)
    return list(zip(captions, doubts_of(captioner, features, generated, sampler), strict=True))


def doubts_of(
    captioner: Captioner | FastCaptioner, features: np.ndarray, generated: GeneratedCaptions, sampler: Sampler
) -> Sequence[list[str] | None]:
    """For each embedded image, the reasons to doubt its best caption; None where the model cannot tell."""
    if captioner.familiarity is None:
        return [None] * len(features)
    drawn = isinstance(sampler, Sampling)  # drawn words may be as unlikely as they like
    likely = None if drawn else log_probability_of_a_word(generated, captioner.vocab[END])
    return captioner.familiarity.doubts(features, likely)


def sentences_with_probabilities(generated: GeneratedCaptions, vocab: dict[str, int]) -> list[list[tuple[str, float]]]:
    """The captions of each image as words with their probabilities, the best first."""
    words = invert_vocabulary(vocab)
    return [
        [
            (indices_to_sentence(indices, words), float(np.exp(total)))
            for indices, total in zip(captions, totals, strict=True)
            if np.isfinite(total)
        ]
        for captions, totals in zip(generated.indices, generated.log_probabilities, strict=True)
    ]
