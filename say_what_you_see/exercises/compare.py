"""Results of learners' functions: in a form that can be compared, and the first difference of two in words for people.

They may be nested lists, dictionaries, texts, arrays, or tensors of any library.
"""

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

_LONGEST = 160  # characters of a value that a report shows


# Forms of results


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
    if isinstance(value, (list, tuple)):
        return [as_numpy(part) for part in value]
    array = _values(value) if hasattr(value, "shape") or isinstance(value, (bool, int, float)) else None
    if array is None:
        return value
    kinds = {"b": np.bool_, "f": np.float32}
    return array.astype(kinds.get(array.dtype.kind, np.int32))


def array_of(function: Callable, *arguments: Any) -> Any:
    """What a function returns as an array, whatever library made it."""
    return as_numpy(function(*arguments))


def with_tensors(function: Callable, *arrays: np.ndarray) -> Any:
    """What a function or layer returns for arrays that it gets as tensors."""
    from say_what_you_see.core.backend import keras  # the first exercises need no Keras

    return function(*map(keras.ops.convert_to_tensor, arrays))


def describe(value: Any) -> str:
    """Type and shape in a few words: "float32 (8, 5)", "not an array, but a list"."""
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return "None" if value is None else f"not an array, but a {type(value).__name__}"
    return f"{dtype_of(value)} {tuple(value.shape)}"


def draw_weights(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Weights large enough for a network's outputs to differ clearly."""
    return rng.normal(0, 1.0, shape).astype(np.float32)


# Differences


@dataclass(frozen=True)
class Difference:
    """The first place where a result differs from the expected one."""

    where: str  # the path to it, such as "[0][2]" or "['a']"; empty for the result as a whole
    expected: str  # what should be there
    received: str  # what is there


def first_difference(expected: Any, received: Any, tolerance: float = 1e-4, where: str = "") -> Difference | None:
    """Compare two values: type, structure, shape, dtype, then numbers and texts.

    Args:
        tolerance: how far floating-point numbers may differ, relative to the expected one or to 1.
        where: the path to these values, with which the path to the difference begins.
    """
    if _kind(expected) != _kind(received):
        return Difference(where, _with_kind(expected), _with_kind(received))
    if _is_array(expected):
        return _array_difference(expected, received, tolerance, where)
    parts, others = _parts(expected), _parts(received)
    for step in dict.fromkeys((*parts, *others)):
        if step not in parts or step not in others:
            return Difference(where + step, *(short(p[step]) if step in p else "nothing" for p in (parts, others)))
        if inside := first_difference(parts[step], others[step], tolerance, where + step):
            return inside
    if parts or others or _same(expected, received, tolerance):
        return None
    return Difference(where, short(expected), short(received))


def short(value: Any, longest: int = _LONGEST) -> str:
    """A value on one line, with dots if it is long."""
    if _is_array(value):
        values = _values(value)
        if values is None:
            return f"a tensor of shape {tuple(value.shape)}"
        text = " ".join(np.array2string(values, threshold=40, edgeitems=3, precision=4, separator=", ").split())
        return shorten(text.replace("[ ", "["), longest)
    if callable(value) and hasattr(value, "__name__"):
        return f"{value.__name__}()"
    return shorten(" ".join(repr(_plain(value)).split()), longest)


def shorten(text: str, longest: int = _LONGEST) -> str:
    """A text, with dots if it is long."""
    return text if len(text) <= longest else f"{text[: longest - 2]} …"


def copy_of(values: Collection) -> list:
    """Deep copies of arguments; models are not copied."""
    models = {id(value): value for value in values if hasattr(value, "get_weights")}
    return copy.deepcopy(list(values), models)


def dtype_of(value: Any) -> str:
    """The type of an array's or tensor's numbers, as in "float32", whatever the library; PyTorch says torch.float32."""
    return getattr(value.dtype, "name", str(value.dtype).rpartition(".")[2])


def _is_array(value: Any) -> bool:
    """Whether it is an array or a tensor of NumPy, Keras or its backend, none of which is imported for this."""
    return all(hasattr(value, name) for name in ("shape", "dtype")) and not isinstance(value, (type, np.generic))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _kind(value: Any) -> str:
    """What must be the same before values can be compared."""
    if _is_array(value):
        return "NumPy array" if isinstance(value, np.ndarray) else "tensor"
    builtin = next((kind for kind in (dict, list, str) if isinstance(value, kind)), type(_plain(value)))
    return builtin.__name__


def _with_kind(value: Any) -> str:
    return "None" if value is None else f"{_kind(value)} {short(value)}"


def _parts(value: Any) -> dict[str, Any]:
    """The parts of a value, by the path to each; empty for a value that has no parts."""
    if is_dataclass(value):
        return {f".{field.name}": getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {f"[{key!r}]": part for key, part in value.items()}
    return {f"[{i}]": part for i, part in enumerate(value)} if isinstance(value, (list, tuple)) else {}


def _same(expected: Any, received: Any, tolerance: float) -> bool:
    if not isinstance(expected, (float, np.inexact)):
        return bool(expected is received or expected == received)
    return bool(np.isclose(received, expected, rtol=tolerance, atol=tolerance, equal_nan=True))


def _array_difference(expected: Any, received: Any, tolerance: float, where: str) -> Difference | None:
    for name, read in (("shape", lambda value: tuple(value.shape)), ("dtype", dtype_of)):
        if read(expected) != read(received):
            return Difference(where, *(f"{name} {read(value)}, {short(value)}" for value in (expected, received)))
    wanted, found = _values(expected), _values(received)
    if wanted is None or found is None:
        return None  # symbolic tensors of Keras: there is nothing beyond shape and dtype
    if np.issubdtype(wanted.dtype, np.inexact):
        unequal = ~np.isclose(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    else:
        unequal = found != wanted
    if not unequal.any():
        return None
    place = tuple(map(int, np.argwhere(unequal)[0]))
    step = f"[{', '.join(map(str, place))}]" if place else ""
    return Difference(where + step, short(wanted[place].item()), short(found[place].item()))


def _values(value: Any) -> np.ndarray | None:
    """The numbers of an array or tensor; of small float types as float32; None for a symbolic tensor."""
    try:
        value = value.detach().cpu() if hasattr(value, "detach") else value  # PyTorch, with gradients
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None
    return array.astype(np.float32) if array.dtype.name in ("bfloat16", "float16") else array
