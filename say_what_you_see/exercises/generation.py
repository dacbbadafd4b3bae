"""The exercises of notebook 05: one word at a time, ways of choosing words, beam search."""

from collections.abc import Callable
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.beam_search import Beams, extend_beams, first_beams
from say_what_you_see.decoding.probabilities import apply_temperature, keep_top_p, log_softmax
from say_what_you_see.decoding.samplers import BeamSearch, SpecialTokens, write_captions
from say_what_you_see.exercises.compare import short
from say_what_you_see.exercises.exercise import Case, Exercise, random_cases
from say_what_you_see.exercises.observe import Properties, as_numpy, draw_weights, properties
from say_what_you_see.models.bottleneck_lstm import build_decoder, decoder_step_model
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.models.step import State

_NOTEBOOK = "05_generate_captions"
_TOKENS = SpecialTokens(1, 2, (0,))

ops = keras.ops


_STEPS = (
    "what goes into the start model",
    "what comes out of the start model",
    "what comes out of the step model",
    "all layers are the trained ones",
    "logits",
)


def properties_of_steps(
    function: Callable, decoder: keras.Model, features: np.ndarray, words: np.ndarray
) -> Properties:
    """Rearrange a decoder and let it read words (images, steps) one by one."""
    model = function(decoder)
    if not isinstance(model, KerasStepModel):
        return properties(f"a {type(model).__name__}", _STEPS)
    start, step = model.start_model, model.step_model
    trained = {id(weight) for weight in decoder.weights}
    tensors = (start.inputs, start.outputs, step.outputs)
    values: list[Any] = [[tuple(tensor.shape) for tensor in group] for group in tensors]
    values.append(all(id(weight) in trained for weight in (*start.weights, *step.weights)))
    if len(start.inputs) == 1 and len(step.inputs) == len(start.outputs) + 1 == len(step.outputs) and values[-1]:
        state, logits = start.predict_on_batch(features), []
        state = state if isinstance(state, list) else [state]
        for column in words.T:
            after_word, *state = step.predict_on_batch([column, *state])
            logits.append(after_word)
        values.append(logits)
    return properties("a KerasStepModel", _STEPS, values)


def _step_cases(rng: np.random.Generator) -> list[Case]:
    def case(name: str, source: np.random.Generator) -> Case:
        decoder = build_decoder(8, 4, 3, 4, 5, 5)
        decoder.set_weights([draw_weights(w.shape, source) if w.ndim > 1 else w for w in decoder.get_weights()])
        decoder.get_layer("standardise").adapt(source.normal(2, 3, (20, 4)).astype(np.float32))
        features = source.normal(2, 3, (2, 4)).astype(np.float32)
        return Case(name, (decoder, features, source.integers(8, size=(2, 3)).astype(np.int32)))

    return [case("three words about two images", np.random.default_rng(3)), case("random words", rng)]


def written_captions(
    function: Callable,
    logits: np.ndarray,
    state: np.ndarray,
    tokens: SpecialTokens,
    max_len: int,
    draws_second: bool = False,
) -> Properties:
    """Let a function write with a model that is a table of logits (last word, next word), shifted by a state.

    Args:
        logits: (vocabulary, vocabulary).
        state: (rows, vocabulary), which moves on by one place with each word.
        draws_second: choose the second most probable word at every other position.
    """

    def next_word(words: Any, state: State) -> tuple[np.ndarray, State]:
        scores = logits[as_numpy(words)] + state.memory[0]
        return log_softmax(scores), State([np.roll(state.memory[0], 1, axis=1)])

    def choose(log_probs: Any, captions: Any, position: int) -> np.ndarray:
        ranks = (position + 1 + as_numpy(captions)) % 2 if draws_second else np.zeros(len(log_probs), dtype=int)
        return np.argsort(-as_numpy(log_probs), axis=-1)[np.arange(len(log_probs)), ranks]

    names = ("captions", "log-probabilities", "reached END")
    written = function(next_word, State([state]), choose, tokens, max_len)
    if not isinstance(written, (tuple, list)) or len(written) != 3:
        return properties(f"not three arrays, but {short(written)}", names)
    return properties("three arrays", names, map(as_numpy, written))


