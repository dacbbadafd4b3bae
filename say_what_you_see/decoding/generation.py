"""Captions a picture with a trained model: one word after another, greedy, drawn at random, or by beam search.

Every model of the course is first rearranged into a `NextWordModel`; the ways of choosing words then
serve all of them. The whole search is compiled as one computation, since a call per word costs more than the word.
For models that NumPy can be told about, `utils.fast` finds the same captions in a fraction of the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.beam_search import NextWord, search_beams
from say_what_you_see.decoding.decoding import (
    NEVER,
    BeamSearch,
    GeneratedCaptions,
    Greedy,
    Sampler,
    Sampling,
    SpecialTokens,
    special_tokens,
)
from say_what_you_see.decoding.search import search_at_once
from say_what_you_see.decoding.word_choice import (
    Tensor,
    apply_temperature,
    keep_top_k,
    keep_top_p,
    sample_rows,
    take_most_probable,
)
from say_what_you_see.language.captions import split_sentence
from say_what_you_see.models.read_weights import numpy_decoder

__all__ = [
    "BeamSearch", "CaptionSearch", "Sampler", "GeneratedCaptions", "Greedy", "NextWordModel", "Sampling",
    "generate", "generate_sentences", "most_common_caption", "special_tokens", "write_captions",
]  # fmt: skip

ops = keras.ops


class NextWordModel:
    """A trained model, rearranged to predict a single next word.

    During training all words of a caption were known at once. Now each word becomes known only after it
    has been predicted, so what the model remembers is handed from call to call: a *state*, which changes
    with every word, and for some models a *context*, which stays as it is (attention's view of the picture).

    Attributes:
        start_model: from features of pictures (rows, ...) to [*state, *context], each (rows, ...).
        step_model: from [words (rows,), *state, *context] to [logits (rows, vocabulary), *state].
        searches: those that were compiled, by tokens and way of choosing.
        known_layers: what `say_what_you_see.models.read_weights` has found out about it: nothing yet (None), or that it cannot
            be had in NumPy (empty).
    """

    def __init__(self, start_model: keras.Model, step_model: keras.Model) -> None:
        self.start_model, self.step_model = start_model, step_model
        self.searches: dict[Any, CaptionSearch] = {}
        self.known_layers: Any = None

    def initial_state(self, features: np.ndarray) -> list[np.ndarray]:
        """What the model remembers before the first word: [*state, *context]."""
        started = self.start_model.predict_on_batch(np.asarray(features, dtype=np.float32))
        return started if isinstance(started, list) else [started]

    def next_word(self, words: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Probabilities of the next words (rows, vocabulary), and what is remembered after the given words (rows,)."""
        logits, *new = self.step_model.predict_on_batch([np.asarray(words, dtype=np.int32), *state])
        return ops.convert_to_numpy(ops.softmax(logits)), [*new, *state[len(new) :]]


def write_captions(
    next_word: NextWord,
    state: list[Tensor],
    choose: Callable[[Tensor, Tensor], Tensor],
    tokens: SpecialTokens,
    max_len: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Write one caption a picture, word by word, until all have reached END.

    Args:
        choose: picks a word for each row, from log-probabilities (rows, vocabulary) and the position.

    Returns:
        Captions (rows, max_len), END after the last word; their log-probabilities (rows,); whether END was reached.
    """
    first = ops.reshape(state[0], (ops.shape(state[0])[0], -1))[:, 0]  # one number a picture
    words = ops.full_like(first, tokens.start, dtype="int32")
    captions = ops.repeat(ops.full_like(words, tokens.end)[:, None], max_len, axis=1)
    running, total = words != tokens.end, ops.zeros_like(words, dtype="float32")

    def unfinished(position, words, captions, running, *_):
        return ops.logical_and(position < max_len, ops.any(running))

    def extend(position, words, captions, running, total, *state):
        log_probs, state = next_word(words, list(state))
        words = ops.where(running, ops.cast(choose(log_probs, position), "int32"), tokens.end)
        total = total + ops.where(running, ops.take_along_axis(log_probs, words[:, None], axis=-1)[:, 0], 0.0)
        captions = ops.where(ops.arange(max_len) == position, words[:, None], captions)
        return position + 1, words, captions, ops.logical_and(running, words != tokens.end), total, *state

    start = (ops.convert_to_tensor(0, dtype="int32"), words, captions, running, total, *state)
    _, _, captions, running, total, *_ = ops.while_loop(unfinished, extend, start)
    return captions, total, ops.logical_not(running)


class CaptionSearch(keras.Model):
    """A whole search as one model, from features to captions, which Keras compiles on every backend."""

    def __init__(self, model: NextWordModel, tokens: SpecialTokens, sampler: Sampler) -> None:
        super().__init__()
        self.start_model, self.step_model, self.tokens, self.sampler = (
            model.start_model,
            model.step_model,
            tokens,
            sampler,
        )
        self.n_states = len(model.step_model.outputs) - 1
        self.suppressed = np.zeros(model.step_model.outputs[0].shape[-1], dtype="float32")
        self.suppressed[list(tokens.suppressed)] = NEVER
        self.built = True

    def call(self, inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Features, for sampling [features, uniform (rows, max_len), temperature (rows, 1)], to a search's result."""
        features = inputs[0] if isinstance(self.sampler, Sampling) else inputs
        started = self.start_model(features, training=False)
        state = list(started) if isinstance(started, (list, tuple)) else [started]
        if isinstance(self.sampler, BeamSearch):
            return search_beams(self.next_word, state, self.n_states, self.sampler, self.tokens)
        choose = self.draw(*inputs[1:]) if isinstance(self.sampler, Sampling) else take_most_probable
        found = write_captions(self.next_word, state, choose, self.tokens, self.sampler.max_len)
        return tuple(part[:, None] for part in found)

    def next_word(self, words: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Log-probabilities of the next words (rows, words), and the new [*state, *context]."""
        logits, *new = self.step_model([words, *state], training=False)
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        return ops.maximum(ops.add(log_probs, self.suppressed), NEVER), [*new, *state[self.n_states :]]

    def draw(self, uniform: Tensor, temperature: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """A choice at random, by numbers that were drawn before: they make it the same on every backend."""

        def choose(log_probs: Tensor, position: Tensor) -> Tensor:
            probabilities = apply_temperature(ops.exp(log_probs), temperature)
            if self.sampler.top_k is not None:
                probabilities = keep_top_k(probabilities, self.sampler.top_k)
            if self.sampler.top_p is not None:
                probabilities = keep_top_p(probabilities, self.sampler.top_p)
            return sample_rows(probabilities, ops.take(uniform, position, axis=1))

        return choose


# What callers use


def generate(
    model: NextWordModel,
    features: np.ndarray,
    vocab: dict[str, int],
    sampler: Sampler = Greedy(),  # noqa: B008  it cannot be changed
    rng: np.random.Generator | None = None,
    batch_size: int = 256,
) -> GeneratedCaptions:
    """Caption any number of pictures.

    Args:
        features: (pictures, ...), as the model was trained with.
        vocab: word to index, with START, END and UNK.
        sampler: the way of choosing words.
        rng: the source of randomness when sampling.
        batch_size: so many pictures at once.
    """
    rng = rng or np.random.default_rng()
    results = []
    for first in range(0, len(features), batch_size):
        results.append(_search(model, np.asarray(features[first : first + batch_size], "float32"), vocab, sampler, rng))
    if not results:
        k = sampler.k if isinstance(sampler, BeamSearch) else 1
        return GeneratedCaptions(np.zeros((0, k, sampler.max_len), "int32"), np.zeros((0, k)), np.zeros((0, k), bool))
    indices, log_probabilities, finished = (np.concatenate(parts) for parts in zip(*results, strict=True))
    return GeneratedCaptions(indices, np.where(log_probabilities <= NEVER / 2, -np.inf, log_probabilities), finished)


def _search(
    model: NextWordModel, features: np.ndarray, vocab: dict[str, int], sampler: Sampler, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Caption one batch: in NumPy, which is quickest on a processor and has nothing to compile; else compiled."""
    decoder = numpy_decoder(model)
    if decoder is not None:
        return search_at_once(decoder, features, special_tokens(vocab), sampler, rng)
    return _search_compiled(model, features, vocab, sampler, rng)


def _search_compiled(
    model: NextWordModel, features: np.ndarray, vocab: dict[str, int], sampler: Sampler, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Caption one batch by the compiled search, which is made once for each model and way of choosing."""
    tokens = special_tokens(vocab)
    compiled = (
        Sampling(1.0, sampler.top_k, sampler.top_p, sampler.max_len) if isinstance(sampler, Sampling) else sampler
    )
    search = model.searches.setdefault((tokens, compiled), None) or CaptionSearch(model, tokens, compiled)
    model.searches[tokens, compiled] = search
    if not isinstance(sampler, Sampling):
        return search.predict_on_batch(features)
    uniform = rng.random((len(features), sampler.max_len), dtype="float32")
    temperature = np.full((len(features), 1), min(max(sampler.temperature, 1e-30), 1e30), dtype="float32")
    return search.predict_on_batch([features, uniform, temperature])


def generate_sentences(
    model: NextWordModel,
    features: np.ndarray,
    vocab: dict[str, int],
    sampler: Sampler = Greedy(),  # noqa: B008  it cannot be changed
    rng: np.random.Generator | None = None,
    batch_size: int = 256,
) -> list[str]:
    """Caption any number of pictures: the best caption of each, as words; arguments as in `generate`."""
    return generate(model, features, vocab, sampler, rng, batch_size).sentences(vocab)


def most_common_caption(captions: Sequence[Sequence[str]]) -> str:
    """The caption that occurs most often, the first in the alphabet of several: what one says who does not look."""
    counts = Counter(" ".join(split_sentence(caption)) for group in captions for caption in group)
    return min(counts, key=lambda sentence: (-counts[sentence], sentence))
