"""Writes `.pth` files as PyTorch did until version 1.5, without PyTorch."""

import pickle
from pathlib import Path

import numpy as np

ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def write_torch_file(path: Path, tensors: dict[str, np.ndarray], code: bytes = b"") -> Path:
    """Write tensors with the strides that they have, each in a storage of its own.

    Args:
        code: a pickle's instructions for a value under the name "code".
    """
    storages = {str(number): _storage_of(array) for number, array in enumerate(tensors.values())}
    items = [_value(name) + _tensor(array, key) for (name, array), key in zip(tensors.items(), storages, strict=True)]
    items += [_value("code") + code] if code else []
    attributes = b"}" + _value("_metadata") + b"}s"
    state = b"\x80\x02" + ORDERED_DICT + b"(" + b"".join(items) + b"u" + attributes + b"b."
    sizes = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [*(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, sizes)), state]
    parts.append(pickle.dumps(list(storages), 2))
    for numbers in storages.values():
        parts += [len(numbers).to_bytes(8, "little"), numbers.tobytes()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(parts))
    return path


def _storage_of(array: np.ndarray) -> np.ndarray:
    """The memory behind an array, from its start to its end."""
    base = array if array.base is None else array.base
    return base.ravel(order="K")


def _tensor(array: np.ndarray, key: str) -> bytes:
    storage = _storage_of(array)
    kind = {"float32": b"FloatStorage", "int64": b"LongStorage"}[array.dtype.name]
    offset = (array.ctypes.data - storage.ctypes.data) // array.itemsize if np.shares_memory(array, storage) else 0
    strides = tuple(stride // array.itemsize for stride in array.strides)
    name = b"(" + _value("storage") + b"ctorch\n" + kind + b"\n" + _value(key) + _value("cpu") + _value(len(storage))
    window = _value(offset) + _value(array.shape) + _value(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + name + b"NtQ" + window + b"\x89" + ORDERED_DICT + b"tR"


def _value(value: object) -> bytes:
    """The instructions that make a plain value, without those of the beginning and the end of a pickle."""
    return pickle.dumps(value, 2)[2:-1]
