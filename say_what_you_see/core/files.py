"""Files that are either whole or not there, and pickles that cannot run code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import secrets
import shutil
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.pickles import NotPlain, load_plain
from say_what_you_see.core.writing import check_is_no_folder, folder_in_use, write_errors_explained

MAX_JSON_BYTES = 512 * 1024**2
"""Larger JSON files are refused: the largest of COCO has 450 MB, and JSON takes many times its size in memory."""

_PIECE = 2**20

NUMBERS = "biuf"
"""The kinds of NumPy types that the course keeps in files of arrays: truth values, whole and other numbers."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder that becomes `path` when the block ends well.

    When the block fails or is interrupted, the temporary file is removed and an older file under
    the final name stays as it was. Missing folders are made. The temporary name keeps the suffix,
    since some writers (NumPy, Keras) insist on theirs. What a process that was killed left in the
    folder is removed by the next one that writes there.

    Raises:
        CourseError: if the file cannot be written: the disk is full, say, or the folder is read-only.
    """
    path = Path(path)
    temporary = path.with_name(f".part-{secrets.token_hex(4)}-{path.name}")
    with write_errors_explained(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        check_is_no_folder(path)
        with folder_in_use(path.parent):
            try:
                yield temporary
                os.replace(temporary, path)
            finally:
                with suppress(OSError):  # what went wrong before says more
                    temporary.unlink()


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that takes its place, and that of an older one, when the block ends well.

    When the block fails or is interrupted, it is removed. What a process that was killed left is removed as with
    `atomic_path`.

    Raises:
        CourseError: if the folder cannot be written: the disk is full, say.
    """
    folder = Path(folder)
    staging = folder.with_name(f".part-{secrets.token_hex(4)}-{folder.name}")
    with write_errors_explained(folder, staging):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_in_use(folder.parent):
            try:
                staging.mkdir()
                yield staging
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(staging, folder)
            finally:
                shutil.rmtree(staging, ignore_errors=True)


def write_json(data: Any, path: str | Path) -> None:
    """Write data as readable UTF-8 JSON."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def read_errors_explained(
    path: str | Path, whole: str = "", facts: Callable[[Exception], object] = str
) -> Iterator[None]:
    """Turn what goes wrong while a file is read into words.

    Args:
        path: the file.
        whole: what it is no whole one of, as in "NumPy file of numbers": a damaged file can raise nearly anything. By
            default what the system says of the file is explained, and other errors stay what they are.
        facts: what to tell of such an error.

    Raises:
        CourseError: instead.
    """
    try:
        yield
    except CourseError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise CourseError(f"Cannot read {path}: {error.strerror}.") from error
        if not whole:
            raise
        raise CourseError(
            f"{path} is no whole {whole} ({facts(error)}). Delete it and make it again, or bring a whole copy."
        ) from error


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        CourseError: if the file is missing, unreasonably large or holds no JSON.
    """
    with read_errors_explained(path), open(path, "rb") as file:
        data = file.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise CourseError(f"{path} is larger than {MAX_JSON_BYTES / 1e6:.0f} MB. Bring a smaller file.")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CourseError(f"{path} holds no JSON ({error}). Make it again, or bring a whole copy.") from error


def read_array(path: str | Path) -> np.ndarray:
    """Map a `.npy` file of numbers into memory: what is not looked at is not read.

    Raises:
        CourseError: if the file is missing, no whole NumPy file, or holds anything but numbers.
    """
    with read_errors_explained(path, "NumPy file of numbers"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.memmap) or array.dtype.kind not in NUMBERS:
            raise ValueError("it holds other things than numbers")
        return array


def read_arrays(path: str | Path, names: Sequence[str]) -> list[np.ndarray]:
    """Read the arrays of these names from a `.npz` file.

    Raises:
        CourseError: if the file is missing, no whole NumPy file, lacks one of them, or holds anything but numbers.
    """
    with read_errors_explained(path, f"NumPy file with {', '.join(names)}"), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():  # an array of nothing but zeros packs well, but the course packs none
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > os.path.getsize(path):
                raise ValueError("it is packed in another way than the course packs")
        return [_array_in(archive, f"{name}.npy") for name in names]


def write_array(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype, parts: Iterable[np.ndarray]
) -> None:
    """Write an array into a `.npz` file as `numpy.savez` does, a part of its rows at a time."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)


def _array_in(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """An array in a zip, read into its place; memory is taken for what is there, not for what the header claims."""
    info = archive.getinfo(member)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with archive.open(info) as file:
        shape, is_fortran, dtype = header[np.lib.format.read_magic(file)](file)
        if dtype.kind not in NUMBERS or min(shape, default=0) < 0:
            raise ValueError("it holds other things than numbers")
        data = np.empty(info.file_size - file.tell(), np.uint8)
        for begin in range(0, len(data) + 1, _PIECE):  # the last piece may be empty: then the checksum is looked at
            piece = file.read(_PIECE)
            data[begin : begin + _PIECE] = np.frombuffer(piece, np.uint8)
    return data.view(dtype).reshape(shape, order="F" if is_fortran else "C")


def check_space(path: Path, needed: int) -> None:
    """Look whether there is room for a file.

    Args:
        path: where the file is to be; its folder exists.
        needed: bytes that are still to be written.

    Raises:
        CourseError: if the disk has less than that left.
    """
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise CourseError(
            f"{path} needs {needed / 1e6:,.0f} MB more on the disk, which has {free / 1e6:,.0f} MB left. "
            "Make room, or set COURSE_DATA to a folder on another disk."
        )


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
    with read_errors_explained(path, "pickle", lambda error: type(error).__name__), open(path, "rb") as file:
        try:
            return load_plain(file, os.fstat(file.fileno()).st_size)
        except NotPlain as error:
            raise CourseError(
                f"{path} holds {error}. Only NumPy arrays and plain containers are read from pickles, "
                "since others could run a program. Make the file again with save_pickle."
            ) from error
