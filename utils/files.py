"""Files that are either whole or not there, and pickles that cannot run code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import CourseError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder that becomes `path` when the block ends well.

    When the block fails or is interrupted, the temporary file is removed and an older file under
    the final name stays as it was. Missing folders are made. The temporary name keeps the suffix,
    since some writers (NumPy, Keras) insist on theirs.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".part-{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(data: Any, path: str | Path) -> None:
    """Write data as readable UTF-8 JSON."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        CourseError: if the file is missing or holds no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CourseError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise CourseError(f"{path} holds no JSON ({error}). Make it again, or bring a whole copy.") from error


def sha256_of(path: str | Path) -> str:
    """The SHA-256 checksum of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def slug(text: str) -> str:
    """Turn any text into a name for a file: small letters a to z, digits and underscores."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "unnamed"


def save_pickle(obj: Any, path: str | Path) -> None:
    """Pickle NumPy arrays, numbers, texts and plain containers of them, for `read_pickle` to read."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(obj, file, protocol=5)


def read_pickle(path: str | Path) -> Any:
    """Read a pickle of NumPy arrays, numbers, texts and plain containers, and of nothing else.

    An ordinary pickle may run any program while it is read, and people download pickles.

    Raises:
        CourseError: if the file is missing, cut off or no pickle, or holds anything else.
    """
    try:
        with open(path, "rb") as file:
            return _with_arrays(_PlainUnpickler(file).load())
    except OSError as error:
        raise CourseError(f"Cannot read {path}: {error.strerror}.") from error
    except _NotPlain as error:
        raise CourseError(
            f"{path} holds {error}. Only NumPy arrays and plain containers are read from pickles, "
            "since others could run a program. Make the file again with save_pickle."
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise CourseError(
            f"{path} is no whole pickle ({type(error).__name__}). Delete it and make it again, or bring a whole copy."
        ) from error


class _NotPlain(Exception):
    """Something in a pickle that is not let in; the message names it."""


class _Dtype:
    """Stands in for a NumPy dtype in a pickle: whose own unpickling can be tricked into reading stray memory."""

    def __init__(self, name: str, *_: Any):
        self.dtype = np.dtype(str(name))
        if self.dtype.kind not in "biufcSU":
            raise _NotPlain(f"an array of type {name!r}")

    def __setstate__(self, state: tuple) -> None:
        self.dtype = np.dtype(self.dtype.newbyteorder(state[1]).str)


class _Array:
    """Stands in for a NumPy array in a pickle until all of it is read."""

    __hash__ = None  # an array is no key of a dictionary and no member of a set

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.array = _array_from_buffer(data, dtype, shape, "F" if is_fortran else "C")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _array_from_buffer(data: bytes, dtype: _Dtype, shape: tuple, order: str, axes: tuple | None = None) -> np.ndarray:
    """An array of one's own, which can be written to, from its bytes."""
    array = np.frombuffer(data, dtype.dtype)
    array = array if array.flags.writeable else array.copy()
    if order == "K" and axes is not None:
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order=order)


def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    return np.frombuffer(data, dtype.dtype)[0]


def _latin1_bytes(text: str, _encoding: str) -> bytes:
    return text.encode("latin-1")  # how old pickle protocols write bytes


_ADMITTED: dict[tuple[str, str], Any] = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype}
_ADMITTED[("_codecs", "encode")] = _latin1_bytes
for _core in ("numpy._core", "numpy.core"):  # NumPy 2 and NumPy 1
    _ADMITTED[(f"{_core}.multiarray", "_reconstruct")] = _reconstruct
    _ADMITTED[(f"{_core}.multiarray", "scalar")] = _scalar
    _ADMITTED[(f"{_core}.numeric", "_frombuffer")] = _array_from_buffer
for _builtins in ("builtins", "__builtin__"):  # Python 3 and the names that old protocols use
    _ADMITTED.update({(_builtins, kind.__name__): kind for kind in (set, frozenset, bytes, bytearray, complex)})


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _NotPlain(f"a {module}.{name}")
        return _ADMITTED[(module, name)]


def _with_arrays(obj: Any) -> Any:
    """Put the arrays where their stand-ins are, in place where a container allows it."""
    if isinstance(obj, _Array):
        return obj.array
    if isinstance(obj, list):
        obj[:] = [_with_arrays(item) for item in obj]
    elif isinstance(obj, dict):
        obj.update({key: _with_arrays(value) for key, value in obj.items()})
    elif isinstance(obj, tuple):
        return tuple(_with_arrays(item) for item in obj)
    elif isinstance(obj, _Dtype) or callable(obj):
        raise _NotPlain("a type or a function")
    return obj
