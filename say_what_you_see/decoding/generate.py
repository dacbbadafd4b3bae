"""Caption images with a model that predicts one word at a time: in batches, divided among threads."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import ThreadpoolController

from say_what_you_see.decoding.samplers import Captions, Greedy, Sampler, next_word_of, special_tokens
from say_what_you_see.language.captions import indices_to_sentence, invert_vocabulary
from say_what_you_see.models.step import State, StepModel

CAPTIONS_IN_CACHE = 128
"""Captions that are written together in a thread: their logits stay in the processor's cache. As many as this are not
divided among threads: the other cores may be embedding the next images."""

_BLAS = ThreadpoolController()  # beside other programs, small products on all cores took fifty times as long


@dataclass(frozen=True)
class GeneratedCaptions:
    """Captions of some images, the best of each image first."""

    indices: np.ndarray  # (images, captions, max_len) int32, END after the last word
    # (images, captions), of the whole caption with its END, in nats; -inf where there are fewer captions than asked for
    log_probabilities: np.ndarray
    finished: np.ndarray  # (images, captions), whether END was reached within max_len words

    def sentences(self, vocab: dict[str, int]) -> list[str]:
        """The best caption of each image, as words."""
        words = invert_vocabulary(vocab)
        return [indices_to_sentence(captions[0], words) for captions in self.indices]


def generate(
    model: StepModel,
    features: np.ndarray,
    vocab: dict[str, int],
    sampler: Sampler = Greedy(),  # noqa: B008  it cannot be changed
    rng: np.random.Generator | None = None,
    batch_size: int = 256,
) -> GeneratedCaptions:
    """Caption any number of images.

    Args:
        features: (images, ...), as the model was trained with.
        rng: the source of randomness when sampling.
    """
    tokens, model = special_tokens(vocab), model.fastest()
    next_word = next_word_of(model, tokens)
    random = sampler.random_numbers(rng or np.random.default_rng(), len(features))

    def write(batch: tuple[State, np.ndarray]) -> Captions:
        return sampler.write(next_word, batch[0], tokens, batch[1])

    results = [(np.zeros((0, sampler.k, sampler.max_len), "int32"), np.zeros((0, sampler.k), "float32"))]
    threads = os.cpu_count() or 1
    with _BLAS.limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(features), batch_size):
            images = slice(first, first + batch_size)
            state = model.start(np.asarray(features[images], dtype=np.float32))
            parts = _parts(len(state), sampler.k, threads) if model.is_thread_safe else [np.arange(len(state))]
            batches = [(state.take(part), random[images][part]) for part in parts]
            results += pool.map(write, batches) if len(batches) > 1 else map(write, batches)
    indices, log_probabilities = (np.concatenate(arrays)[:, : sampler.n_best] for arrays in zip(*results, strict=True))
    return GeneratedCaptions(indices, log_probabilities, indices[..., -1] == tokens.end)


def generate_sentences(
    model: StepModel,
    features: np.ndarray,
    vocab: dict[str, int],
    sampler: Sampler = Greedy(),  # noqa: B008  it cannot be changed
    rng: np.random.Generator | None = None,
    batch_size: int = 256,
) -> list[str]:
    """Caption any number of images: the best caption of each, as words; arguments as in `generate`."""
    return generate(model, features, vocab, sampler, rng, batch_size).sentences(vocab)


def _parts(images: int, k: int, threads: int) -> list[np.ndarray]:
    """Divide images evenly into parts that fit the processor's cache, as many for each thread."""
    count = threads * -(-images * k // (CAPTIONS_IN_CACHE * threads)) if images * k > CAPTIONS_IN_CACHE else 1
    return np.array_split(np.arange(images), min(count, images))
