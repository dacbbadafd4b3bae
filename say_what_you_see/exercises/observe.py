"""Results of learners' functions in a form that can be compared, whichever library they come from."""

from collections.abc import Callable
from typing import Any

import numpy as np

from say_what_you_see.exercises.compare import dtype_of, short


class Properties(dict):
    """What is true of a result, such as {"every picture can be drawn": True}, the most telling property first.

    Where chance plays a part, or a model is built, two right answers differ. Their properties do not, so these are
    compared. A report shows only the first property that differs. The first one is the "form" of the result; a result
    of the wrong form has no others.
    """

    def line(self, where: str, value: str) -> str:
        """The property at `where`, such as "['logits'][0, 2]", and its value, as text for people."""
        key = next((key for key in self if where.startswith(f"[{key!r}]")), "")
        return f"{key}{where.removeprefix(f'[{key!r}]')}: {value}"


def two_arrays(result: Any, first: str, second: str) -> Properties:
    """Two arrays or tensors under their names; the second first, since the first is made from it."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return Properties(form=f"not {first} and {second}, but {short(result)}")
    one, other = map(as_numpy, result)
    return Properties({"form": f"{first} and {second}", second: other, first: one})


def as_numpy(value: Any) -> Any:
    """Tensors as NumPy arrays: floats as float32, whole numbers as int32; also inside lists and tuples.

    What cannot be an array stays as it is, so that a report can show it.
    """
    from say_what_you_see.core.backend import keras  # the first exercises need no Keras

    if isinstance(value, (list, tuple)):
        return [as_numpy(part) for part in value]
    if not hasattr(value, "shape") and not isinstance(value, (bool, int, float)):
        return value
    array = np.asarray(keras.ops.convert_to_numpy(value))
    if array.dtype == bool:
        return array
    return array.astype(np.float32 if array.dtype.kind == "f" or array.dtype.name == "bfloat16" else np.int32)


def array_of(function: Callable, *arguments: Any) -> Any:
    """What a function returns as an array, whatever library made it."""
    return as_numpy(function(*arguments))


def with_tensors(function: Callable, *arrays: np.ndarray) -> Any:
    """What a function or layer returns for arrays that it gets as tensors."""
    from say_what_you_see.core.backend import keras

    return function(*map(keras.ops.convert_to_tensor, arrays))


def describe(value: Any) -> str:
    """Type and shape in a few words: "float32 (8, 5)", "not an array, but a list"."""
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return "None" if value is None else f"not an array, but a {type(value).__name__}"
    return f"{dtype_of(value)} {tuple(value.shape)}"


def draw_weights(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Weights large enough for a network's outputs to differ clearly."""
    return rng.normal(0, 1.0, shape).astype(np.float32)
