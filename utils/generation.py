"""Captions a picture with a trained model: one word after another, greedy, drawn at random, or by beam search.

Every model of the course is first rearranged into a `NextWordModel`; the ways of choosing words then
serve all of them. The whole search is compiled as one computation, since a call per word costs more than the word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from utils.captions import END, PAD, START, UNK, indices_to_sentence, split_sentence
from utils.quiet import keras

ops = keras.ops
Tensor = Any
NEVER = -1e9
"""The log-probability of what must not be said: so low that nothing makes up for it, and yet no infinity."""


class NextWordModel:
    """A trained model, rearranged to predict a single next word.

    During training all words of a caption were known at once. Now each word becomes known only after it
    has been predicted, so what the model remembers is handed from call to call: a *state*, which changes
    with every word, and for some models a *context*, which stays as it is (attention's view of the picture).

    Attributes:
        start_model: from features of pictures (rows, ...) to [*state, *context], each (rows, ...).
        step_model: from [words (rows,), *state, *context] to [logits (rows, vocabulary), *state].
    """

    def __init__(self, start_model: keras.Model, step_model: keras.Model) -> None:
        self.start_model, self.step_model = start_model, step_model
        self.searches: dict[Any, CaptionSearch] = {}

    def initial_state(self, features: np.ndarray) -> list[np.ndarray]:
        """What the model remembers before the first word: [*state, *context]."""
        started = self.start_model.predict_on_batch(np.asarray(features, dtype=np.float32))
        return started if isinstance(started, list) else [started]

    def next_word(self, words: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Probabilities of the next words (rows, vocabulary), and what is remembered after the given words (rows,)."""
        logits, *new = self.step_model.predict_on_batch([np.asarray(words, dtype=np.int32), *state])
        return ops.convert_to_numpy(ops.softmax(logits)), [*new, *state[len(new) :]]


@dataclass(frozen=True)
class Greedy:
    """Always the most probable word."""

    max_len: int = 20


@dataclass(frozen=True)
class Sampling:
    """Draw each word by its probability.

    Attributes:
        temperature: below 1 the choice is more cautious, above 1 more daring.
        top_k: draw among so many most probable words only (Fan et al. 2018, arXiv:1805.04833).
        top_p: draw among the fewest words that have this probability together (Holtzman et al. 2020, arXiv:1904.09751).
        max_len: stop after so many words.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    max_len: int = 20

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"The temperature must be greater than 0, not {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be 1 or more, not {self.top_k}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be greater than 0 and at most 1, not {self.top_p}.")


@dataclass(frozen=True)
class BeamSearch:
    """Follow the k best captions at once.

    Attributes:
        k: how many captions are followed, and found, for each picture.
        length_penalty: captions are ranked by log-probability / words ** length_penalty. 0 ranks by
            probability, which favours short captions; 1 by the mean over the words.
        max_len: stop after so many words.
    """

    k: int = 3
    length_penalty: float = 0.0
    max_len: int = 20

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"Beam search follows 1 caption or more, not {self.k}.")


Decoding = Greedy | Sampling | BeamSearch


@dataclass(frozen=True)
class GeneratedCaptions:
    """Captions of some pictures, the best of each picture first.

    Attributes:
        indices: (pictures, captions, max_len) int32, END after the last word.
        log_probabilities: (pictures, captions), of the whole caption with its END, in nats; -inf where there
            are fewer captions than asked for.
        finished: (pictures, captions), whether END was reached within max_len words.
    """

    indices: np.ndarray
    log_probabilities: np.ndarray
    finished: np.ndarray

    def sentences(self, vocab: dict[str, int]) -> list[str]:
        """The best caption of each picture, as words."""
        return [indices_to_sentence(captions[0], vocab) for captions in self.indices]


class SpecialTokens(NamedTuple):
    """Where captions start and end, and which indices are no words to say."""

    start: int
    end: int
    silent: tuple[int, ...]


def special_tokens(vocab: dict[str, int]) -> SpecialTokens:
    """The special tokens of a vocabulary; one without PAD is fine."""
    silent = tuple(vocab[token] for token in (PAD, UNK, START) if token in vocab)
    return SpecialTokens(vocab[START], vocab[END], silent)


# How a word is chosen


def apply_temperature(probabilities: Tensor, t: float | Tensor) -> Tensor:
    """Sharpen (t < 1) or flatten (t > 1) a probability distribution: p ** (1 / t), scaled to sum to 1.

    Args:
        probabilities: (..., words), each row sums to 1.
        t: temperature, greater than 0.

    Raises:
        ValueError: if t is not greater than 0.
    """
    if isinstance(t, (int, float)):
        if not t > 0:
            raise ValueError(
                f"The temperature must be greater than 0, not {t}. The most probable word needs no sampling."
            )
        t = min(max(t, 1e-30), 1e30)  # beyond, 32 bits end; nothing changes there any more
    logs = ops.log(probabilities)  # p ** (1 / t) itself may be too small for a float
    return ops.softmax((logs - ops.max(logs, axis=-1, keepdims=True)) / t, axis=-1)


def keep_top_k(probabilities: Tensor, k: int) -> Tensor:
    """Set all but the k largest probabilities of each row to 0; what is as large as the last of them stays, too."""
    smallest_kept = ops.top_k(probabilities, min(k, probabilities.shape[-1]))[0][..., -1:]
    return ops.where(probabilities >= smallest_kept, probabilities, 0)


def keep_top_p(probabilities: Tensor, p: float) -> Tensor:
    """Keep the fewest most probable words of each row whose probabilities sum to p or more; the others become 0."""
    falling = ops.flip(ops.sort(probabilities, axis=-1), axis=-1)
    before = ops.cumsum(falling, axis=-1) - falling
    kept = ops.where(before < p * ops.sum(probabilities, axis=-1, keepdims=True), falling, 2.0)
    return ops.where(probabilities >= ops.min(kept, axis=-1, keepdims=True), probabilities, 0)


def sample_rows(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """One index a row (rows,), drawn by the row's probabilities (rows, words), which need not sum to 1.

    Args:
        uniform: a random number from 0 to 1 for each row, (rows,).
    """
    thresholds = ops.cumsum(probabilities, axis=-1)
    total = thresholds[:, -1:]
    drawn = ops.minimum(ops.cast(uniform, total.dtype)[:, None], 1 - 1e-6) * total
    return ops.sum(ops.cast(thresholds <= drawn, "int32"), axis=-1)


def best_continuations(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Among all captions one word longer, find the k best of each picture.

    Args:
        scores: (pictures, beams, words), the score of each caption followed by each word.

    Returns:
        For each of the k best, the best first: the beam that it continues, and its new word, both (pictures, k).
    """
    beams, words = scores.shape[1:]
    best = ops.cast(ops.top_k(ops.reshape(scores, (-1, beams * words)), k)[1], "int32")
    return best // words, best % words


# The search, word by word. `next_word(words, state)` gives the log-probabilities of the next words
# (rows, vocabulary) and the new state.

NextWord = Callable[[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]]


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


class Beams(NamedTuple):
    """The captions that a beam search follows, k for each picture, the best first.

    Attributes:
        words: the last word of each, (pictures, k).
        captions: all words so far, (pictures, k, max_len), END behind them.
        finished: whether END has been reached, (pictures, k).
        lengths: the number of words, END included, (pictures, k).
        total: the log-probability, (pictures, k).
    """

    words: Tensor
    captions: Tensor
    finished: Tensor
    lengths: Tensor
    total: Tensor


def first_beams(rows: Tensor, how: BeamSearch, tokens: SpecialTokens) -> Beams:
    """Beams before the first word: all alike, so only the first one counts, or the first step would find k twins.

    Args:
        rows: anything with one row a picture, (pictures,).
    """
    words = ops.repeat(ops.full_like(rows, tokens.start, dtype="int32")[:, None], how.k, axis=1)
    captions = ops.repeat(ops.full_like(words, tokens.end)[..., None], how.max_len, axis=2)
    nothing = ops.zeros_like(words, dtype="float32")
    only_first = np.array([0.0] + [NEVER] * (how.k - 1), dtype="float32")
    return Beams(words, captions, words == tokens.end, nothing, nothing + only_first)


def extend_beams(
    beams: Beams, log_probs: Tensor, position: Tensor, how: BeamSearch, tokens: SpecialTokens
) -> tuple[Beams, Tensor]:
    """Follow the k best captions one word further.

    A finished caption competes with the others as it is, and keeps its place as long as it is among the best.

    Args:
        log_probs: of each next word, (pictures, k, vocabulary).

    Returns:
        The new beams, and for each the beam that it continues, (pictures, k).
    """
    only_end = np.where(np.arange(log_probs.shape[-1]) == tokens.end, 0.0, NEVER).astype("float32")
    log_probs = ops.where(beams.finished[..., None], only_end, log_probs)  # END once more, at no cost
    totals = ops.maximum(beams.total[..., None] + log_probs, NEVER)
    lengths = beams.lengths + ops.cast(ops.logical_not(beams.finished), "float32")
    parents, words = best_continuations(totals / lengths[..., None] ** how.length_penalty, how.k)

    def of_parents(values: Tensor) -> Tensor:
        return ops.take_along_axis(values, parents, axis=1)

    total = ops.take_along_axis(totals, parents[..., None], axis=1)
    total = ops.take_along_axis(total, words[..., None], axis=2)[..., 0]
    captions = ops.take_along_axis(beams.captions, parents[..., None], axis=1)
    captions = ops.where(ops.arange(how.max_len) == position, words[..., None], captions)
    finished = ops.logical_or(of_parents(beams.finished), words == tokens.end)
    return Beams(words, captions, finished, of_parents(lengths), total), parents


def score_of(beams: Beams, how: BeamSearch) -> Tensor:
    """What captions are ranked by, (pictures, k)."""
    return ops.where(beams.total > NEVER / 2, beams.total / beams.lengths**how.length_penalty, NEVER)


class Found(NamedTuple):
    """The best finished captions so far, k for each picture, the best first.

    Attributes:
        captions: (pictures, k, max_len).
        total: the log-probability, (pictures, k).
        score: what they are ranked by, (pictures, k); NEVER where there is none yet.
    """

    captions: Tensor
    total: Tensor
    score: Tensor

    def best_with(self, captions: Tensor, total: Tensor, score: Tensor) -> Found:
        """The k best of these and others."""
        captions, total, score = (
            ops.concatenate(both, axis=1) for both in zip(self, (captions, total, score), strict=True)
        )
        best = ops.cast(ops.top_k(score, self.score.shape[1])[1], "int32")
        captions = ops.take_along_axis(captions, best[..., None], axis=1)
        return Found(captions, ops.take_along_axis(total, best, axis=1), ops.take_along_axis(score, best, axis=1))


def search_beams(
    next_word: NextWord, state: list[Tensor], n_states: int, how: BeamSearch, tokens: SpecialTokens
) -> tuple[Tensor, Tensor, Tensor]:
    """Follow the k best captions of each picture until all of them have reached END.

    Every caption that finishes among the k best is remembered, also when others push it out later. In the
    end it competes with those that were cut, so there is always a result, whether any has an END or not.

    Args:
        state: [*state, *context] of each picture.
        n_states: how many of them change with every word.

    Returns:
        Captions (pictures, k, max_len), END after the last word; their log-probabilities, and whether END was
        reached, both (pictures, k).
    """
    rows = ops.reshape(state[0], (ops.shape(state[0])[0], -1))[:, 0]
    beams = first_beams(rows, how, tokens)
    found = Found(beams.captions, beams.total, ops.full_like(beams.total, NEVER))
    state = [ops.repeat(part, how.k, axis=0) for part in state]

    def unfinished(position, *carried):
        return ops.logical_and(position < how.max_len, ops.logical_not(ops.all(Beams(*carried[:5]).finished)))

    def extend(position, *carried):
        before, found, state = Beams(*carried[:5]), Found(*carried[5:8]), list(carried[8:])
        log_probs, state = next_word(ops.reshape(before.words, (-1,)), state)
        log_probs = ops.reshape(log_probs, (-1, how.k, log_probs.shape[-1]))
        beams, parents = extend_beams(before, log_probs, position, how, tokens)
        were_finished = ops.take_along_axis(before.finished, parents, axis=1)
        new = ops.logical_and(beams.finished, ops.logical_not(were_finished))
        score = ops.where(new, score_of(beams, how), NEVER)
        found = found.best_with(beams.captions, beams.total, score)
        first_row = how.k * ops.arange(ops.shape(parents)[0], dtype="int32")[:, None]
        from_rows = ops.reshape(first_row + parents, (-1,))
        moved = [ops.take(part, from_rows, axis=0) for part in state[:n_states]]
        return position + 1, *beams, *found, *moved, *state[n_states:]

    start = (ops.convert_to_tensor(0, dtype="int32"), *beams, *found, *state)
    carried = ops.while_loop(unfinished, extend, start)[1:9]
    beams, found = Beams(*carried[:5]), Found(*carried[5:])
    cut = ops.where(beams.finished, NEVER, score_of(beams, how))
    best = found.best_with(beams.captions, beams.total, cut)
    last = ops.take_along_axis(best.captions, ops.full_like(best.captions[..., :1], how.max_len - 1), axis=-1)
    return best.captions, best.total, last[..., 0] == tokens.end


class CaptionSearch(keras.Model):
    """A whole search as one model, from features to captions, which Keras compiles on every backend."""

    def __init__(self, model: NextWordModel, tokens: SpecialTokens, how: Decoding) -> None:
        super().__init__()
        self.start_model, self.step_model, self.tokens, self.how = model.start_model, model.step_model, tokens, how
        self.n_states = len(model.step_model.outputs) - 1
        self.silent = np.zeros(model.step_model.outputs[0].shape[-1], dtype="float32")
        self.silent[list(tokens.silent)] = NEVER
        self.built = True

    def call(self, inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Features, for sampling [features, uniform (rows, max_len), temperature (rows, 1)], to a search's result."""
        features = inputs[0] if isinstance(self.how, Sampling) else inputs
        started = self.start_model(features, training=False)
        state = list(started) if isinstance(started, (list, tuple)) else [started]
        if isinstance(self.how, BeamSearch):
            return search_beams(self.next_word, state, self.n_states, self.how, self.tokens)
        choose = self.draw(*inputs[1:]) if isinstance(self.how, Sampling) else take_most_probable
        found = write_captions(self.next_word, state, choose, self.tokens, self.how.max_len)
        return tuple(part[:, None] for part in found)

    def next_word(self, words: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Log-probabilities of the next words (rows, words), and the new [*state, *context]."""
        logits, *new = self.step_model([words, *state], training=False)
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        return ops.maximum(log_probs + self.silent, NEVER), [*new, *state[self.n_states :]]

    def draw(self, uniform: Tensor, temperature: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """A choice at random, by numbers that were drawn before: they make it the same on every backend."""

        def choose(log_probs: Tensor, position: Tensor) -> Tensor:
            probabilities = apply_temperature(ops.exp(log_probs), temperature)
            if self.how.top_k is not None:
                probabilities = keep_top_k(probabilities, self.how.top_k)
            if self.how.top_p is not None:
                probabilities = keep_top_p(probabilities, self.how.top_p)
            return sample_rows(probabilities, ops.take(uniform, position, axis=1))

        return choose


def take_most_probable(log_probs: Tensor, position: Tensor) -> Tensor:
    """The choice of greedy decoding."""
    return ops.argmax(log_probs, axis=-1)


# What callers use


def generate(
    model: NextWordModel,
    features: np.ndarray,
    vocab: dict[str, int],
    how: Decoding = Greedy(),  # noqa: B008  it cannot be changed
    rng: np.random.Generator | None = None,
    batch_size: int = 256,
) -> GeneratedCaptions:
    """Caption any number of pictures.

    Args:
        features: (pictures, ...), as the model was trained with.
        vocab: word to index, with START, END and UNK.
        how: the way of choosing words.
        rng: the source of randomness when sampling.
        batch_size: so many pictures at once.
    """
    rng = rng or np.random.default_rng()
    results = []
    for first in range(0, len(features), batch_size):
        results.append(_search(model, np.asarray(features[first : first + batch_size], "float32"), vocab, how, rng))
    if not results:
        k = how.k if isinstance(how, BeamSearch) else 1
        return GeneratedCaptions(np.zeros((0, k, how.max_len), "int32"), np.zeros((0, k)), np.zeros((0, k), bool))
    indices, log_probabilities, finished = (np.concatenate(parts) for parts in zip(*results, strict=True))
    return GeneratedCaptions(indices, np.where(log_probabilities <= NEVER / 2, -np.inf, log_probabilities), finished)


def _search(
    model: NextWordModel, features: np.ndarray, vocab: dict[str, int], how: Decoding, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Caption one batch by the compiled search, which is made once for each model and way of choosing."""
    tokens = special_tokens(vocab)
    compiled = Sampling(1.0, how.top_k, how.top_p, how.max_len) if isinstance(how, Sampling) else how
    search = model.searches.setdefault((tokens, compiled), None) or CaptionSearch(model, tokens, compiled)
    model.searches[tokens, compiled] = search
    if not isinstance(how, Sampling):
        return search.predict_on_batch(features)
    uniform = rng.random((len(features), how.max_len), dtype="float32")
    temperature = np.full((len(features), 1), min(max(how.temperature, 1e-30), 1e30), dtype="float32")
    return search.predict_on_batch([features, uniform, temperature])


def generate_sentences(
    model: NextWordModel,
    features: np.ndarray,
    vocab: dict[str, int],
    how: Decoding = Greedy(),  # noqa: B008  it cannot be changed
    rng: np.random.Generator | None = None,
    batch_size: int = 256,
) -> list[str]:
    """Caption any number of pictures: the best caption of each, as words; arguments as in `generate`."""
    return generate(model, features, vocab, how, rng, batch_size).sentences(vocab)


def most_common_caption(captions: Sequence[Sequence[str]]) -> str:
    """The caption that occurs most often, the first in the alphabet of several: what one says who does not look."""
    counts = Counter(" ".join(split_sentence(caption)) for group in captions for caption in group)
    return min(counts, key=lambda sentence: (-counts[sentence], sentence))
