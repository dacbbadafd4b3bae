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


def record_checksum(path: Path, checksum: str) -> None:
    """Note that a file, as it is now, has this checksum; does nothing in a folder that cannot be written to."""
    record = path.with_name(RECORD)
    with suppress(CourseError):
        write_json({**read_note(record), path.name: {**_stamp(path), "checksum": checksum}}, record)


def verify(path: Path, checksum: str) -> None:
    """Check a file, unless its size and time say that it was checked before.

    Raises:
        CourseError: if it is not the right file; nothing is removed.
    """
    if read_note(path.with_name(RECORD)).get(path.name) == {**_stamp(path), "checksum": checksum}:
        return
    algorithm = checksum.partition(":")[0]
    actual = f"{algorithm}:{hash_file(path, algorithm).hexdigest()}"
    if actual != checksum:
        raise CourseError(
            f"{path} has the checksum {actual} instead of {checksum}. It may be incomplete or another version: "
            "remove it and run this again, or get a complete copy."
        )
    record_checksum(path, checksum)


def _stamp(path: Path) -> dict[str, int]:
    return {"bytes": path.stat().st_size, "changed": path.stat().st_mtime_ns}
