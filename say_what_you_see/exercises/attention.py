"""The exercises of notebook 08: a vocabulary, the attention layer, a step of the decoder, a loop, and a control."""

from collections.abc import Callable, Sequence

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.exercises.compare import Properties, as_numpy, draw_weights, short, two_arrays, with_tensors
from say_what_you_see.exercises.exercise import Cases, Exercise, drawn_cases, random_cases
from say_what_you_see.models.attention import (
    AttentionCell,
    BahdanauAttention,
    build_visual_attention,
    most_frequent_words,
    predict_step_by_step,
    with_even_attention,
)

_WORDS = ("a", "red", "blue", "ball", "kite", "house", "below", "zebra")


def _word_cases(rng: np.random.Generator) -> Cases:
    toy = [["A red ball.", "The red sun"], ["a kite"]]

    def draw(number: int) -> tuple:
        captions = [[" ".join(rng.choice(_WORDS, size=5).tolist()) for _ in range(2)] for _ in range(4)]
        return captions, int(rng.integers(2, 6))

    return {
        "two of the words": (toy, 2),
        "words that are equally frequent": ([["zebra kite ball house"]], 2),
        "a word that occurs often in one caption": ([["ball ball ball kite"], ["kite", "house", "a kite"]], 1),
        "fewer words than the limit": (toy, 100),
        "no limit given, so it is 5,000": (toy,),
        "no word at all": (toy, 0),
        **random_cases("captions", 3, draw),
    }


def look_once(
    layer_class: Callable, hidden: np.ndarray, regions: np.ndarray, keys: np.ndarray, kernels: Sequence[np.ndarray]
) -> Properties:
    """Make a layer, give it the weights of W2 and V, and let it look once."""
    layer = layer_class(keys.shape[-1])
    layer.build(hidden.shape, regions.shape, keys.shape)
    layer.W2.kernel.assign(kernels[0])
    layer.V.kernel.assign(kernels[1])
    return two_arrays(with_tensors(layer, hidden, regions, keys), "context", "weights")


def _attention_cases(rng: np.random.Generator) -> Cases:
    def draw(source: np.random.Generator, batch: int, regions: int, size: int, units: int, state: int, scale: int = 1):
        shapes = ((batch, state), (batch, regions, size), (batch, regions, units))
        kernels = [draw_weights((state, units), source), 3 * draw_weights((units, 1), source)]
        return (*(scale * draw_weights(shape, source) for shape in shapes), kernels)

    table = {
        "one picture": (1, 3, 2, 4, 5),
        "two pictures of four regions": (2, 4, 3, 5, 6),
        "as many regions as pictures, sizes and units": (3, 3, 3, 3, 3),
        "large numbers": (2, 3, 4, 5, 6, 20),
        "random numbers": (3, 5, 4, 6, 2),
    }
    return drawn_cases(rng, draw, table)


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
    return two_arrays(with_tensors(cell, word, hidden, regions, keys), "new state", "weights")


def _cell_cases(rng: np.random.Generator) -> Cases:
    def draw(source: np.random.Generator, batch: int, regions: int, size: int, units: int, state: int, word: int):
        inputs = ((batch, word), (batch, state), (batch, regions, size), (batch, regions, units))
        kernels = [(state, units), (units, 1), (size + word, 3 * state), (state, 3 * state), (2, 3 * state)]
        return (*(draw_weights(s, source) for s in inputs), [draw_weights(s, source) for s in kernels])

    table = {
        "one picture": (1, 3, 2, 4, 5, 3),
        "three pictures": (3, 4, 5, 3, 6, 2),
        "state, word and region of the same size": (2, 3, 4, 4, 4, 4),
        "random numbers": (2, 5, 3, 2, 4, 6),
    }
    return drawn_cases(rng, draw, table)


def _loop_cases(rng: np.random.Generator) -> Cases:
    def draw(source: np.random.Generator, batch: int, steps: int) -> tuple:
        words = source.integers(7, size=(batch, steps)).astype(np.int32)
        model = build_visual_attention(7, regions=3, feature_size=4, embedding_size=5, units=6, attention_units=4)
        model.set_weights([draw_weights(w.shape, source) if w.ndim > 1 else w for w in model.get_weights()])
        return model, draw_weights((batch, 3, 4), source), words

    table = {"one picture, one word": (1, 1), "two pictures, four words": (2, 4), "random words": (3, 5)}
    return drawn_cases(rng, draw, table)


def properties_of_even_model(
    function: Callable, model: keras.Model, features: np.ndarray, words: np.ndarray
) -> Properties:
    """Make a copy with even attention: what both models predict, and whether the first one is unchanged."""
    before = model.get_weights()
    copy = function(model)
    unchanged = all(map(np.array_equal, before, model.get_weights()))
    model.set_weights(before)
    if not isinstance(copy, keras.Model):
        return Properties(form=f"not a model, but {short(copy)}")
    pairs = [[each.get_layer(name).get_weights()[0] for each in (copy, model)] for name in ("word_embedding", "logits")]
    found = Properties(
        {
            "form": "a model",
            "the given model is unchanged": unchanged,
            "the copy is a model of its own": copy is not model,
            "the copy has the trained weights": all(np.array_equal(*pair) for pair in pairs),
        }
    )
    if all(found.values()):
        found["logits"] = as_numpy(copy([features, words], training=False))
    return found


EXERCISES = (
    Exercise(most_frequent_words, _word_cases),
    Exercise(BahdanauAttention, _attention_cases, look_once),
    Exercise(AttentionCell, _cell_cases, take_one_step),
    Exercise(
        predict_step_by_step,
        _loop_cases,
        lambda function, *arguments: two_arrays(function(*arguments), "logits", "weights"),
    ),
    Exercise(with_even_attention, _loop_cases, properties_of_even_model),
)
