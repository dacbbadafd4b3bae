"""Pickles of NumPy arrays, numbers, strings and plain containers. Pickles of anything else are refused.

An ordinary unpickler runs whatever a file tells it to, and people download pickles. As Python's documentation advises,
`find_class` resolves only the few names that NumPy writes, and to functions of this module, since NumPy's own would
believe what a file says about a type's memory layout.
"""

import mmap
import os
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, read_errors_explained

_PLAIN = (str, bytes, bytearray, int, float, type(None), np.ndarray, np.generic)


def save_pickle(obj: Any, path: str | Path) -> None:
    """Pickle NumPy arrays, numbers, strings and plain containers of them, for `read_pickle` to read."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(obj, file, protocol=5)


def read_pickle(path: str | Path) -> Any:
    """Read a pickle of NumPy arrays, numbers, strings, lists, tuples and dictionaries.

    Raises:
        CourseError: if the file is missing, damaged or not a pickle, or holds anything else.
    """
    with read_errors_explained(path, "pickle"), open(path, "rb") as file:
        check_memo(file)
        return _with_arrays(_Unpickler(file, path).load(), {})


def check_memo(file: BinaryIO) -> None:
    """Refuse the pickle that begins here if a length or index in it, for which memory is taken, exceeds its size."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        content.seek(file.tell())
        for opcode, argument, _ in pickletools.genops(content):  # type: ignore[arg-type]  # it has read and readline
            if opcode.name in ("FRAME", "PUT", "LONG_BINPUT") and (argument or 0) > len(content):
                raise ValueError("it has an index beyond its size")


class _Dtype:
    """Stands in for a NumPy dtype of numbers or strings; a file may choose only its name ("f4", say) and byte order."""

    def __init__(self, name: str, *_: Any):
        if not re.fullmatch(r"[biufcSU][0-9]{1,9}", name):
            raise ValueError(f"it holds an array of type {name!r}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = np.dtype(self.dtype.newbyteorder(state[1]).str)


class _Array:
    """Stands in for a NumPy array as protocols before 5 write it, until its state is known."""

    array: np.ndarray

    def __init__(self, unpickler: "_Unpickler"):
        self.unpickler = unpickler

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.array = self.unpickler.from_buffer(data, dtype, shape, "F" if is_fortran else "C")


class _Unpickler(pickle.Unpickler):
    """Resolves the names that NumPy writes, and makes no more bytes of arrays than a file of this size can hold."""

    def __init__(self, file: BinaryIO, path: str | Path):
        super().__init__(file)
        self.path = path
        self.budget = 4 * os.fstat(file.fileno()).st_size  # bytes to copy: the oldest protocols write arrays as text

    def find_class(self, module: str, name: str) -> Any:
        """The function that builds what a name stands for."""
        known = {  # made anew in each call, since a pickle can change the attributes of what it gets
            "numpy.ndarray": None,  # an argument of _reconstruct only
            "numpy.dtype": lambda *arguments: _Dtype(*arguments),
            "numpy.core.multiarray._reconstruct": lambda *_: _Array(self),
            "numpy.core.multiarray.scalar": lambda dtype, data: np.frombuffer(data, dtype.dtype)[0],
            "numpy.core.numeric._frombuffer": lambda *arguments: self.from_buffer(*arguments),
            "_codecs.encode": lambda text, _: text.encode("latin-1"),  # bytes, which protocols before 3 write as text
            "__builtin__.bytes": lambda: b"",  # the bytes of an empty array in protocols before 3
        }
        full_name = f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1)  # NumPy 2 and NumPy 1
        if full_name not in known:
            raise CourseError(
                f"{self.path} holds a {full_name[:120]}. Only arrays and plain containers are read from pickles, since "
                "anything else could run a program. Make the file again, or get another copy."
            )
        return known[full_name]

    def from_buffer(
        self, data: bytes, dtype: _Dtype, shape: tuple, order: Any, axes: tuple | None = None
    ) -> np.ndarray:
        """A writable array of these bytes, which a file can refer to any number of times."""
        array = np.frombuffer(data, dtype.dtype)
        self.budget -= array.nbytes
        if self.budget < 0:
            raise ValueError("it holds more than a file of its size can")
        if not array.flags.writeable:
            array = array.copy()
        if order == "K" and axes is not None:
            return array.reshape(shape).transpose(axes)
        return array.reshape(shape, order=order)


def _with_arrays(obj: Any, done: dict[int, Any]) -> Any:
    """The same with arrays instead of their stand-ins; what occurs many times is converted once, by its id."""
    if id(obj) in done:
        return done[id(obj)]
    if isinstance(obj, _Array):
        return obj.array
    if isinstance(obj, list | tuple):
        result: Any = type(obj)(_with_arrays(item, done) for item in obj)
    elif isinstance(obj, dict):
        result = {key: _with_arrays(value, done) for key, value in obj.items()}
    elif isinstance(obj, _PLAIN):
        return obj
    else:
        raise ValueError(f"it holds a {type(obj).__name__}")
    done[id(obj)] = result
    return result
