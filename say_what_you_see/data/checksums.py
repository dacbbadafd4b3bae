"""Checks files and remembers which ones, so that 20 GB are not read again and again."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_note, write_json
from say_what_you_see.core.progress import progress

RECORD = "downloads.json"
"""Lists each file in a folder of downloads with its size, the time of its last change, and its checksum."""

_CHUNK = 1 << 22


def hash_file(path: Path, algorithm: str = "sha256") -> Any:
    """Hash a whole file, with a progress bar for a large one; returns hashlib's object."""
    digest = hashlib.new(algorithm)
    size = path.stat().st_size
    with open(path, "rb") as file, progress(total=size, description=f"Checking {path.name}", unit="B") as bar:
        while data := file.read(_CHUNK):
            digest.update(data)
            bar.update(len(data))
    return digest


def verify(path: Path, checksum: str, was_checked: bool = False) -> None:
    """Check a file, unless its size and time say that it was checked before; notes that, where the folder allows it.

    Args:
        checksum: 'sha256:…' or 'md5:…', hexadecimal.
        was_checked: whether the file is known to be right, since it was checked during its download.

    Raises:
        CourseError: if it is not the right file; nothing is removed.
    """
    record, note = path.with_name(RECORD), _note(path, checksum)
    if read_note(record).get(path.name) == note:
        return
    algorithm = checksum.partition(":")[0]
    if not was_checked and (actual := f"{algorithm}:{hash_file(path, algorithm).hexdigest()}") != checksum:
        raise CourseError(
            f"{path} has the checksum {actual} instead of {checksum}. It may be incomplete or another version: "
            "remove it and run this again, or get a complete copy."
        )
    with suppress(CourseError):  # the folder cannot be written to
        write_json({**read_note(record), path.name: note}, record)


def sha256_of_file(path: Path) -> str:
    """The SHA-256 checksum of a file; one that was checked by it, and has not changed since, is not read again."""
    noted = read_note(path.with_name(RECORD)).get(path.name)
    checksum = str(noted.get("checksum")) if isinstance(noted, dict) else ""
    if checksum.startswith("sha256:") and noted == _note(path, checksum):
        return checksum.removeprefix("sha256:")
    return hash_file(path).hexdigest()


def _note(path: Path, checksum: str) -> dict[str, str | int]:
    """How a file is noted that has this checksum."""
    state = path.stat()
    return {"bytes": state.st_size, "changed": state.st_mtime_ns, "checksum": checksum}
