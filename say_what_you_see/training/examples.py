"""Images with their captions, and the random batches that decoders are trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.language.captions import PAD, CaptionArrays, caption_tokens_to_indices, pack_captions
from say_what_you_see.training.config import TrainingConfig

Batch = tuple[tuple[np.ndarray, np.ndarray], np.ndarray]
"""Features and words, and the words to predict."""

WeightedBatch = tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]
"""The same, and the weight of its loss, (1,)."""

POOL = 16
"""The number of batches that are drawn together and then divided by the length of the captions."""


class JoinedRows:
    """The rows of several arrays as if they were one array; none is copied, and each may stay on the disk.

    Args:
        parts: (rows, ...) each, all of one shape.
    """

    def __init__(self, *parts: np.ndarray) -> None:
        self.parts, self.dtype = parts, parts[0].dtype
        self.shape = (sum(map(len, parts)), *parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        part, row = np.divmod(np.arange(len(self))[rows], len(self.parts[0]))
        found = np.empty((len(row), *self.shape[1:]), self.dtype)
        for number, array in enumerate(self.parts):
            found[part == number] = array[row[part == number]]
        return found


@dataclass(frozen=True)
class Examples:
    """Features of images, (images, ...), possibly memory-mapped, and the padded captions of the same images."""

    image_embeds: np.ndarray
    captions: CaptionArrays

    def __post_init__(self) -> None:
        embedded, described = len(self.image_embeds), self.captions.n_images
        if embedded != described:
            raise CourseError(
                f"There are embeddings of {embedded} pictures but captions of {described}. "
                "Run notebooks 02 and 03 again, in this order."
            )


def add_views(examples: Examples, views: Mapping[str, np.ndarray], vocab: dict[str, int]) -> Examples:
    """Examples, and the same ones in other views; captions of mirrored images have left and right swapped.

    Args:
        views: by name, features of the images in the order of the examples, (images, ...).
    """
    other_side = np.arange(len(vocab))
    if {"left", "right"} <= vocab.keys():
        other_side[[vocab["left"], vocab["right"]]] = vocab["right"], vocab["left"]
    matrix, first = examples.captions.matrix, examples.captions.first
    mirrored = other_side[matrix].astype(matrix.dtype)
    matrices = [matrix, *(mirrored if name.endswith("mirrored") else matrix for name in views)]
    firsts = [first, *(first[1:] + number * first[-1] for number in range(1, len(matrices)))]
    captions = CaptionArrays(np.concatenate(matrices), np.concatenate(firsts))
    rows = JoinedRows(examples.image_embeds, *views.values())
    return Examples(cast(np.ndarray, rows), captions)  # all that training needs of an array


def generate_batch(
    image_embeds: np.ndarray, captions: CaptionArrays, batch_size: int, rng: np.random.Generator, max_len: int = 20
) -> Batch:
    """A batch of random pictures, each with a random one of its captions.

    Args:
        image_embeds: (pictures, features).
        captions: the captions of the same pictures.
        max_len: captions are cut to this many indices, START and END included.

    Returns:
        ((embeddings, all words but the last), all words but the first): at each word the next is to be predicted.
    """
    pictures = rng.integers(captions.n_images, size=batch_size)
    sentences = captions.choose(pictures, rng)[:, :max_len].astype(np.int32)
    return (np.asarray(image_embeds[pictures], dtype=np.float32), sentences[:, :-1]), sentences[:, 1:]


def captions_of_each(captions: CaptionArrays, images: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Captions of images, (images, count, longest): `count` of each, all different if it has that many."""
    available = np.diff(captions.first)[images, None]
    numbers = (rng.integers(available) + np.arange(count)) % available
    return captions.matrix[captions.first[images, None] + numbers]


