"""The exercises of notebook 11: scaled dot-product attention, the causal mask, and the loss of the policy gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.exercises.compare import short
from say_what_you_see.exercises.exercise import Case, Exercise
from say_what_you_see.exercises.observe import Properties, as_numpy, draw_weights, properties
from say_what_you_see.models.transformer import causal_mask, scaled_dot_product_attention
from say_what_you_see.training.self_critical import policy_gradient_loss

_NOTEBOOK = "11_attention_is_all_you_need"
_SEEN = ("weights", "what was seen")

ops = keras.ops


def look(function: Callable, queries: np.ndarray, keys: np.ndarray, values: np.ndarray, mask: Any = None) -> Properties:
    """What was seen and the weights; the weights first, since the other is made from them."""
    result = function(*map(ops.convert_to_tensor, (queries, keys, values)), mask)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return properties(f"not what was seen and the weights, but {short(result)}", _SEEN)
    return properties("what was seen and the weights", _SEEN, map(as_numpy, reversed(result)))


def _look_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(19)

    def case(name: str, lead: tuple, n: int, m: int, d: int, size: int, *mask: np.ndarray, scale: float = 1.0) -> Case:
        source = rng if name.startswith("random") else fixed
        shapes = ((*lead, n, d), (*lead, m, d), (*lead, m, size))
        return Case(name, (*(draw_weights(shape, source) * np.float32(scale) for shape in shapes), *mask))

    before = np.tril(np.ones((4, 4), dtype=bool))
    return [
        case("one query, three keys", (1,), 1, 3, 4, 2),
        case("two pictures, three queries, five keys", (2,), 3, 5, 4, 6),
        case("pictures and heads in front", (2, 3), 4, 5, 6, 6),
        case("a mask: words see those before them only", (2,), 4, 4, 3, 3, before),
        case("large numbers", (1,), 2, 3, 4, 4, scale=40.0),
        case("random numbers", (3,), 2, 4, 5, 3),
    ]


def make_mask(function: Callable, queries: int, keys: int) -> np.ndarray:
    """The mask as an array."""
    return as_numpy(function(queries, keys)).astype(bool)


def _mask_cases(rng: np.random.Generator) -> list[Case]:
    queries = int(rng.integers(2, 20))
    return [
        Case("four words", (4, 4)),
        Case("one word", (1, 1)),
        Case("the last of five words", (1, 5)),
        Case("the last two of six words", (2, 6)),
        Case("random numbers of words", (queries, queries + int(rng.integers(1, 20)))),
    ]


def lose(function: Callable, log_probabilities: np.ndarray, rewards: np.ndarray) -> Properties:
    """The loss, one number."""
    return properties(
        "a loss", ("loss",), [as_numpy(function(*map(ops.convert_to_tensor, (log_probabilities, rewards))))]
    )


def _loss_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(23)

    def case(name: str, pictures: int, samples: int) -> Case:
        source = rng if name.startswith("random") else fixed
        drawn = -10 * source.random((pictures, samples)), source.random((pictures, samples)) * 3
        return Case(name, tuple(array.astype("float32") for array in drawn))

    return [
        case("one picture, two captions", 1, 2),
        case("three pictures, five captions each", 3, 5),
        Case("all captions earn the same", (np.full((2, 3), -4, "float32"), np.full((2, 3), 1.5, "float32"))),
        case("random numbers", 4, 3),
    ]


EXERCISES = (
    Exercise(scaled_dot_product_attention, _NOTEBOOK, _look_cases, observe=look),
    Exercise(causal_mask, _NOTEBOOK, _mask_cases, observe=make_mask),
    Exercise(policy_gradient_loss, _NOTEBOOK, _loss_cases, observe=lose),
)
"""In the order of the notebook."""
