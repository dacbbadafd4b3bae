"""The exercises of notebook 05: one word at a time, samplers, beam search."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.by_hand import beam_search, greedy_search
from say_what_you_see.decoding.probabilities import apply_temperature, keep_top_p, log_softmax
from say_what_you_see.decoding.samplers import SpecialTokens
from say_what_you_see.exercises.compare import Properties, array_of, as_numpy, draw_weights
from say_what_you_see.exercises.exercise import Cases, Exercise, drawn_cases, random_cases
from say_what_you_see.models.bottleneck_lstm import build_decoder, decoder_step_model
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.models.step import State


def properties_of_steps(
    function: Callable, decoder: keras.Model, features: np.ndarray, words: np.ndarray
) -> Properties:
    """Rearrange a decoder and let it read words (images, steps) one by one."""
    model = function(decoder)
    if not isinstance(model, KerasStepModel):
        return Properties(form=f"a {type(model).__name__}")
    start, step = model.start_model, model.step_model
    trained = {id(weight) for weight in decoder.weights}
    found = Properties(
        {
            "form": "a KerasStepModel",
            "what goes into the start model": [tuple(tensor.shape) for tensor in start.inputs],
            "what comes out of the start model": [tuple(tensor.shape) for tensor in start.outputs],
            "what comes out of the step model": [tuple(tensor.shape) for tensor in step.outputs],
            "all layers are the trained ones": all(id(weight) in trained for weight in (*start.weights, *step.weights)),
        }
    )
    one_by_one = len(start.inputs) == 1 and len(step.inputs) == len(start.outputs) + 1 == len(step.outputs)
    if one_by_one and found["all layers are the trained ones"]:
        state, logits = start.predict_on_batch(features), []
        state = state if isinstance(state, list) else [state]
        for column in words.T:
            after_word, *state = step.predict_on_batch([column, *state])
            logits.append(after_word)
        found["logits"] = logits
    return found


def _step_cases(rng: np.random.Generator) -> Cases:
    def draw(source: np.random.Generator) -> tuple:
        decoder = build_decoder(8, 4, 3, 4, 5, 5)
        decoder.set_weights([draw_weights(w.shape, source) if w.ndim > 1 else w for w in decoder.get_weights()])
        decoder.get_layer("standardise").adapt(source.normal(2, 3, (20, 4)).astype(np.float32))
        features = source.normal(2, 3, (2, 4)).astype(np.float32)
        return decoder, features, source.integers(8, size=(2, 3)).astype(np.int32)

    return drawn_cases(rng, draw, {"three words about two images": (), "random words": ()})


def searched(
    function: Callable, logits: np.ndarray, first: np.ndarray, tokens: SpecialTokens, options: Mapping[str, float]
) -> Any:
    """Let a function write with a model that is a table of logits (last word, next word), shifted by a state.

    The state before the first word, `first`, (1, vocabulary), is rolled by one place with each word.
    """
    calls = itertools.count()

    def next_word(words: Any, state: State) -> tuple[np.ndarray, State]:
        if next(calls) > 100:
            raise RuntimeError("next_word was called more than 100 times: the loop does not end.")
        if as_numpy(words).ndim != 1:
            raise TypeError("next_word takes an array that holds the last word, such as np.array([word])")
        log_p = log_softmax(logits[as_numpy(words)] + state.memory[0])
        log_p[:, list(tokens.suppressed)] = -np.inf
        return log_p, State([np.roll(state.memory[0], 1, axis=1)])

    return _plain(function(next_word, State([first]), tokens, **options))


def _plain(value: Any) -> Any:
    """A result as Python lists and numbers, whether it is made of them, of tuples or of arrays."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def _draw_search(
    source: np.random.Generator, ends: Any, options: Mapping[str, float], start: int = 1, end: int = 2
) -> tuple:
    """A model of random words; `ends` are the logits of END after each of the seven words."""
    logits, first = source.normal(0, 2, (7, 7)).astype(np.float32), source.normal(0, 2, (1, 7)).astype(np.float32)
    logits[:, end] = np.array(ends, dtype=np.float32)
    return logits, first, SpecialTokens(start, end, (0, start)), options


