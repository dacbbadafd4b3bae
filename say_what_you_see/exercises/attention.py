"""The exercises of notebook 08: a vocabulary, the attention layer, a step of the decoder, a loop, and a control."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.exercises.compare import short
from say_what_you_see.exercises.exercise import Case, Exercise, random_cases
from say_what_you_see.exercises.observe import Properties, as_numpy, draw_weights, properties
from say_what_you_see.models.attention import (
    AttentionCell,
    BahdanauAttention,
    build_visual_attention,
    most_frequent_words,
    predict_step_by_step,
    with_even_attention,
)

_NOTEBOOK = "08_visual_attention"
_WORDS = ("a", "red", "blue", "ball", "kite", "house", "below", "zebra")

ops = keras.ops


def _word_cases(rng: np.random.Generator) -> list[Case]:
    toy = [["A red ball.", "The red sun"], ["a kite"]]

    def draw(number: int) -> tuple:
        captions = [[" ".join(rng.choice(_WORDS, size=5).tolist()) for _ in range(2)] for _ in range(4)]
        return captions, int(rng.integers(2, 6))

    return [
        Case("two of the words", (toy, 2)),
        Case("words that are equally frequent", ([["zebra kite ball house"]], 2)),
        Case("a word that occurs often in one caption", ([["ball ball ball kite"], ["kite", "house", "a kite"]], 1)),
        Case("fewer words than the limit", (toy, 100)),
        Case("without a limit, which then is 5,000", (toy,)),
        Case("no word at all", (toy, 0)),
        *random_cases("captions", 3, draw),
    ]


def _pair(result: Any, first: str, second: str) -> Properties:
    """Two arrays under their names; the second first, since the first is made from it."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return properties(f"not {first} and {second}, but {short(result)}", (second, first))
    return properties(f"{first} and {second}", (second, first), map(as_numpy, reversed(result)))


def look_once(
    layer_class: Callable, hidden: np.ndarray, regions: np.ndarray, keys: np.ndarray, kernels: Sequence[np.ndarray]
) -> Properties:
    """Make a layer, give it the weights of W2 and V, and let it look once."""
    layer = layer_class(keys.shape[-1])
    layer.build(hidden.shape, regions.shape, keys.shape)
    layer.W2.kernel.assign(kernels[0])
    layer.V.kernel.assign(kernels[1])
    return _pair(layer(*map(ops.convert_to_tensor, (hidden, regions, keys))), "context", "weights")


def _attention_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(11)

    def case(name: str, batch: int, regions: int, size: int, units: int, state: int, scale: float = 1.0) -> Case:
        source = rng if name.startswith("random") else fixed
        shapes = ((batch, state), (batch, regions, size), (batch, regions, units))
        inputs = (draw_weights(shape, source) * np.float32(scale) for shape in shapes)
        kernels = [draw_weights((state, units), source), 3 * draw_weights((units, 1), source)]
        return Case(name, (*inputs, kernels))

    return [
        case("one picture", 1, 3, 2, 4, 5),
        case("two pictures of four regions", 2, 4, 3, 5, 6),
        case("as many regions as pictures, sizes and units", 3, 3, 3, 3, 3),
        case("large numbers", 2, 3, 4, 5, 6, scale=20.0),
        case("random numbers", 3, 5, 4, 6, 2),
    ]


def take_one_step(
    cell_class: Callable,
    word: np.ndarray,
    hidden: np.ndarray,
    regions: np.ndarray,
    keys: np.ndarray,
    kernels: Sequence[np.ndarray],
) -> Properties:
    """Make a cell with the course's own attention, so that this exercise can be done first, and take one step."""
    cell = cell_class(hidden.shape[-1], keys.shape[-1])
    cell.attention = BahdanauAttention(keys.shape[-1])
    cell.build(word.shape, hidden.shape, regions.shape, keys.shape)
    for layer, weights in ((cell.attention.W2, kernels[:1]), (cell.attention.V, kernels[1:2]), (cell.gru, kernels[2:])):
        layer.set_weights(weights)
    return _pair(cell(*map(ops.convert_to_tensor, (word, hidden, regions, keys))), "new state", "weights")


def _cell_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(13)

    def case(name: str, batch: int, regions: int, size: int, units: int, state: int, word: int) -> Case:
        source = rng if name.startswith("random") else fixed
        inputs = ((batch, word), (batch, state), (batch, regions, size), (batch, regions, units))
        kernels = [(state, units), (units, 1), (size + word, 3 * state), (state, 3 * state), (2, 3 * state)]
        return Case(name, (*(draw_weights(s, source) for s in inputs), [draw_weights(s, source) for s in kernels]))

    return [
        case("one picture", 1, 3, 2, 4, 5, 3),
        case("three pictures", 3, 4, 5, 3, 6, 2),
        case("state, word and region of the same size", 2, 3, 4, 4, 4, 4),
        case("random numbers", 2, 5, 3, 2, 4, 6),
    ]


def loop_over_words(function: Callable, model: keras.Model, features: np.ndarray, words: np.ndarray) -> Properties:
    """Logits and weights of every step."""
    return _pair(function(model, features, words), "logits", "weights")


def _loop_cases(rng: np.random.Generator) -> list[Case]:
    def case(name: str, batch: int, steps: int) -> Case:
        source = rng if name.startswith("random") else np.random.default_rng(17)
        words = source.integers(7, size=(batch, steps)).astype(np.int32)
        model = build_visual_attention(7, regions=3, feature_size=4, embedding_size=5, units=6, attention_units=4)
        model.set_weights([draw_weights(w.shape, source) if w.ndim > 1 else w for w in model.get_weights()])
        return Case(name, (model, draw_weights((batch, 3, 4), source), words))

    return [case("one picture, one word", 1, 1), case("two pictures, four words", 2, 4), case("random words", 3, 5)]


_EVEN = ("the given model is as it was", "the copy is a model of its own", "the copy has the trained weights", "logits")


def properties_of_even_model(
    function: Callable, model: keras.Model, features: np.ndarray, words: np.ndarray
) -> Properties:
    """Make a copy with even attention; what both models say, and whether the first one is as before."""
    before = model.get_weights()
    copy = function(model)
    unchanged = all(map(np.array_equal, before, model.get_weights()))
    model.set_weights(before)
    if not isinstance(copy, keras.Model):
        return properties(f"no model, but {short(copy)}", _EVEN)

    def is_kept(name: str) -> bool:
        return np.array_equal(*(each.get_layer(name).get_weights()[0] for each in (copy, model)))

    values = [unchanged, copy is not model, is_kept("word_embedding") and is_kept("logits")]
    if all(values):
        values.append(as_numpy(copy([features, words], training=False)))
    return properties("a model", _EVEN, values)


EXERCISES = (
    Exercise(most_frequent_words, _NOTEBOOK, _word_cases),
    Exercise(BahdanauAttention, _NOTEBOOK, _attention_cases, observe=look_once),
    Exercise(AttentionCell, _NOTEBOOK, _cell_cases, observe=take_one_step),
    Exercise(predict_step_by_step, _NOTEBOOK, _loop_cases, observe=loop_over_words, tolerance=1e-4),
    Exercise(
        with_even_attention,
        _NOTEBOOK,
        lambda rng: _loop_cases(rng)[1:],
        observe=properties_of_even_model,
        tolerance=1e-4,
    ),
)
"""In the order of the notebook."""
