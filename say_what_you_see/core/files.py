"""Files that are either complete or absent, and clear messages when a file cannot be read or written."""

import errno
import hashlib
import io
import json
import os
import re
import secrets
import select
import shutil
import stat
import time
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.errors import CourseError

try:
    import fcntl
except ImportError:  # Windows: leftovers stay until somebody deletes them
    fcntl = None  # type: ignore[assignment]

MAX_PICTURE_BYTES = 128_000_000
"""Picture files larger than this are refused."""

MAX_JSON_BYTES = 64_000_000
"""JSON files of the course's own that are larger than this are refused."""

MAX_MODEL_JSON = 4_000_000
"""Descriptions and vocabularies of models larger than this are refused: 100,000 words take 1.5 MB."""

BYTES_PER_VALUE = 12
"""JSON may have one value per this many bytes of its limit: a value can take 100 bytes in memory and 3 in the file."""

PIPE_SECONDS = 30
"""How long to wait for a pipe and read from it."""

NUMBERS = "biuf"
"""The kinds of NumPy types that array files may hold: booleans, integers and floating-point numbers."""

LEFTOVER = re.compile(r"\.(part-[0-9a-f]{8}-|installing_).+")
"""Names of files and folders that are being written, or that a killed process has left behind."""

_CHUNK = 1 << 16
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)


# Writing


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder that becomes `path` when the block succeeds.

    When the block fails or is interrupted, the temporary file is removed and an older file under the final name
    stays as it was. Missing folders are created. The temporary name keeps the suffix, since some writers (NumPy, Keras)
    insist on theirs.

    Raises:
        CourseError: if the file cannot be written: the disk is full, say, or the folder is read-only.
    """
    path = Path(path)
    with _replacement(path) as temporary:
        check_is_no_folder(path)
        yield temporary


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that replaces it when the block succeeds, and is removed otherwise.

    Raises:
        CourseError: if the folder cannot be written: the disk is full, say.
    """
    folder = Path(folder)
    with _replacement(folder) as temporary:
        temporary.mkdir()
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """Yield the name of a file or folder that replaces `path` when the block succeeds, and is removed otherwise."""
    temporary = _temporary_name(path)
    with write_errors_explained(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        with folder_in_use(path.parent):
            try:
                yield temporary
                os.replace(temporary, path)
            finally:
                _remove(temporary)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".part-{secrets.token_hex(4)}-{path.name}")


@contextmanager
def folder_in_use(folder: Path) -> Iterator[None]:
    """Hold a shared lock on a folder; a process that is alone there first removes what killed ones left behind.

    A file's age or a process number cannot tell what is left behind, since clocks jump and containers share folders. A
    lock can: the system releases it however a process ends.
    """
    handle = None
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY) if fcntl else None
    if handle is None:
        yield
        return
    try:
        with suppress(OSError):  # some network disks have no locks
            with suppress(BlockingIOError):  # another process is writing there
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for path in folder.iterdir():
                    if LEFTOVER.fullmatch(path.name) and not path.is_symlink():
                        _remove(path)
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    with suppress(OSError):  # the original error says more
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


@contextmanager
def write_errors_explained(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Explain why a file or folder could not be written.

    Args:
        path: the name that the user knows it by.
        temporary: the name that it is written under, if different.

    Raises:
        CourseError: instead of an OSError about one of these names, or about the disk.
    """
    try:
        yield
    except OSError as error:
        names = set(map(str, (path, *path.parents, temporary or path)))
        about = {str(error.filename), str(error.filename2)} & names or (temporary or path).name in str(error)
        if not about and error.errno not in (*_NO_ROOM, errno.EROFS):
            raise
        raise CourseError(_why_not_written(path, error)) from error


def _why_not_written(path: Path, error: OSError) -> str:
    if error.errno in _NO_ROOM:
        return (
            f"{path} could not be written: the disk is full. Make room, or set COURSE_DATA to a folder on another "
            "disk, and start again: finished work is kept."
        )
    if error.errno in _NOT_ALLOWED:
        return (
            f"{path} could not be written ({os.strerror(error.errno)}). Make {path.parent} writable, or set "
            "COURSE_DATA to a folder that is, and start again."
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        in_the_way = next((place for place in (path, *path.parents) if place.is_file()), path.parent)
        return f"{path} could not be written, since {in_the_way} is not a folder. Move it away."
    return f"{path} could not be written ({error.strerror or error}). Put that right and start again."


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless it exists.

    Raises:
        CourseError: if that is impossible: a file is in the way, say, or the disk is read-only.
    """
    with write_errors_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)


def check_is_no_folder(path: Path) -> None:
    """Refuse to write a file where a folder or a device is, before the work for it is done.

    Raises:
        CourseError: if there is one.
    """
    if path.is_dir():
        raise CourseError(f"{path} is a folder, but a file of that name must be written. Move the folder away.")
    if path.exists() and not path.is_file():
        raise CourseError(f"{path} is a device, which a file would replace. Give another name.")


def check_can_be_written(path: Path) -> None:
    """Refuse a file that could not be written, before the work for it is done.

    Raises:
        CourseError: if a folder or a device is in the way, or its folder is read-only, say.
    """
    check_is_no_folder(path)
    make_folder(path.parent)
    with write_errors_explained(path, temporary := _temporary_name(path)):
        temporary.touch()
        temporary.unlink()


def check_space(path: Path, needed: int) -> None:
    """Check that the disk has room for a file.

    Args:
        path: where the file will be; its folder exists.
        needed: bytes still to be written.

    Raises:
        CourseError: if the disk has less than that left.
    """
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise CourseError(
            f"{path} needs {needed / 1e6:,.0f} MB more on the disk, which has {free / 1e6:,.0f} MB left. "
            "Make room, or set COURSE_DATA to a folder on another disk."
        )


