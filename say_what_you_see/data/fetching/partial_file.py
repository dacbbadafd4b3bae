"""A file that is not whole yet: which bytes of it are here, noted so that a killed process loses next to none."""

from __future__ import annotations

import heapq
import json
import os
import threading
from dataclasses import asdict, replace
from pathlib import Path

from say_what_you_see.data.fetching.requesting import Identity

BLOCK = 1 << 24
"""Bytes that one request asks for. Blocks are fetched in order, so that a checksum can follow close behind."""


class Closed(Exception):
    """The download has ended; a thread that is still reading must not write any more."""


def notes_of(path: Path) -> tuple[Path, Path]:
    """The note about a file that is not whole yet, and the one that is about to replace it."""
    return path.with_name(path.name + ".part.json"), path.with_name(path.name + ".part.json.new")


class PartialFile:
    """`NAME.part`, and `NAME.part.json` that notes which bytes of it are there; several threads may write.

    The note is behind, never ahead: it is written after the bytes that it speaks of. A `.part` without a note is the
    beginning of a file; it counts for what it is only where a checksum will tell in the end.

    Attributes:
        identity: the file on the server that the bytes come from; None where nobody noted it.
        generation: grows whenever all is thrown away.
        is_mixed: its bytes come from more than one source, or partly from an earlier process.
    """

    def __init__(self, path: Path, has_checksum: bool):
        self.path = path.with_name(path.name + ".part")
        self.note, self._new_note = notes_of(path)
        self.identity: Identity | None = None
        self.generation, self.is_mixed = 0, False
        self._lock = threading.Lock()
        self._file = None
        self._start_over(BLOCK, [])
        self._load(has_checksum)

    def _start_over(self, block: int, done: list[int]) -> None:
        self.block, self._done, self._first_gap = block, done, 0
        self._free: list[int] = []

    def _load(self, has_checksum: bool) -> None:
        """Take up what an earlier process left, or remove it where it does not fit together."""
        here = self.path.stat().st_size if self.path.exists() else 0
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            self.identity = Identity(**note["identity"])
            if not _is_sound(note, self.identity):
                raise ValueError("the note is damaged")
            self._start_over(note["block"], note["done"])
            reached = max((i * self.block + n for i, n in enumerate(self._done) if n), default=0)
            fits = reached <= here and len(self._done) == self._n_blocks(self.identity.size)
        except FileNotFoundError:
            self._start_over(BLOCK, _blocks_of(here, BLOCK))
            fits = has_checksum
        except (OSError, ValueError, KeyError, TypeError):
            fits = False
        self.is_mixed = self.n_done > 0
        if not fits:
            self.discard()

    def discard(self) -> None:
        """Throw everything away; the bytes first, since without a note they would count as a beginning."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._remove_notes()
        self.identity, self.generation, self.is_mixed = None, self.generation + 1, False
        self._start_over(BLOCK, [])

    def adopt(self, identity: Identity, keep: bool) -> None:
        """Go on with this file on this server; with `keep`, with the bytes that are here."""
        if not keep or self.n_done > (identity.size or 0):
            self.discard()
        self.is_mixed |= self.n_done > 0 and self.identity is not None and self.identity.url != identity.url
        self.identity = identity
        self._done += [0] * (self._n_blocks(identity.size) - len(self._done))
        self._free = [index for index in range(len(self._done)) if self._missing(index)]
        self.save()
        mode = "r+b" if self.path.exists() else "w+b"
        self._file = open(self.path, mode, buffering=0)  # noqa: SIM115

    def _n_blocks(self, size: int | None) -> int:
        return -(-(size or 0) // self.block)

    def span(self, index: int) -> tuple[int, int]:
        """First byte that a block lacks, and the byte after its last."""
        stop = (index + 1) * self.block
        size = self.identity.size if self.identity else None
        return index * self.block + self._done[index], stop if size is None else min(stop, size)

    def _missing(self, index: int) -> int:
        start, stop = self.span(index)
        return stop - start

    @property
    def n_lacking(self) -> int:
        """How many blocks are not whole and wait for somebody to work on them."""
        return len(self._free)

    @property
    def n_done(self) -> int:
        """How many bytes are here."""
        return sum(self._done)

    @property
    def is_whole(self) -> bool:
        """Whether all bytes of a file of known size are here."""
        return self.identity is not None and self.n_done == self.identity.size

    def frontier(self) -> int:
        """How many bytes are here without a gap, counted from the beginning of the file."""
        with self._lock:
            while self._first_gap < len(self._done) and not self._missing(self._first_gap):
                self._first_gap += 1
            gap = self._first_gap
            return self.span(gap)[0] if gap < len(self._done) else self.n_done

    def take(self) -> int | None:
        """The first block that lacks bytes and that nobody works on."""
        with self._lock:
            return heapq.heappop(self._free) if self._free else None

    def give_back(self, index: int) -> None:
        """Let somebody else finish a block."""
        with self._lock:
            if index < len(self._done) and self._missing(index):
                heapq.heappush(self._free, index)

    def write(self, index: int, chunk: bytes) -> bool:
        """Write the next bytes of a block; whether all of them belong to it, as a server may send more."""
        with self._lock:
            if self._file is None:
                raise Closed
            start, stop = self.span(index)
            piece = chunk[: stop - start]
            self._write_at(start, piece)
            self._done[index] += len(piece)
            return len(piece) == len(chunk)

    def append(self, chunk: bytes) -> None:
        """Write the next bytes of a file that comes in one piece, of whatever length."""
        while chunk:
            index, filled = divmod(self.frontier(), self.block)
            with self._lock:
                if self._file is None:
                    raise Closed
                if index == len(self._done):
                    self._done.append(0)
                piece = chunk[: self.block - filled]
                self._write_at(index * self.block + filled, piece)
                self._done[index] += len(piece)
            chunk = chunk[len(piece) :]

    def end(self) -> None:
        """Say that a file whose size the server did not tell ends here."""
        self.identity = replace(self.identity, size=self.n_done)

    def _write_at(self, position: int, data: bytes) -> None:
        self._file.seek(position)
        view = memoryview(data)
        while view:  # a file without a buffer may take less than it is given
            view = view[self._file.write(view) :]

    def next_span(self) -> tuple[int, int]:
        """The bytes to ask a server for first, before it is known how large the file is."""
        start = self.frontier()
        return start, (start // self.block + 1) * self.block

    def save(self) -> None:
        """Note what is here, after the disk has it."""
        if self.identity is None:
            return
        with self._lock:
            note = {"identity": asdict(self.identity), "block": self.block, "done": list(self._done)}
            file = self._file
        if file is not None:
            os.fsync(file.fileno())
        self._new_note.write_text(json.dumps(note), encoding="utf-8")
        os.replace(self._new_note, self.note)

    def close(self) -> None:
        """End writing."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            file.close()

    def become(self, path: Path) -> None:
        """Give the whole file its final name."""
        self.close()
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
        os.replace(self.path, path)
        self._remove_notes()

    def _remove_notes(self) -> None:
        for note in (self.note, self._new_note):
            note.unlink(missing_ok=True)


def _blocks_of(size: int, block: int) -> list[int]:
    """How the first `size` bytes of a file fill blocks."""
    return [min(block, size - start) for start in range(0, size, block)]


def _is_sound(note: dict, identity: Identity) -> bool:
    """Whether what a note says can be: numbers of bytes where such belong, and no block with more than fit in."""
    block, texts = note["block"], (identity.url, identity.etag or "", identity.last_modified or "")
    numbers = [block, *note["done"], identity.size or 0]
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in numbers) or block == 0:
        return False
    return all(isinstance(text, str) for text in texts) and all(number <= block for number in note["done"])