def _writing_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(5)

    def case(name: str, rows: int, max_len: int, ends: Any, tokens: tuple[int, int] = (1, 2), **options: Any) -> Case:
        source = rng if name.startswith("random") else fixed
        logits = source.normal(0, 2, (7, 7)).astype(np.float32)
        state = source.normal(0, 2, (rows, 7)).astype(np.float32)
        logits[:, tokens[1]] = np.array(ends, dtype=np.float32)  # how much the model wants to stop, by the last word
        return Case(name, (logits, state, SpecialTokens(*tokens, (0,)), max_len), options)

    middling = np.linspace(-1, 5, 7)
    return [
        case("one caption, which is cut", 1, 3, [-9] * 7),
        case("captions that all stop after a word", 2, 4, [9] * 7),
        case("captions that stop at different places", 4, 6, middling),
        case("START is 4 and END is 3", 4, 5, middling[::-1], (4, 3)),
        case("another choice than the most probable word", 4, 5, middling, draws_second=True),
        *(case(f"random captions, number {n}", 5, 6, rng.normal(2, 2, 7), draws_second=n == 2) for n in (1, 2)),
    ]


def in_numpy(function: Callable, probabilities: np.ndarray, number: float) -> Any:
    """The new probabilities, whatever library made them."""
    return as_numpy(function(probabilities, number))


def _random_distributions(rng: np.random.Generator, rows: int, low: float, high: float) -> list[Case]:
    """Distributions over seven words, with a random number between `low` and `high`."""

    def draw(number: int) -> tuple:
        return rng.dirichlet(np.ones(7), size=rows).astype(np.float32), float(rng.uniform(low, high))

    return random_cases("probabilities", 3, draw)


def _temperature_cases(rng: np.random.Generator) -> list[Case]:
    three = np.array([0.5, 0.4, 0.1], dtype=np.float32)
    two_rows = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=np.float32)
    return [
        Case("t = 1, which changes nothing", (three, 1)),
        Case("t = 0.5, which sharpens", (three, 0.5)),
        Case("t = 2, which flattens", (three, 2.0)),
        Case("two rows at once", (two_rows, 0.7)),
        Case("a word that is impossible", (np.array([0.75, 0.25, 0.0], dtype=np.float32), 3.0)),
        Case("t = 0.001, nearly greedy", (three, 0.001)),
        Case("t = 0", (three, 0)),
        Case("t is negative", (three, -1.0)),
        *_random_distributions(rng, 3, 0.2, 3.0),
    ]


def _top_p_cases(rng: np.random.Generator) -> list[Case]:
    four = np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32)
    rows = np.array([[0.1, 0.65, 0.25], [0.3, 0.25, 0.45]], dtype=np.float32)
    halves = np.array([0.125, 0.5, 0.25, 0.0625, 0.0625], dtype=np.float32)
    return [
        Case("the most probable word is enough", (four, 0.3)),
        Case("a word that crosses p", (four, 0.6)),
        Case("words that are not sorted, in two rows", (rows, 0.6)),
        Case("words that have exactly p together", (halves, 0.75)),
        Case("p = 1, which keeps all", (halves, 1.0)),
        *_random_distributions(rng, 4, 0.2, 0.9),
    ]


def extended_beams(
    function: Callable, beams: Beams, log_probs: np.ndarray, position: int, sampler: BeamSearch, tokens: SpecialTokens
) -> Properties:
    """Follow beams one word further."""
    names = ("parents", *Beams._fields)
    result = function(beams, log_probs, position, sampler, tokens)
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], Beams):
        return properties(f"no pair of Beams and parents, but {short(result)}", names)
    return properties("Beams and their parents", names, map(as_numpy, (result[1], *result[0])))