def reserve(path: Path, size: int) -> None:
    """Allocate an existing file's blocks on the disk: a full disk kills a process that writes to a mapped file.

    Raises:
        CourseError: if the disk is full.
    """
    if hasattr(os, "posix_fallocate") and size:
        with write_errors_explained(path), path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)


# Reading


@contextmanager
def read_errors_explained(path: str | Path, kind: str = "") -> Iterator[None]:
    """Explain why a file could not be read.

    Args:
        path: the file.
        kind: what the file should be, as in "NumPy file of numbers": a damaged one can raise almost anything. By
            default only system errors are explained, and others pass through.

    Raises:
        CourseError: instead of the error.
    """
    try:
        yield
    except CourseError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise CourseError(f"Cannot read {path}: {error.strerror}.") from error
        if not kind:
            raise
        reason = f"{type(error).__name__}: {error}"[:200]
        raise CourseError(
            f"{path} is not a complete {kind} ({reason}). Delete it and make it again, or get a complete copy."
        ) from error


def write_json(data: Any, path: str | Path) -> None:
    """Write data as readable UTF-8 JSON."""
    with atomic_path(path) as temporary:
        text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # names that are not Unicode


def read_bytes(path: str | Path, limit: int) -> bytes:
    """The bytes of a file, or of a pipe that something writes into.

    Raises:
        CourseError: if it is missing, larger than `limit` bytes, a device, or a pipe that delivers nothing.
    """

    def open_without_waiting(path: str, flags: int) -> int:  # until something writes into a pipe
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

    with read_errors_explained(path), open(path, "rb", buffering=0, opener=open_without_waiting) as file:
        kind = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(kind):
            return join_chunks(_pipe_chunks(file, path), limit, path)
        if not stat.S_ISREG(kind):
            raise CourseError(f"{path} is a device, not a file. Name a file.")
        return join_chunks(iter(lambda: file.read(_CHUNK), b""), limit, path)


def join_chunks(chunks: Iterable[bytes], limit: int, name: object) -> bytes:
    """Join bytes from any source, unless there are too many of them.

    Args:
        limit: the most bytes in all.
        name: where they come from, for messages.

    Raises:
        CourseError: as soon as there are more bytes.
    """
    buffer = io.BytesIO()  # it hands over its bytes without a copy
    for chunk in chunks:
        if buffer.tell() + len(chunk) > limit:
            raise CourseError(f"{name} is too large: the limit is {limit / 1e6:,.0f} MB. Use a smaller file.")
        buffer.write(chunk)
    return buffer.getvalue()


def _pipe_chunks(file: io.FileIO, path: str | Path) -> Iterator[bytes]:
    is_silent, end = True, time.monotonic() + PIPE_SECONDS
    while select.select([file], [], [], max(0, end - time.monotonic()))[0] and (chunk := file.read(_CHUNK)):
        is_silent = False
        yield chunk
    if is_silent or time.monotonic() > end:
        raise CourseError(f"{path} is a pipe that delivered nothing, or not all, in {PIPE_SECONDS} seconds.")


def parse_json(data: bytes, limit: int, source: object) -> Any:
    """Parse JSON in UTF-8.

    Args:
        limit: the most bytes that JSON of this kind may have; the limit on its values follows from that.
        source: where the bytes come from, for messages.

    Raises:
        CourseError: if it is not JSON, or exceeds a limit.
    """
    if len(data) > limit or sum(map(data.count, (b",", b"[", b"{"))) > limit / BYTES_PER_VALUE:
        raise CourseError(
            f"{source} is too large: the limits are {limit / 1e6:,.0f} MB and {limit / BYTES_PER_VALUE / 1e6:,.1f} "
            "million values. Use a smaller file."
        )
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CourseError(f"{source} is not valid JSON ({error}). Make it again, or get a complete copy.") from error


def read_json(path: str | Path, limit: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file.

    Raises:
        CourseError: if the file is missing, not JSON, or larger than `limit` bytes.
    """
    return parse_json(read_bytes(path, limit), limit, path)


def read_note(path: str | Path) -> dict[str, Any]:
    """What an earlier run noted in a JSON file; an empty dictionary if that is missing or damaged."""
    try:
        note = read_json(path)
    except CourseError:
        return {}
    return note if isinstance(note, dict) else {}


def read_array(path: str | Path) -> np.ndarray:
    """Map a `.npy` file of numbers into memory: only what is used is read.

    Raises:
        CourseError: if the file is missing, not a complete NumPy file, or holds anything but numbers.
    """
    with read_errors_explained(path, "NumPy file of numbers"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.memmap) or array.dtype.kind not in NUMBERS:
            raise ValueError("it holds something other than numbers")
        return array


def read_arrays(path: str | Path, names: Sequence[str]) -> list[np.ndarray]:
    """Read the arrays of these names from a `.npz` file.

    Raises:
        CourseError: if the file is missing, incomplete, lacks one of them, or holds anything but numbers.
    """
    with read_errors_explained(path, f"NumPy file with {', '.join(names)}"), np.load(path, allow_pickle=False) as npz:
        for info in npz.zip.infolist():  # zeros compress a thousandfold, and the course never compresses arrays
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > os.path.getsize(path):
                raise ValueError("it is compressed")
        arrays = [npz[name] for name in names]
        if any(array.dtype.kind not in NUMBERS for array in arrays):
            raise ValueError("it holds something other than numbers")
        return arrays


def sha256_of(path: str | Path) -> str:
    """The SHA-256 checksum of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def slug(text: str) -> str:
    """Turn any text into a file name: lower-case a to z, digits and underscores, short enough for a file system."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:200] or "unnamed"
