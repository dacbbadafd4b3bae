"""Pickles of NumPy arrays, numbers, texts and plain containers. Those of anything else are refused.

An ordinary unpickler runs whatever a file tells it to, and people download pickles. Two things prevent that here.
First the instructions are looked through without being followed: only those that plain data needs are admitted, and no
length or index may exceed the file. Then `find_class` resolves the few names that NumPy writes, to functions of this
module: NumPy's own would believe what a file says about the memory of a type.
"""

from __future__ import annotations

import mmap
import pickle
import pickletools
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, read_errors_explained

PLAIN_INSTRUCTIONS = {
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1",
    "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE",
    "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8", "EMPTY_TUPLE", "TUPLE", "TUPLE1",
    "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "PUT",
    "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
}  # fmt: skip
"""What plain data and arrays need."""

_WITH_SIZE = {"FRAME", "PUT", "LONG_BINPUT"}
"""Instructions whose number makes the unpickler allocate memory."""


def save_pickle(obj: Any, path: str | Path) -> None:
    """Pickle NumPy arrays, numbers, texts and plain containers of them, for `read_pickle` to read."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(obj, file, protocol=5)


def read_pickle(path: str | Path) -> Any:
    """Read a pickle of NumPy arrays, numbers, texts, lists, tuples and dictionaries.

    Raises:
        CourseError: if the file is missing, damaged or no pickle, or holds anything else.
    """
    with read_errors_explained(path, "pickle"), open(path, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            size = len(content)
            check_instructions(path, content, size)
        return _with_arrays(_Unpickler(path, file, size).load(), {})


def _refuse(path: str | Path, what: str) -> CourseError:
    return CourseError(
        f"{path} holds {what[:120]}. Only arrays and plain containers are read from pickles, since others could "
        "run a program. Make the file again, or bring another copy."
    )


def check_instructions(
    path: str | Path, content: mmap.mmap, size: int, admitted: Collection[str] = PLAIN_INSTRUCTIONS
) -> None:
    """Look through the instructions of one pickle, which starts where `content` stands, and leave it at the end.

    Raises:
        CourseError: if an instruction is not admitted, or has a size beyond that of the file.
        ValueError: if this is no whole pickle.
    """
    for opcode, argument, _ in pickletools.genops(content):  # type: ignore[arg-type]  # complains of arguments cut off
        if opcode.name not in admitted:
            raise _refuse(path, f"the instruction {opcode.name}")
        if opcode.name in _WITH_SIZE and (argument or 0) > size:
            raise _refuse(path, "a size beyond its own")


class _Dtype:
    """Stands in for a NumPy dtype, of which a file may choose the name and the byte order."""

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype

    def __setstate__(self, state: tuple) -> None:
        self.dtype = np.dtype(self.dtype.newbyteorder(state[1]).str)


class _Array:
    """Stands in for a NumPy array as protocols before 5 write it, until its state is known."""

    array: np.ndarray

    def __init__(self, unpickler: _Unpickler):
        self.unpickler = unpickler

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.array = self.unpickler.from_buffer(data, dtype, shape, "F" if is_fortran else "C")


class _Unpickler(pickle.Unpickler):
    """Resolves the names that NumPy writes, and makes no more of the bytes of a file than it has."""

    def __init__(self, path: str | Path, file: BinaryIO, size: int):
        super().__init__(file)
        self.path = path
        self.budget = 4 * size + 1024  # bytes to copy: the oldest protocols write an array as text

    def find_class(self, module: str, name: str) -> Any:
        """The function that makes what a name stands for."""
        known = {
            "numpy.ndarray": None,  # an argument of _reconstruct only
            "numpy.dtype": self.make_dtype,
            "numpy.core.multiarray._reconstruct": lambda *_: _Array(self),
            "numpy.core.multiarray.scalar": self.scalar,
            "numpy.core.numeric._frombuffer": self.from_buffer,
            "_codecs.encode": self.latin1_bytes,
            "__builtin__.bytes": lambda: b"",  # the bytes of an empty array in protocols before 3
        }
        full_name = f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1)  # NumPy 2 and NumPy 1
        if full_name not in known:
            raise _refuse(self.path, f"a {full_name}")
        return known[full_name]

    def make_dtype(self, name: str, *_: Any) -> _Dtype:
        """A type of numbers or of texts, from a name such as "f4"."""
        if not isinstance(name, str) or not re.fullmatch(r"[biufcSU][0-9]{1,9}", name):
            raise _refuse(self.path, f"an array of type {name!r}")
        return _Dtype(np.dtype(name))

    def from_buffer(
        self, data: bytes, dtype: _Dtype, shape: tuple, order: Any, axes: tuple | None = None
    ) -> np.ndarray:
        """A writable array of these bytes."""
        array = np.frombuffer(data, dtype.dtype)
        if not array.flags.writeable:
            self.spend(array.nbytes)
            array = array.copy()
        if order == "K" and axes is not None:
            return array.reshape(shape).transpose(axes)
        return array.reshape(shape, order=order)

    def scalar(self, dtype: _Dtype, data: bytes) -> np.generic:
        """A NumPy number or text."""
        self.spend(len(data))
        return np.frombuffer(data, dtype.dtype)[0]

    def latin1_bytes(self, text: str, _encoding: str) -> bytes:
        """Bytes, which protocols before 3 write as text."""
        self.spend(len(text))
        return text.encode("latin-1")

    def spend(self, amount: int) -> None:
        """Count copied bytes: a file can name the same bytes any number of times."""
        self.budget -= amount
        if self.budget < 0:
            raise _refuse(self.path, "more than a file of its size can hold")


def _with_arrays(obj: Any, done: dict[int, Any]) -> Any:
    """Put arrays in the place of their stand-ins.

    Args:
        done: results by the id of the object, since a container may occur many times.
    """
    if id(obj) in done:
        return done[id(obj)]
    if isinstance(obj, _Array):
        return obj.array
    if isinstance(obj, tuple):
        result: Any = tuple([_with_arrays(item, done) for item in obj])
    elif isinstance(obj, list):
        obj[:] = [_with_arrays(item, done) for item in obj]
        result = obj
    elif isinstance(obj, dict):
        obj.update({key: _with_arrays(value, done) for key, value in obj.items()})
        result = obj
    elif isinstance(obj, _Dtype) or callable(obj):
        raise ValueError("it holds a type or a function")
    else:
        return obj
    done[id(obj)] = result
    return result