def _some_beams(sampler: BeamSearch, totals: Any, finished: Any, lengths: Any) -> Beams:
    """Beams by their log-probabilities, all (images, k); the words are numbers that tell the beams apart."""
    words, places = np.array(lengths, dtype=np.float32), np.arange(sampler.max_len)
    captions = 3 + (np.arange(words.size).reshape(words.shape)[..., None] + places) % 4
    ended = np.array(finished)[..., None] & (places >= words[..., None] - 1)
    captions = np.where(ended | (places >= words[..., None]), _TOKENS.end, captions).astype(np.int32)
    last = np.take_along_axis(captions, words.astype(int)[..., None] - 1, axis=-1)[..., 0]
    return Beams(last, captions, np.array(finished), words, np.array(totals, dtype=np.float32))


def _beam_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(7)

    def log_probs(source: np.random.Generator, images: int, k: int) -> np.ndarray:
        logits = source.normal(0, 1.5, (images, k, 7))
        logits[..., :2] = -30  # PAD and START are never said
        return np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(np.float32)

    def case(name: str, sampler: BeamSearch, totals: Any, finished: Any, lengths: Any) -> Case:
        source = rng if name.startswith("random") else fixed
        beams = _some_beams(sampler, totals, finished, lengths)
        return Case(name, (beams, log_probs(source, len(totals), sampler.k), int(np.max(lengths)), sampler, _TOKENS))

    def random_case(number: int, length_penalty: float) -> Case:
        finished = rng.random((3, 3)) < 0.4
        lengths = np.where(finished, rng.integers(1, 4, (3, 3)), 4)
        totals, sampler = -np.sort(rng.uniform(1, 4, (3, 3))), BeamSearch(3, length_penalty, max_len=6)
        return case(f"random beams, number {number}", sampler, totals, finished, lengths)

    two, three, no, some = BeamSearch(2, max_len=5), BeamSearch(3, max_len=5), [False] * 3, [False, True, False]
    first, by_mean = BeamSearch(3, max_len=4), BeamSearch(3, length_penalty=1.0, max_len=6)
    return [
        Case("the first word, with k = 3", (first_beams(2, first, _TOKENS), log_probs(fixed, 2, 3), 0, first, _TOKENS)),
        case("k = 1, which is greedy", BeamSearch(1, max_len=4), [[-1.0], [-2.0]], [[False], [False]], [[1], [1]]),
        case("no caption is finished", three, [[-1, -1.1, -1.2], [-2, -2.5, -2.6]], [no, no], [[2] * 3] * 2),
        case("one beam has the best continuations", two, [[-1.0, -9.0]], [[False, False]], [[2, 2]]),
        case("a finished caption stays the best", two, [[-0.5, -1.0]], [[True, False]], [[2, 3]]),
        case("a finished caption is among the best", three, [[-1, -1.6, -1.7]], [some], [[3, 2, 3]]),
        case("a finished caption is pushed out", three, [[-0.1, -9, -0.2]], [some], [[3, 2, 3]]),
        case("all captions are finished", two, [[-1.0, -2.0]], [[True, True]], [[2, 3]]),
        case("ranked by the mean of the words", by_mean, [[-3, -2.2, -3.1], [-2, -4, -4]], [some] * 2, [[4, 2, 4]] * 2),
        *(random_case(number, length_penalty) for number, length_penalty in ((1, 0.0), (2, 0.0), (3, 0.7))),
    ]  # fmt: skip


EXERCISES = (
    Exercise(decoder_step_model, _NOTEBOOK, _step_cases, observe=properties_of_steps),
    Exercise(write_captions, _NOTEBOOK, _writing_cases, observe=written_captions, tolerance=1e-4),
    Exercise(apply_temperature, _NOTEBOOK, _temperature_cases, observe=in_numpy),
    Exercise(keep_top_p, _NOTEBOOK, _top_p_cases, observe=in_numpy),
    Exercise(extend_beams, _NOTEBOOK, _beam_cases, observe=extended_beams, tolerance=1e-4),
)
"""In the order of the notebook."""
