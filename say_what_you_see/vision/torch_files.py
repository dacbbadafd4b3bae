"""Reads weights in the format that PyTorch saved until version 1.5, without PyTorch.

Such a file is five pickles (a magic number, a version, the sizes of types, the tensors, the names of the storages) and
then every storage: the count of its numbers, and the numbers. A tensor is a window into a storage, with strides.
Nothing that a file names is run: only the few names that tensors need are known, and parts of this module replace them.
"""

from __future__ import annotations

import math
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_errors_explained
from say_what_you_see.core.pickles import check_memo

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_TYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}


def read_torch_file(path: str | Path) -> dict[str, np.ndarray]:
    """Read tensors by their names (a "state dict") from a `.pth` file in the old format.

    Raises:
        CourseError: if the file is missing, damaged or in another format, or names anything but tensors.
    """
    with read_errors_explained(path, "file of weights in PyTorch's old format"), open(path, "rb") as file:
        unpickler, parts = _Unpickler(path, file), []
        for _ in range(5):
            check_memo(file)
            parts.append(unpickler.load())
        magic, version, _, tensors, keys = parts
        if (magic, version) != (_MAGIC, _VERSION):
            raise ValueError("it is another kind of file")
        if sum(math.prod(tensor.shape) for tensor in tensors.values()) > os.fstat(file.fileno()).st_size:
            raise ValueError("it claims more than it holds")  # strides of 0 could repeat one number for ever
        storages = {}
        for key in keys:
            count, kind = int.from_bytes(file.read(8), "little"), unpickler.types[key]
            storages[key] = np.frombuffer(file.read(count * np.dtype(kind).itemsize), kind, count)
        return {name: tensor.array(storages[tensor.key]) for name, tensor in tensors.items()}


class _Tensor(NamedTuple):
    """A tensor whose storage comes later in the file. Offset and strides count numbers, not bytes."""

    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, storage: np.ndarray) -> np.ndarray:
        """The tensor as an array of its own."""
        last = self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.shape, *self.strides, 0) < 0 or last >= len(storage):
            raise ValueError("a tensor reaches beyond its storage")
        strides = [stride * storage.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides).copy()


class _Unpickler(pickle.Unpickler):
    """Knows tensors, the types of their storages, and nothing else."""

    def __init__(self, path: str | Path, file: BinaryIO) -> None:
        super().__init__(file)
        self.path = path
        self.types: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for one of PyTorch's names."""
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda key, offset, shape, strides, *_: _Tensor(key, offset, shape, strides)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise CourseError(f"{self.path} holds a {f'{module}.{name}'[:120]}. Only tensors are read, and nothing is run.")

    def persistent_load(self, pid: Any) -> str:
        """Note the type of a storage, and return the storage's name."""
        _, kind, key, *_ = pid
        self.types[key] = kind
        return key
