"""Where two values differ first, in words for a learner: nested lists, dictionaries, texts, arrays, tensors."""

from __future__ import annotations

import copy
import reprlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from numbers import Number
from typing import Any

import numpy as np

_LONGEST = 160  # characters of a value that a report shows


@dataclass(frozen=True)
class Difference:
    """The first place at which a result is not the expected one.

    Attributes:
        where: the way there, such as "[0][2]" or "['a']"; empty for the result as a whole.
        expected: what should stand there.
        received: what stands there.
    """

    where: str
    expected: str
    received: str


def first_difference(expected: Any, received: Any, tolerance: float = 1e-5, where: str = "") -> Difference | None:
    """Compare two values: type, structure, shape, dtype, then numbers and texts.

    Args:
        expected: the right value.
        received: the value to look at.
        tolerance: how far floating-point numbers may differ, relative to the expected one or to 1.
        where: the way to these values, from which the answer's goes on.

    Returns:
        The first difference; None where there is none.
    """
    if _kind(expected) != _kind(received):
        return Difference(where, _with_kind(expected), _with_kind(received))
    if _is_array(expected):
        return _array_difference(expected, received, tolerance, where)
    if is_dataclass(expected) and not isinstance(expected, type):
        pairs = [(f".{field.name}", field.name) for field in fields(expected)]
        inside = ((step, getattr(expected, name), getattr(received, name)) for step, name in pairs)
        return _difference_inside(inside, tolerance, where)
    if isinstance(expected, Mapping):
        return _mapping_difference(expected, received, tolerance, where)
    if isinstance(expected, Set):
        return _set_difference(expected, received, where)
    if isinstance(expected, Sequence) and not isinstance(expected, (str, bytes)):
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
    text = " ".join(shortener.repr(_plain(value)).split())
    return shorten(text, longest)


def shorten(text: str, longest: int = _LONGEST) -> str:
    """A text, with dots where it is long."""
    return text if len(text) <= longest else f"{text[: longest - 2]} …"


def copy_of(value: Any) -> Any:
    """A copy of containers, arrays and random generators, down to the bottom; models and functions stay themselves."""
    if isinstance(value, (np.ndarray, np.random.Generator)):
        return copy.deepcopy(value)
    if type(value) in (list, tuple, set):
        return type(value)(map(copy_of, value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(copy_of, value))
    if isinstance(value, dict):
        twin = copy.copy(value)  # keeps the default of a defaultdict
        twin.update({key: copy_of(item) for key, item in value.items()})
        return twin
    if is_dataclass(value) and not isinstance(value, type):
        twin = copy.copy(value)
        for field in fields(value):
            object.__setattr__(twin, field.name, copy_of(getattr(value, field.name)))  # it may be frozen
        return twin
    return value


def _is_array(value: Any) -> bool:
    """Whether it is an array or a tensor of NumPy, Keras or its backend, which need not be imported for this."""
    return all(hasattr(value, name) for name in ("shape", "dtype")) and not isinstance(value, (type, np.generic))


def _kind(value: Any) -> Any:
    """What must be the same before values can be compared."""
    if isinstance(value, np.ndarray):
        return "a NumPy array"
    if _is_array(value):
        return "a tensor"
    if isinstance(value, (bool, np.bool_)):
        return "a truth value"
    if isinstance(value, (int, np.integer)):
        return "a whole number"
    if isinstance(value, (float, np.floating)):
        return "a number with a point"
    for kind, name in ((str, "a text"), (list, "a list"), (dict, "a dictionary"), (Set, "a set")):
        if isinstance(value, kind):
            return name
    return "None" if value is None else f"a {type(value).__name__}"


def _with_kind(value: Any) -> str:
    return "None" if value is None else f"{_kind(value)}, {short(value)}"


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, which are shorter to read."""
    return value.item() if isinstance(value, np.generic) else value


def _same(expected: Any, received: Any, tolerance: float) -> bool:
    if not isinstance(expected, Number) or isinstance(expected, (bool, int)):
        return bool(expected is received or expected == received)
    return bool(np.isclose(received, expected, rtol=tolerance, atol=tolerance, equal_nan=True))


def _difference_inside(parts: Any, tolerance: float, where: str) -> Difference | None:
    """The first difference among (step, expected, received)."""
    for step, expected, received in parts:
        if found := first_difference(expected, received, tolerance, where + step):
            return found
    return None


def _sequence_difference(expected: Sequence, received: Sequence, tolerance: float, where: str) -> Difference | None:
    inside = ((f"[{i}]", a, b) for i, (a, b) in enumerate(zip(expected, received, strict=False)))
    found = _difference_inside(inside, tolerance, where)
    if len(expected) == len(received):
        return found
    lengths = Difference(where, _with_length(expected), _with_length(received))
    return lengths if found is None or _holds_plain(expected) else found


def _holds_plain(values: Sequence) -> bool:
    """Whether these are a row of numbers or words, whose length says more than the first that is out of place."""
    return all(isinstance(value, (str, Number)) for value in values)


def _with_length(values: Sequence | Mapping) -> str:
    return f"{_kind(values)} of {len(values)}, {short(values)}"


def _mapping_difference(expected: Mapping, received: Mapping, tolerance: float, where: str) -> Difference | None:
    for key in expected:
        if key not in received:
            return Difference(f"{where}[{key!r}]", short(expected[key]), f"no key {key!r}")
    for key in received:
        if key not in expected:
            return Difference(f"{where}[{key!r}]", f"no key {key!r}", short(received[key]))
    return _difference_inside(((f"[{key!r}]", expected[key], received[key]) for key in expected), tolerance, where)


def _set_difference(expected: Set, received: Set, where: str) -> Difference | None:
    if missing := sorted(expected - received, key=repr):
        return Difference(where, f"a set with {short(missing[0])} in it", f"one without it, {short(received)}")
    if extra := sorted(received - expected, key=repr):
        return Difference(where, f"a set without {short(extra[0])}", f"one with it, {short(received)}")
    return None


def _array_difference(expected: Any, received: Any, tolerance: float, where: str) -> Difference | None:
    for name in ("shape", "dtype"):
        wanted, found = (_shape_or_dtype(value, name) for value in (expected, received))
        if wanted != found:
            return Difference(where, f"{name} {wanted}, {short(expected)}", f"{name} {found}, {short(received)}")
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


def _shape_or_dtype(value: Any, name: str) -> str:
    """The shape as a tuple, the dtype as in "float32", whatever the library."""
    if name == "shape":
        return str(tuple(value.shape))
    return getattr(value.dtype, "name", str(value.dtype).rpartition(".")[2])  # PyTorch says torch.float32


def _values(value: Any) -> np.ndarray | None:
    """The numbers of an array or tensor; of small float types as float32; None for a symbolic tensor."""
    if isinstance(value, np.ndarray):
        array = value
    else:
        try:
            value = value.detach().cpu() if hasattr(value, "detach") else value  # PyTorch, with gradients
            array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
        except (AttributeError, NotImplementedError, TypeError, ValueError):
            return None
    return array.astype(np.float32) if array.dtype.name in ("bfloat16", "float16") else array


def _short_array(value: Any, longest: int) -> str:
    values = _values(value)
    if values is None:
        return f"a tensor of shape {_shape_or_dtype(value, 'shape')}"
    text = " ".join(np.array2string(values, threshold=40, edgeitems=3, precision=4, separator=", ").split())
    text = text.replace("[ ", "[")
    return shorten(text, longest)