_MIDDLING = np.linspace(-1, 5, 7)


def _greedy_cases(rng: np.random.Generator) -> Cases:
    table = {
        "a caption that ends": (_MIDDLING, {"max_len": 8}),
        "END is the first word": ([9] * 7, {"max_len": 4}),
        "START is 4 and END is 3": (_MIDDLING[::-1], {"max_len": 8}, 4, 3),
        "a caption that is cut": ([-9] * 7, {"max_len": 3}),
        **{f"random words, number {n}": (rng.normal(2, 2, 7), {"max_len": 6}) for n in (1, 2, 3)},
    }
    return drawn_cases(rng, _draw_search, table)


def _beam_cases(rng: np.random.Generator) -> Cases:
    table = {
        "one word, with k = 3": (_MIDDLING, {"max_len": 1, "k": 3}),
        "k = 1, which is greedy": (_MIDDLING, {"max_len": 6, "k": 1}),
        "captions of different lengths": (_MIDDLING, {"max_len": 6, "k": 3}),
        "START is 4 and END is 3": (_MIDDLING[::-1], {"max_len": 5, "k": 2}, 4, 3),
        "no caption ends": ([-30] * 7, {"max_len": 4, "k": 3}),
        "END can only come first": (np.where(np.arange(7) == 1, 5, -30), {"max_len": 6, "k": 2}),
    }
    ranked: Cases = {}
    for k in (5, 3, 2):
        ranked[f"ranked by the mean over the words, k = {k}"] = _MIDDLING, {"max_len": 8, "k": k, "alpha": 1.0}
    for n in (1, 2, 3):
        ranked[f"random words, number {n}"] = rng.normal(2, 2, 7), {"max_len": 6, "k": 3, "alpha": n / 5}
    return drawn_cases(rng, _draw_search, table) | drawn_cases(rng, _draw_search, ranked)


def _random_distributions(rng: np.random.Generator, rows: int, low: float, high: float) -> Cases:
    """Distributions over seven words, with a random number between `low` and `high`."""

    def draw(number: int) -> tuple:
        return rng.dirichlet(np.ones(7), size=rows).astype(np.float32), float(rng.uniform(low, high))

    return random_cases("probabilities", 3, draw)


def _temperature_cases(rng: np.random.Generator) -> Cases:
    three = np.array([0.5, 0.4, 0.1], dtype=np.float32)
    two_rows = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=np.float32)
    return {
        "t = 1, which changes nothing": (three, 1),
        "t = 0.5, which sharpens": (three, 0.5),
        "t = 2, which flattens": (three, 2.0),
        "two rows at once": (two_rows, 0.7),
        "a word that is impossible": (np.array([0.75, 0.25, 0.0], dtype=np.float32), 3.0),
        "t = 0.001, nearly greedy": (three, 0.001),
        "t = 0": (three, 0),
        "t is negative": (three, -1.0),
        **_random_distributions(rng, 3, 0.2, 3.0),
    }


def _top_p_cases(rng: np.random.Generator) -> Cases:
    four = np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32)
    rows = np.array([[0.1, 0.65, 0.25], [0.3, 0.25, 0.45]], dtype=np.float32)
    halves = np.array([0.125, 0.5, 0.25, 0.0625, 0.0625], dtype=np.float32)
    return {
        "the most probable word is enough": (four, 0.3),
        "a word that crosses p": (four, 0.6),
        "words that are not sorted, in two rows": (rows, 0.6),
        "words that have exactly p together": (halves, 0.75),
        "p = 1, which keeps all": (halves, 1.0),
        **_random_distributions(rng, 4, 0.2, 0.9),
    }


EXERCISES = (
    Exercise(decoder_step_model, _step_cases, properties_of_steps),
    Exercise(greedy_search, _greedy_cases, searched),
    Exercise(apply_temperature, _temperature_cases, array_of),
    Exercise(keep_top_p, _top_p_cases, array_of),
    Exercise(beam_search, _beam_cases, searched),
)
