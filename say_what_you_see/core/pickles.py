"""Reads pickles of NumPy arrays, numbers, texts and plain containers of them, and of nothing else.

An ordinary unpickler runs what a file tells it to run. This one has a short list of what a file may ask for, and it
also keeps to the size of the file: no file makes it use much more memory than the file has bytes, or work for much
longer than it takes to read them. That is why it is built on the unpickler in pickle.py: the one in C makes room for
whatever a file claims before anything can be checked.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np

_SMALL_READ = 4096
_MOST_DIGIT_BYTES = 1024  # of a whole number
_LONGEST_KEY = 32  # members of a tuple that is a key
_LARGEST_KEY = 2**60  # larger numbers can be made to collide in a dictionary, which then takes for ever
_SHOWN = 80
_REFUSED = (
    "PERSID", "BINPERSID", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER",
    "READONLY_BUFFER",
)  # fmt: skip


class NotPlain(Exception):
    """Something in a pickle that is not let in; the message names it."""


def load_plain(file: BinaryIO, size: int) -> Any:
    """Read a pickle.

    Args:
        size: of the file, in bytes.

    Raises:
        NotPlain: if it holds anything but arrays, numbers, texts and plain containers.
        Exception: of nearly any kind, if it is damaged.
    """
    return _with_arrays(_PlainUnpickler(file, size).load(), {})


class _Dtype:
    """Stands in for a NumPy dtype: whose own unpickling can be tricked into reading stray memory."""

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype


class _Array:
    """Stands in for a NumPy array until all of the pickle is read."""

    __hash__ = None  # an array is no key of a dictionary and no member of a set
    array: np.ndarray


class _Reader:
    """A file that is not asked for more than it has: the answer would be short, but the room for it would be made."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        if count > _SMALL_READ and count > self._size - self._file.tell():
            raise EOFError
        return self._file.read(count)


