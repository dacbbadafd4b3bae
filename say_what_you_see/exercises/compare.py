"""Where two values differ first, in words for a learner: nested lists, dictionaries, texts, arrays, tensors."""

import copy
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from numbers import Number
from typing import Any

import numpy as np

_LONGEST = 160  # characters of a value that a report shows
_KINDS = (
    (np.ndarray, "a NumPy array"),
    ((bool, np.bool_), "a truth value"),
    ((int, np.integer), "a whole number"),
    ((float, np.floating), "a number with a point"),
    (str, "a text"),
    (list, "a list"),
    (dict, "a dictionary"),
    (type(None), "None"),
)


@dataclass(frozen=True)
class Difference:
    """The first place at which a result is not the expected one."""

    where: str  # the way there, such as "[0][2]" or "['a']"; empty for the result as a whole
    expected: str  # what should stand there
    received: str  # what stands there


def first_difference(expected: Any, received: Any, tolerance: float = 1e-5, where: str = "") -> Difference | None:
    """Compare two values: type, structure, shape, dtype, then numbers and texts.

    Args:
        tolerance: how far floating-point numbers may differ, relative to the expected one or to 1.
        where: the way to these values, with which the way to the difference begins.
    """
    if _kind(expected) != _kind(received):
        return Difference(where, _with_kind(expected), _with_kind(received))
    if _is_array(expected):
        return _array_difference(expected, received, tolerance, where)
    if is_dataclass(expected):
        pairs = ((f".{f.name}", getattr(expected, f.name), getattr(received, f.name)) for f in fields(expected))
        return _difference_inside(pairs, tolerance, where)
    if isinstance(expected, Mapping):
        return _mapping_difference(expected, received, tolerance, where)
    if isinstance(expected, (list, tuple)):
        return _sequence_difference(expected, received, tolerance, where)
    if _same(expected, received, tolerance):
        return None
    return Difference(where, short(expected), short(received))


def short(value: Any, longest: int = _LONGEST) -> str:
    """A value in one line, with dots where it is long."""
    if _is_array(value):
        return _short_array(value, longest)
    if callable(value) and hasattr(value, "__name__"):
        return f"{value.__name__}()"
    shortener = reprlib.Repr()
    shortener.maxlist = shortener.maxtuple = shortener.maxset = shortener.maxdict = 20
    shortener.maxstring = shortener.maxother = longest
    shortener.maxlevel = 5
    plain = value.item() if isinstance(value, np.generic) else value
    return shorten(" ".join(shortener.repr(plain).split()), longest)


def shorten(text: str, longest: int = _LONGEST) -> str:
    """A text, with dots where it is long."""
    return text if len(text) <= longest else f"{text[: longest - 2]} …"


def copy_of(values: Sequence) -> list:
    """Deep copies of arguments; models stay themselves."""
    models = {id(value): value for value in values if hasattr(value, "get_weights")}
    return copy.deepcopy(list(values), models)


def _is_array(value: Any) -> bool:
    """Whether it is an array or a tensor of NumPy, Keras or its backend, which need not be imported for this."""
    return all(hasattr(value, name) for name in ("shape", "dtype")) and not isinstance(value, (type, np.generic))


def _kind(value: Any) -> str:
    """What must be the same before values can be compared."""
    known = next((name for kind, name in _KINDS if isinstance(value, kind)), None)
    return known or ("a tensor" if _is_array(value) else f"a {type(value).__name__}")


def _with_kind(value: Any) -> str:
    return "None" if value is None else f"{_kind(value)}, {short(value)}"


def _same(expected: Any, received: Any, tolerance: float) -> bool:
    if not isinstance(expected, (float, np.inexact)):
        return bool(expected is received or expected == received)
    return bool(np.isclose(received, expected, rtol=tolerance, atol=tolerance, equal_nan=True))


def _difference_inside(parts: Iterable[tuple[str, Any, Any]], tolerance: float, where: str) -> Difference | None:
    """The first difference among (step, expected, received)."""
    differences = (first_difference(expected, received, tolerance, where + step) for step, expected, received in parts)
    return next((difference for difference in differences if difference), None)


def _sequence_difference(expected: Sequence, received: Sequence, tolerance: float, where: str) -> Difference | None:
    pairs = ((f"[{i}]", a, b) for i, (a, b) in enumerate(zip(expected, received, strict=False)))
    inside = _difference_inside(pairs, tolerance, where)
    if len(expected) == len(received):
        return inside
    if inside and not all(isinstance(value, (str, Number)) for value in expected):
        return inside
    return Difference(where, *(f"{_kind(part)} of {len(part)}, {short(part)}" for part in (expected, received)))


def _mapping_difference(expected: Mapping, received: Mapping, tolerance: float, where: str) -> Difference | None:
    for key in [*expected, *received]:
        if key not in received or key not in expected:
            texts = (short(part[key]) if key in part else f"no key {key!r}" for part in (expected, received))
            return Difference(f"{where}[{key!r}]", *texts)
    return _difference_inside(((f"[{key!r}]", expected[key], received[key]) for key in expected), tolerance, where)


def _array_difference(expected: Any, received: Any, tolerance: float, where: str) -> Difference | None:
    for name, read in (("shape", lambda value: str(tuple(value.shape))), ("dtype", _dtype)):
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
    place = tuple(int(i) for i in np.argwhere(unequal)[0])
    step = f"[{', '.join(map(str, place))}]" if place else ""
    return Difference(where + step, short(wanted[place].item()), short(found[place].item()))


def _dtype(value: Any) -> str:
    """As in "float32", whatever the library; PyTorch says torch.float32."""
    return getattr(value.dtype, "name", str(value.dtype).rpartition(".")[2])


def _values(value: Any) -> np.ndarray | None:
    """The numbers of an array or tensor; of small float types as float32; None for a symbolic tensor."""
    try:
        value = value.detach().cpu() if hasattr(value, "detach") else value  # PyTorch, with gradients
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None
    return array.astype(np.float32) if array.dtype.name in ("bfloat16", "float16") else array


def _short_array(value: Any, longest: int) -> str:
    values = _values(value)
    if values is None:
        return f"a tensor of shape {tuple(value.shape)}"
    text = " ".join(np.array2string(values, threshold=40, edgeitems=3, precision=4, separator=", ").split())
    return shorten(text.replace("[ ", "["), longest)
