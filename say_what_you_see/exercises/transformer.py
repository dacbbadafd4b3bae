"""The exercises of notebook 11: scaled dot-product attention, the causal mask, and the policy gradient's loss."""

from collections.abc import Callable
from typing import Any

import numpy as np

from say_what_you_see.exercises.compare import Properties, as_numpy, draw_weights, two_arrays, with_tensors
from say_what_you_see.exercises.exercise import Cases, Exercise, drawn_cases
from say_what_you_see.models.transformer import causal_mask, scaled_dot_product_attention
from say_what_you_see.training.self_critical import policy_gradient_loss


def look(function: Callable, *arguments: np.ndarray) -> Properties:
    """What was seen and the weights."""
    mask = arguments[3] if len(arguments) > 3 else None
    result = with_tensors(lambda *tensors: function(*tensors, mask), *arguments[:3])
    return two_arrays(result, "what was seen", "the weights")


def _look_cases(rng: np.random.Generator) -> Cases:
    def draw(source: np.random.Generator, lead: tuple, n: int, m: int, d: int, size: int, scale: int = 1, *mask: Any):
        shapes = ((*lead, n, d), (*lead, m, d), (*lead, m, size))
        return (*(scale * draw_weights(shape, source) for shape in shapes), *mask)

    table = {
        "one query, three keys": ((1,), 1, 3, 4, 2),
        "two pictures, three queries, five keys": ((2,), 3, 5, 4, 6),
        "pictures and heads in front": ((2, 3), 4, 5, 6, 6),
        "a mask: no word sees those after it": ((2,), 4, 4, 3, 3, 1, np.tril(np.ones((4, 4), dtype=bool))),
        "large numbers": ((1,), 2, 3, 4, 4, 40),
        "random numbers": ((3,), 2, 4, 5, 3),
    }
    return drawn_cases(rng, draw, table)


def _mask_cases(rng: np.random.Generator) -> Cases:
    queries = int(rng.integers(2, 20))
    return {
        "four words": (4, 4),
        "one word": (1, 1),
        "the last of five words": (1, 5),
        "the last two of six words": (2, 6),
        "random numbers of words": (queries, queries + int(rng.integers(1, 20))),
    }


def _loss_cases(rng: np.random.Generator) -> Cases:
    def draw(source: np.random.Generator, pictures: int, samples: int) -> tuple:
        drawn = -10 * source.random((pictures, samples)), source.random((pictures, samples)) * 3
        return tuple(array.astype("float32") for array in drawn)

    table = {
        "one picture, two captions": (1, 2),
        "three pictures, five captions each": (3, 5),
        "random numbers": (4, 3),
    }
    equal = np.full((2, 3), -4, "float32"), np.full((2, 3), 1.5, "float32")
    return {"all captions earn the same": equal} | drawn_cases(rng, draw, table)


EXERCISES = (
    Exercise(scaled_dot_product_attention, _look_cases, look),
    Exercise(causal_mask, _mask_cases, lambda function, *arguments: as_numpy(function(*arguments)).astype(bool)),
    Exercise(
        policy_gradient_loss, _loss_cases, lambda function, *arguments: as_numpy(with_tensors(function, *arguments))
    ),
)