class _PlainUnpickler(pickle._Unpickler):
    """Lets in what `_admitted` lists; copies, sets and keys are made only as large as the file warrants."""

    def __init__(self, file: BinaryIO, size: int):
        super().__init__(_Reader(file, size))
        self._size = size
        self._budget = 4 * size + 1024  # bytes to copy: old protocols write an array as text, which is copied twice

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for: one of ours, never one of Python's own."""
        method = _ADMITTED.get((module, name))
        if method is None:
            raise NotPlain(f"a {module[:_SHOWN]}.{name[:_SHOWN]}")
        return method

    def _spend(self, amount: int) -> None:
        """The same bytes can be named again and again in a file, but not copied again and again."""
        self._budget -= amount
        if self._budget < 0:
            raise NotPlain("more than a file of its size can hold")

    # What a file may call, under other names than it believes

    def _reconstruct(self, *_: Any) -> _Array:
        return _Array()

    def _dtype(self, name: str, *_: Any) -> _Dtype:
        if not isinstance(name, str) or not re.fullmatch(r"[biufcSU][0-9]{1,9}", name):
            raise NotPlain(f"an array of type {name[:_SHOWN]!r}" if isinstance(name, str) else "an array of no type")
        return _Dtype(np.dtype(name))

    def _from_buffer(
        self, data: bytes, dtype: _Dtype, shape: tuple, order: str, axes: tuple | None = None
    ) -> np.ndarray:
        """An array of one's own, which can be written to, from its bytes."""
        array = np.frombuffer(data, dtype.dtype)
        if not array.flags.writeable:
            self._spend(array.nbytes)
            array = array.copy()
        if order == "K" and axes is not None:
            return array.reshape(shape).transpose(axes)
        return array.reshape(shape, order=order)

    def _scalar(self, dtype: _Dtype, data: bytes) -> np.generic:
        self._spend(dtype.dtype.itemsize)
        return np.frombuffer(data, dtype.dtype)[0]

    def _latin1_bytes(self, text: str, _encoding: str) -> bytes:
        self._spend(len(text))
        return text.encode("latin-1")  # how old pickle protocols write bytes

    def _bytes(self, kind: type, data: bytes | str = b"", encoding: str = "latin-1") -> bytes | bytearray:
        if not isinstance(data, bytes | str):
            raise NotPlain(f"{kind.__name__} of another thing than bytes")  # a number would be a size
        self._spend(len(data))
        return kind(data.encode("latin-1") if isinstance(data, str) else data)

    def _set(self, kind: type, items: list = ()) -> set | frozenset:
        if not isinstance(items, list | tuple | set | frozenset):
            raise NotPlain(f"a {kind.__name__} of another thing than a list")
        self._spend(len(items))
        return kind(_checked_keys(items))

    # Instructions of a pickle that need a second look

    def load_reduce(self) -> None:
        """Call one of the admitted functions."""
        arguments, function = self.stack.pop(), self.stack[-1]
        if not isinstance(function, _Admitted):
            raise NotPlain("a call of something that is no function")
        self.stack[-1] = function.method(self, *arguments)

    def load_build(self) -> None:
        """Fill an array or a dtype; other things have nothing to be filled with."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Dtype):
            target.dtype = np.dtype(target.dtype.newbyteorder(state[1]).str)
        elif isinstance(target, _Array):
            _, shape, dtype, is_fortran, data = state
            target.array = self._from_buffer(data, dtype, shape, "F" if is_fortran else "C")
        else:
            raise NotPlain(f"a state for a {type(target).__name__}")

    def load_bytearray8(self) -> None:
        """Make room for bytes only where the file has them."""
        count = int.from_bytes(self.read(8), "little")
        if count > self._size:
            raise EOFError
        self.append(bytearray(self.read(count)))

    def load_long4(self) -> None:
        """Read a whole number."""
        count = int.from_bytes(self.read(4), "little", signed=True)
        if not 0 <= count <= _MOST_DIGIT_BYTES:
            raise NotPlain("a number of very many digits")
        self.append(int.from_bytes(self.read(count), "little", signed=True))

    def load_int(self) -> None:
        """Read a whole number, or a truth value as old protocols write it."""
        line = self.readline()[:-1]
        self.append(line == b"01" if line in (b"00", b"01") else _whole_number(line))

    def load_long(self) -> None:
        """Read a whole number in the oldest protocol."""
        self.append(_whole_number(self.readline()[:-1].removesuffix(b"L")))

    def load_setitem(self) -> None:
        """Put one item into a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value], self.stack[-1])

    def load_setitems(self) -> None:
        """Put items into a dictionary."""
        items = self.pop_mark()
        self._put(items, self.stack[-1])

    def load_dict(self) -> None:
        """Make a dictionary of what was read."""
        items, target = self.pop_mark(), {}
        self._put(items, target)
        self.append(target)

    def _put(self, items: list, target: dict) -> None:
        if not isinstance(target, dict):
            raise NotPlain(f"items for a {type(target).__name__}")
        target.update(zip(_checked_keys(items[::2]), items[1::2], strict=True))

    def load_additems(self) -> None:
        """Add members to a set."""
        items, target = self.pop_mark(), self.stack[-1]
        if not isinstance(target, set):
            raise NotPlain(f"members for a {type(target).__name__}")
        target.update(_checked_keys(items))

    def load_frozenset(self) -> None:
        """Make a frozen set of what was read."""
        items = self.pop_mark()  # which changes what `self.append` is
        self.append(frozenset(_checked_keys(items)))

    def load_append(self) -> None:
        """Append one item to a list."""
        value = self.stack.pop()
        _list(self.stack[-1]).append(value)

    def load_appends(self) -> None:
        """Append items to a list."""
        items = self.pop_mark()
        _list(self.stack[-1]).extend(items)

    def refuse(self) -> None:
        """Answer an instruction that no plain value needs."""
        raise NotPlain("an instruction that plain values do not need")


def _dispatch() -> dict[int, Callable]:
    """The method for each instruction, by its number."""
    own = {}
    for code, method in pickle._Unpickler.dispatch.items():
        own[code] = getattr(_PlainUnpickler, method.__name__)
    for name in _REFUSED:
        own[getattr(pickle, name)[0]] = _PlainUnpickler.refuse
    return own


