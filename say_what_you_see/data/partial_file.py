"""An incomplete file and what is known about it, so that a later process can resume the download."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from say_what_you_see.core.files import read_note
from say_what_you_see.core.progress import progress
from say_what_you_see.data.checksums import hash_file


@dataclass(frozen=True)
class Version:
    """What distinguishes one version of a file on a server from the next."""

    url: str = ""  # as requested, before redirects, without a password
    size: int | None = None  # bytes of the whole file; None if the server does not say
    etag: str | None = None  # etag, last_modified: as the server gives them
    last_modified: str | None = None

    @property
    def validator(self) -> str | None:
        """What If-Range takes: a strong ETag, or else a date (RFC 9110, section 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


class PartialFile:
    """`NAME.part`, the first bytes of a file, and `NAME.part.json`, a note of its version.

    Without a valid note the bytes are discarded.

    Attributes:
        version: the version of the file that the bytes come from.
        n_bytes: how many are here.
        digest: hashlib's object, which has hashed all of them.
        is_mixed: whether they come from several sources, or partly from an earlier process.
    """

    def __init__(self, path: Path, algorithm: str = "sha256"):
        self.path, self.note = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
        self.final, self._algorithm = path, algorithm
        try:
            version = Version(**read_note(self.note))
        except TypeError:  # a note in another format
            version = Version()
        size = self.path.stat().st_size if self.path.is_file() else 0
        if not version.url or not size or (version.size is not None and size > version.size):
            self.discard()
        else:
            self.version, self.n_bytes, self.is_mixed = version, size, True
            self.digest = hash_file(self.path, algorithm)

    def discard(self) -> None:
        """Discard the bytes and the note."""
        for path in (self.path, self.note):
            path.unlink(missing_ok=True)
        self.version, self.n_bytes, self.is_mixed = Version(), 0, False
        self.digest = hashlib.new(self._algorithm)

    def start(self, version: Version) -> None:
        """Start over with this version of the file."""
        self.discard()
        self.version = version
        self.note.write_text(json.dumps(asdict(version)), encoding="utf-8")

    def append(self, chunks: Iterator[bytes]) -> None:
        """Append the bytes that follow, with a progress bar."""
        with (
            open(self.path, "ab") as file,
            progress(total=self.version.size, description=self.final.name, unit="B", done=self.n_bytes) as bar,
        ):
            for chunk in chunks:
                file.write(chunk)
                self.digest.update(chunk)
                self.n_bytes += len(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Give the complete file its final name."""
        self.note.unlink()
        os.replace(self.path, self.final)