class RandomBatches(keras.utils.PyDataset):
    """An epoch of random batches. Each depends only on seed, epoch and its number, so training can be resumed."""

    def __init__(self, examples: Examples, config: TrainingConfig, first_epoch: int = 0, pad_idx: int = -1) -> None:
        super().__init__()
        self.examples, self.config, self.epoch, self.pad_idx = examples, config, first_epoch, pad_idx
        captions_per_batch = config.batch_size * config.captions_per_image
        self.steps = max(1, len(examples.captions.matrix) // captions_per_batch)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch | WeightedBatch:
        examples, config = self.examples, self.config
        if config.similar_lengths:
            return self._of_similar_length(step)
        rng = np.random.default_rng([config.seed, self.epoch, step])
        if config.captions_per_image == 1:
            return generate_batch(examples.image_embeds, examples.captions, config.batch_size, rng, config.max_len)
        return self._batch(*self._draw(config.batch_size, rng))

    def _batch(self, images: np.ndarray, sentences: np.ndarray) -> Batch:
        """Images and their sentences, (images, captions of each, longest), as a batch."""
        features, rows = np.asarray(self.examples.image_embeds[images], dtype=np.float32), np.concatenate(sentences)
        return (features, rows[:, :-1]), rows[:, 1:]

    def _draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """`count` random images, and captions of each: (images, captions of each, longest) indices."""
        captions, config = self.examples.captions, self.config
        images = rng.integers(captions.n_images, size=count)
        sentences = captions_of_each(captions, images, config.captions_per_image, rng)
        return images, sentences[..., : config.max_len].astype(np.int32)

    def _of_similar_length(self, step: int) -> WeightedBatch:
        """One of the batches into which images, sorted by their longest caption, are divided; no wider than necessary.

        Its weight follows its share of the words: otherwise the words of short captions would count for more.
        """
        pool, number = divmod(step, POOL)
        rng = np.random.default_rng([self.config.seed, self.epoch, pool])
        images, sentences = self._draw(POOL * self.config.batch_size, rng)
        words = (sentences[:, :, 1:] != self.pad_idx).sum(axis=2)
        lengths = 1 + words.max(axis=1)
        chosen = np.split(np.argsort(lengths, kind="stable"), POOL)[rng.permutation(POOL)[number]]
        if step == 0:  # Keras assumes that all batches share what the first two do: this one is wider than any
            sentences = np.pad(sentences, ((0, 0), (0, 0), (0, 1)), constant_values=self.pad_idx)
        width = lengths[chosen].max() if step else sentences.shape[2]
        weight = np.array([words[chosen].mean() / words.mean()], dtype=np.float32)
        return *self._batch(images[chosen], sentences[chosen, :, :width]), weight

    def on_epoch_end(self) -> None:
        self.epoch += 1


def take_images(examples: Examples, images: Sequence[int]) -> Examples:
    """The examples of only some of the images, in the given order."""
    first, matrix = examples.captions.first, examples.captions.matrix
    rows = [np.arange(first[image], first[image + 1]) for image in images]
    captions = CaptionArrays(matrix[np.concatenate(rows)], np.cumsum([0, *map(len, rows)]))
    return Examples(np.asarray(examples.image_embeds[np.asarray(images)]), captions)


def shuffle_images(examples: Examples, seed: int = 0) -> Examples:
    """The control: every picture gets the captions of another one; the embeddings stay where they are.

    The pictures are put in a random circle, and each takes the captions of its neighbour, so none keeps its own.
    """
    captions = examples.captions
    circle = np.random.default_rng(seed).permutation(captions.n_images)
    neighbour = np.empty_like(circle)
    neighbour[circle] = np.roll(circle, 1)
    rows = [np.arange(captions.first[picture], captions.first[picture + 1]) for picture in neighbour]
    first = np.cumsum([0, *map(len, rows)])
    return Examples(examples.image_embeds, CaptionArrays(captions.matrix[np.concatenate(rows)], first))


def table_examples(features: np.ndarray, captions: Sequence[str] | np.ndarray, vocab: dict[str, int]) -> Examples:
    """The two files of a `caption_table` as examples: every caption is a row of its own, with its own features.

    Args:
        features: (captions, features), possibly memory-mapped; not copied.
    """
    indexed = caption_tokens_to_indices([[caption] for caption in captions], vocab)
    return Examples(features, pack_captions(indexed, vocab[PAD]))