_PlainUnpickler.dispatch = _dispatch()


class _Admitted:
    """Something that a file may name: a function to call, and nothing that can be changed or looked into."""

    __slots__ = ("method",)

    def __init__(self, method: Callable):
        self.method = method


def _of_kind(method: Callable, kind: type) -> _Admitted:
    return _Admitted(lambda unpickler, *arguments: method(unpickler, kind, *arguments))


def _complex(_: _PlainUnpickler, real: float = 0.0, imaginary: float = 0.0) -> complex:
    return complex(float(real), float(imaginary))


def _no_call(*_: Any) -> None:
    raise NotPlain("an array that is made in another way than arrays are")


_ADMITTED: dict[tuple[str, str], _Admitted] = {
    ("numpy", "ndarray"): _Admitted(_no_call),  # named only, as an argument of _reconstruct
    ("numpy", "dtype"): _Admitted(_PlainUnpickler._dtype),
    ("_codecs", "encode"): _Admitted(_PlainUnpickler._latin1_bytes),
}
for _core in ("numpy._core", "numpy.core"):  # NumPy 2 and NumPy 1
    _ADMITTED[(f"{_core}.multiarray", "_reconstruct")] = _Admitted(_PlainUnpickler._reconstruct)
    _ADMITTED[(f"{_core}.multiarray", "scalar")] = _Admitted(_PlainUnpickler._scalar)
    _ADMITTED[(f"{_core}.numeric", "_frombuffer")] = _Admitted(_PlainUnpickler._from_buffer)
for _builtins in ("builtins", "__builtin__"):  # Python 3 and the names that old protocols use
    for _kind in (bytes, bytearray):
        _ADMITTED[(_builtins, _kind.__name__)] = _of_kind(_PlainUnpickler._bytes, _kind)
    for _kind in (set, frozenset):
        _ADMITTED[(_builtins, _kind.__name__)] = _of_kind(_PlainUnpickler._set, _kind)
    _ADMITTED[(_builtins, "complex")] = _Admitted(_complex)


def _whole_number(text: bytes) -> int:
    if len(text) > 2 * _MOST_DIGIT_BYTES:
        raise NotPlain("a number of very many digits")
    return int(text)


def _list(target: Any) -> list:
    if not isinstance(target, list):
        raise NotPlain(f"items for a {type(target).__name__}")
    return target


def _checked_keys(keys: Iterable[Any]) -> Iterable[Any]:
    """Keys that are cheap to compare: a nested tuple can take for ever, or more stack than there is."""
    for key in keys:
        if not (_is_atom(key) or _is_flat(key)):
            raise NotPlain(f"a {type(key).__name__} as a key that is nested or large")
        yield key


def _is_atom(key: Any) -> bool:
    if isinstance(key, int):
        return -_LARGEST_KEY < key < _LARGEST_KEY
    return key is None or isinstance(key, str | bytes | float | complex | np.generic)


def _is_flat(key: Any) -> bool:
    return isinstance(key, tuple | frozenset) and len(key) <= _LONGEST_KEY and all(map(_is_atom, key))


def _with_arrays(obj: Any, done: dict[int, Any]) -> Any:
    """Put the arrays where their stand-ins are, in place where a container allows it.

    Args:
        done: what was made of the containers that are done with, by their id: one that occurs often is looked
            through once.
    """
    if isinstance(obj, _Array):
        return obj.array
    if isinstance(obj, _Dtype | _Admitted):
        raise NotPlain("a type or a function")
    if not isinstance(obj, list | dict | tuple):
        return obj
    if id(obj) in done:
        if done[id(obj)] is None:
            raise NotPlain("a container that holds itself")
        return done[id(obj)]
    done[id(obj)] = None
    if isinstance(obj, list):
        result = obj
        obj[:] = [_with_arrays(item, done) for item in obj]
    elif isinstance(obj, dict):
        result = obj
        obj.update({key: _with_arrays(value, done) for key, value in obj.items()})
    else:
        result = tuple([_with_arrays(item, done) for item in obj])
    done[id(obj)] = result
    return result
