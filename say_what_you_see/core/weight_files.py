"""Checks the weights of a model file, and stores them in half precision, without Keras.

Nothing in them may link to other files, or claim more numbers than the file holds.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import NUMBERS

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {CONFIG: 4_000_000, WEIGHTS: 4_000_000_000, "metadata.json": 4_000_000}
"""The parts of a `.keras` file, and how many bytes each may have."""

SMALL = 1 << 16
"""Up to this many bytes or weights need not be stored in the file: a table of zeros, say."""

_MAX_RATIO = 100  # of compression; weights hardly compress


def read_part(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a part of a `.keras` file, unless it is too large."""
    info = archive.getinfo(name)
    if info.file_size > min(MEMBERS[name], _MAX_RATIO * max(info.compress_size, SMALL)):
        raise CourseError(f"its {name} is unreasonably large")
    return archive.read(info)


def count_numbers(root: h5py.File, size: int) -> int:
    """Count the numbers in all tables of an HDF5 file of `size` bytes; refuse anything that is not weights."""
    count = 0

    def check_link(name: str, link: Any) -> None:
        if not isinstance(link, h5py.HardLink):
            raise CourseError(f"its {name[:60]!r} links to another file or place")

    def check_table(name: str, table: Any) -> None:
        nonlocal count
        if isinstance(table, h5py.Group):
            return
        if not isinstance(table, h5py.Dataset) or table.dtype.kind not in NUMBERS + "V":
            raise CourseError(f"its {name[:60]!r} is not a table of numbers")
        if table.external or table.is_virtual:
            raise CourseError(f"its {name[:60]!r} links to another file or place")
        numbers = math.prod(map(int, table.shape or ()))
        stored = min(table.id.get_storage_size(), size)
        if numbers * table.dtype.itemsize > max(_MAX_RATIO * stored, SMALL):
            raise CourseError(f"its {name[:60]!r} claims the shape {table.shape}, more than the file holds")
        count += numbers

    root.visititems_links(check_link)
    root.visititems(check_table)
    return count


def store_in_half_precision(path: Path) -> None:
    """Rewrite a `.keras` file with its matrices as float16, which Keras also reads; the rest is small and stays."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    halved = io.BytesIO()
    with h5py.File(io.BytesIO(parts[WEIGHTS]), "r") as source, h5py.File(halved, "w") as target:

        def copy(name: str, part: h5py.Group | h5py.Dataset) -> None:
            if isinstance(part, h5py.Group):
                copied = target.require_group(name)
            else:
                is_large = part.ndim > 1 and part.dtype == np.float32
                copied = target.create_dataset(name, data=part[()].astype(np.float16) if is_large else part[()])
            copied.attrs.update(part.attrs)

        source.visititems(copy)
    parts[WEIGHTS] = halved.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
