"""What writing files has to reckon with: processes that are killed, full disks, folders that nobody may write to."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from say_what_you_see.core.errors import CourseError

try:
    import fcntl
except ImportError:  # Windows: leftovers stay there until somebody deletes them
    fcntl = None

LEFTOVER = re.compile(r"\.part-[0-9a-f]{8}-.+")
"""Names of files and folders that are being written, or that a process which was killed has left behind."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def folder_in_use(folder: Path) -> Iterator[None]:
    """Keep a folder locked, together with others who write there; who comes first removes what is left behind.

    A file under a temporary name belongs either to somebody who writes it now, or to a process that was killed.
    Neither its age nor a number of a process tells which: clocks jump, and containers share folders. So everyone
    who writes holds a lock on the folder, which the system takes back from a process however it ends.
    """
    handle = _open_folder(folder)
    if handle is None:
        yield
        return
    try:
        with suppress(OSError):  # some network disks know no locks
            with suppress(BlockingIOError):  # somebody writes there
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_leftovers(folder)
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _open_folder(folder: Path) -> int | None:
    with suppress(OSError):
        return os.open(folder, os.O_RDONLY) if fcntl else None
    return None


def _remove_leftovers(folder: Path) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not LEFTOVER.fullmatch(entry.name):
                continue
            if entry.is_file(follow_symlinks=False):
                os.unlink(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)


@contextmanager
def write_errors_explained(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Turn what the system says about a file that cannot be written into words.

    Args:
        path: the name that the user knows it by.
        temporary: the name that it is written under; None if it is the same.

    Raises:
        CourseError: instead of an OSError about one of these names, or about the disk.
    """
    try:
        yield
    except OSError as error:
        names = {str(path), str(path.parent), str(temporary or path)}
        about = str(error.filename) in names or str(error.filename2) in names or (temporary or path).name in str(error)
        if not about and error.errno not in (*_NO_ROOM, errno.EROFS):
            raise
        raise CourseError(why_not_written(path, error)) from error


def why_not_written(path: Path, error: OSError) -> str:
    """A message for the user: which file, what was wrong with it, what to do."""
    if error.errno in _NO_ROOM:
        return (
            f"{path} could not be written: the disk is full. Make room, or set COURSE_DATA to a folder on another "
            "disk, and start again: what is done stays."
        )
    if error.errno in _NOT_ALLOWED:
        return (
            f"{path} could not be written ({os.strerror(error.errno)}). Make {path.parent} writable, or set "
            "COURSE_DATA to a folder that is, and start again."
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{path} could not be written, since {path.parent} is no folder. Move away what is there."
    return f"{path} could not be written ({error.strerror or error}). Start again when that is put right."


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        CourseError: if that cannot be: a file is in the way, say, or the disk is read-only.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise CourseError(
            f"{folder} is a file, but a folder of this name is to be made. Move the file away."
        ) from error
    except OSError as error:
        raise CourseError(why_not_written(folder, error)) from error


def reserve(path: Path, size: int) -> None:
    """Have the disk keep room for a file that is there: one that is mapped into memory ends a process without it.

    Raises:
        CourseError: if the disk is full.
    """
    if hasattr(os, "posix_fallocate") and size:
        with write_errors_explained(path), path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def check_is_no_folder(path: Path) -> None:
    """Refuse to write a file where a folder is, before the work is done that it is to hold.

    Raises:
        CourseError: naming it.
    """
    if path.is_dir():
        raise CourseError(f"{path} is a folder, but a file of this name is to be written. Move the folder away.")
