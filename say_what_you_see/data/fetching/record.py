"""Remembers which files were checked, so that 20 GB are not read again and again, and what they were at first use."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.core.progress import progress
from say_what_you_see.data.fetching.fetch import only_one

RECORD = "downloads.json"
"""In each folder of downloads: by file name its size, the time of its last change, and its checksum."""

_SLICE = 1 << 22
_CHECKSUM = re.compile(r"(md5|sha1|sha224|sha256|sha384|sha512):[0-9a-fA-F]+")


def recorded_checksum(path: Path) -> str | None:
    """The checksum that a file had when it was last checked, or first used; None if it never was."""
    return _entries(path).get(path.name, {}).get("checksum")


def remember(path: Path, checksum: str) -> None:
    """Note that a file, as it is now, has this checksum. A folder that cannot be written to stays as it is."""
    record = path.with_name(RECORD)
    with suppress(OSError), only_one(record):
        write_json({**_entries(path), path.name: {**_stamp(path), "checksum": checksum}}, record)


def is_unchanged(path: Path, checksum: str | None) -> bool:
    """Whether a file is, by size and time, the one that was checked; against this checksum, where there is one."""
    entry = dict(_entries(path).get(path.name, {}))
    known = entry.pop("checksum", None)
    return entry == _stamp(path) and checksum in (None, known)


def check(path: Path, checksum: str | None, contents: Callable[[Path], str] | None) -> None:
    """Check a file that was not downloaded just now, unless it is the one that was checked before.

    Where nobody has published a checksum, what the file holds is checked, and the checksum of the first copy that
    passes becomes the one that later copies must have.

    Raises:
        CourseError: if it is not the file that it should be; nothing is removed.
    """
    if is_unchanged(path, checksum):
        return
    wanted = checksum or recorded_checksum(path)
    algorithm = wanted.partition(":")[0] if wanted else "sha256"
    found = f"{algorithm}:{checksum_of(path, algorithm)}"
    if wanted and found != wanted.lower():
        whose = "" if checksum else f", which the first copy here had. If you want this one, remove {RECORD} beside it"
        raise CourseError(
            f"{path} has the checksum {found} instead of {wanted}{whose}. It may be cut off or of another version: "
            "remove it and run this again, or bring a whole copy."
        )
    if contents and not wanted:
        print(
            f"Nobody has published a checksum of {path.name}. It holds {contents(path)}, as it should; its checksum "
            f"{found} is noted in {path.with_name(RECORD)}, and other copies will be compared with it."
        )
    remember(path, found)


def checksum_of(path: Path, algorithm: str) -> str:
    """The checksum of a file as hexadecimal digits, with a bar for a large one."""
    digest = hashlib.new(algorithm)
    with (
        open(path, "rb") as file,
        progress(total=path.stat().st_size, description=f"Checking {path.name}", unit="B") as bar,
    ):
        while data := file.read(_SLICE):
            digest.update(data)
            bar.update(len(data))
    return digest.hexdigest()


def _entries(path: Path) -> dict[str, dict]:
    """The record of a file's folder; one that cannot be read counts as empty, and a damaged entry as missing."""
    with suppress(CourseError):
        entries = read_json(path.with_name(RECORD))
        if isinstance(entries, dict):
            return {name: entry for name, entry in entries.items() if _is_sound(entry)}
    return {}


def _is_sound(entry: Any) -> bool:
    """Whether something is an entry of a record: with a checksum, or without any."""
    if not isinstance(entry, dict):
        return False
    checksum = entry.get("checksum")
    return checksum is None or (isinstance(checksum, str) and _CHECKSUM.fullmatch(checksum) is not None)


def _stamp(path: Path) -> dict[str, int]:
    return {"bytes": path.stat().st_size, "changed": path.stat().st_mtime_ns}
