"""Captions of models with attention, and where they looked for each word."""

from dataclasses import dataclass

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import Greedy, Sampler
from say_what_you_see.language.captions import END, START, invert_vocabulary
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.attention import as_grid, attention_model, predict_step_by_step


@dataclass(frozen=True)
class AttendedCaption:
    """A caption, and where the model looked while it wrote it."""

    words: list[str]  # what it says
    # for each word the weights of the step that emitted it, (words, rows, columns); each sums to 1
    attention: np.ndarray

    @property
    def sentence(self) -> str:
        """The words in one line."""
        return " ".join(self.words)


def get_caption(
    model: keras.Model,
    features: np.ndarray,
    vocab: dict[str, int],
    sampler: Sampler = Greedy(),  # noqa: B008  it cannot be changed
    rng: np.random.Generator | None = None,
    trace_shapes: bool = False,
) -> AttendedCaption:
    """Caption one picture, and return where the model looked for each word.

    Args:
        features: of the regions of one picture, (regions, feature size).
        vocab: word to index.
        sampler: the way of choosing words.
        rng: the source of randomness when sampling.
        trace_shapes: print the shape of every tensor at every step.
    """
    caption = get_captions(model, features[None], vocab, sampler, rng)[0]
    if trace_shapes:
        read = [vocab[START], *(vocab[word] for word in caption.words)]
        predict_step_by_step(model, features[None], np.array([read], dtype=np.int32), trace_shapes=True)
    return caption


def get_captions(
    model: keras.Model,
    features: np.ndarray,
    vocab: dict[str, int],
    sampler: Sampler = Greedy(),  # noqa: B008  it cannot be changed
    rng: np.random.Generator | None = None,
    batch_size: int = 64,
) -> list[AttendedCaption]:
    """Caption any number of pictures, with attention; features are (pictures, regions, feature size)."""
    indices = generate(step_model_of(model), features, vocab, sampler, rng, batch_size).indices[:, 0]
    weights_model, names, captions = attention_model(model), invert_vocabulary(vocab), []
    for first in range(0, len(indices), batch_size):
        emitted = indices[first : first + batch_size]
        grids = attention_grids(weights_model, features[first : first + batch_size], emitted, vocab[START])
        for caption, weights in zip(emitted, grids, strict=True):
            count = int(np.argmax([*(caption == vocab[END]), True]))  # all where there is no END
            captions.append(AttendedCaption([names[index] for index in caption[:count]], weights[:count]))
    return captions


def attention_grids(weights_model: keras.Model, features: np.ndarray, emitted: np.ndarray, start: int) -> np.ndarray:
    """Where a model looked when it emitted words, (captions, words): (captions, words, rows, columns).

    Args:
        weights_model: from `attention_model`.
        features: (captions, regions, feature size).
    """
    read = np.insert(emitted[:, :-1], 0, start, axis=1).astype(np.int32)  # each step reads one word and emits the next
    return as_grid(weights_model.predict_on_batch([np.asarray(features, dtype=np.float32), read]))
