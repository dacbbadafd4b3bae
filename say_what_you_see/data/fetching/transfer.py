"""One attempt to bring what a partial file lacks from one source, over several connections where the server can."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import check_space
from say_what_you_see.core.progress import progress
from say_what_you_see.data.fetching.partial_file import Closed, PartialFile
from say_what_you_see.data.fetching.requesting import Changed, Identity, NoRanges, Reply, Trouble, Unfit, ask

CONNECTIONS = 4
"""Requests under way at a time; more bring little and are a burden to servers."""

_TICK = 0.2  # seconds between two looks at how far the connections are
_NOTE_EVERY = 2.0  # seconds of work that a killed process may lose
_LEAVE = 1.0  # seconds that the connections have to end, after an interruption
_SLICE = 1 << 20  # bytes that are hashed at a time
_PAGE_STARTS = (b"<!doctype html", b"<html")


@dataclass(frozen=True)
class Wanted:
    """The file that is to come.

    Attributes:
        path: its final name.
        bytes: its size; None where nobody has published it.
        checksum: 'sha256:…' or 'md5:…'; None where nobody has published it.
    """

    path: Path
    bytes: int | None = None
    checksum: str | None = None

    @property
    def algorithm(self) -> str | None:
        """The name of the checksum's algorithm, as hashlib knows it."""
        return self.checksum.partition(":")[0] if self.checksum else None


class FollowingChecksum:
    """The checksum of a partial file, computed while it grows, from the first byte as far as there is no gap.

    It reads back what was just written, which the system still holds in memory. So it sees what is on the disk, in
    order, however many connections write, and what an earlier process left counts like the rest.
    """

    def __init__(self, algorithm: str, part: PartialFile):
        self._algorithm, self._part = algorithm, part
        self._begin()

    def _begin(self) -> None:
        self._hash, self._position, self._generation = hashlib.new(self._algorithm), 0, self._part.generation

    def follow(self, seconds: float = float("inf")) -> None:
        """Hash what is there without a gap, for at most so many seconds."""
        if self._generation != self._part.generation:
            self._begin()
        frontier, end = self._part.frontier(), time.monotonic() + seconds
        if self._position == frontier:
            return
        with open(self._part.path, "rb") as file:
            file.seek(self._position)
            while self._position < frontier and time.monotonic() < end:
                data = file.read(min(_SLICE, frontier - self._position))
                if not data:
                    raise OSError(f"{self._part.path} is shorter than it was")
                self._hash.update(data)
                self._position += len(data)

    def hexdigest(self) -> str:
        """The checksum of all that is there."""
        self.follow()
        return self._hash.hexdigest()


class Transfer:
    """Fetches what `part` lacks from one address.

    The calling thread watches: it moves the bar, notes what is there, and computes the checksum. Other threads read
    from the network, each a block at a time.
    """

    def __init__(self, url: str, wanted: Wanted, part: PartialFile, checksum: FollowingChecksum | None, pause: float):
        self._url, self._wanted, self._part, self._checksum, self._pause = url, wanted, part, checksum, pause
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._noted = time.monotonic()

    def run(self) -> None:
        """Fetch until the file is whole.

        Raises:
            Trouble: if it is not whole; what came is kept.
            Unfit: if this source has another file, or none.
            CourseError: if there is no room.
        """
        part = self._part
        if part.is_whole:
            return
        with requests.Session() as session:
            reply = self._open(session)
            self._make_sure_of_room(reply)
            self._watch(self._threads(session, reply))
        if isinstance(self._error, Changed):
            part.discard()
        if not part.is_whole:
            raise self._error or Trouble("the connection breaks off")

    def _threads(self, session: requests.Session, reply: Reply) -> list[threading.Thread]:
        """One thread for the answer that is here, and others where the server can send parts."""
        if reply.whole:
            return [self._thread(self._read_whole, reply)]
        others = [self._thread(self._read_blocks) for _ in range(min(CONNECTIONS, self._part.n_lacking) - 1)]
        return [self._thread(self._read_blocks, session, reply, self._part.take()), *others]

    def _thread(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        return threading.Thread(target=self._guarded, args=(work, *arguments), daemon=True)

    # Before the first byte

    def _open(self, session: requests.Session) -> Reply:
        """Ask for the first bytes that lack, and decide whether they can be joined to those that are here."""
        part, known = self._part, self._part.identity
        same_source = known is not None and known.url == self._url
        try:
            reply = self._ask_first(session, known if same_source else Identity(self._url))
        except Changed:
            part.discard()
            raise
        same_file = known.is_same_file(reply.identity) if same_source else self._may_mix(reply)
        if part.n_done and not same_file and (same_source or not reply.whole):
            reply.response.close()
            part.discard()
            raise Changed("the file on the server is another one now")
        part.adopt(reply.identity, keep=same_file and not reply.whole)
        return reply

    def _ask_first(self, session: requests.Session, identity: Identity) -> Reply:
        try:
            reply = ask(session, identity, self._part.next_span())
        except NoRanges:
            reply = ask(session, Identity(self._url), None)
        size = reply.identity.size
        if size is not None and self._wanted.bytes not in (None, size):
            reply.response.close()
            raise Unfit(f"its file has {size:,} bytes where {self._wanted.bytes:,} belong")
        return reply

    def _may_mix(self, reply: Reply) -> bool:
        """Whether bytes from elsewhere may be continued from here: only if a checksum tells in the end."""
        known = self._part.identity
        return self._wanted.checksum is not None and (known is None or known.size == reply.identity.size)

    def _make_sure_of_room(self, reply: Reply) -> None:
        lacking = (reply.identity.size or self._wanted.bytes or 0) - self._part.n_done
        try:
            check_space(self._wanted.path, max(lacking, 0))
        except CourseError:
            reply.response.close()
            raise

    # The threads that read

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        """Run a reading thread; what ends it is for the watching thread to raise."""
        try:
            work(*arguments)
        except Closed:
            pass
        except Changed as error:
            self._give_up(error)
        except Trouble as error:  # the other threads may fare better
            self._error = self._error or error
        except Exception as error:  # another file, or a disk that is full
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._error = error
        self._stop.set()

    def _read_whole(self, reply: Reply) -> None:
        """Read a file that comes in one piece."""
        for number, chunk in enumerate(reply.chunks()):
            if self._stop.is_set():
                return
            self._refuse_page(chunk if number == 0 else b"")
            self._part.append(chunk)
        if reply.identity.size is None:
            self._part.end()

    def _read_blocks(
        self, session: requests.Session | None = None, reply: Reply | None = None, index: int | None = None
    ) -> None:
        """Read one block after the other; after a broken connection go on, unless nothing comes any more."""
        part = self._part
        index = part.take() if index is None else index
        with session or requests.Session() as session:
            while index is not None and not self._stop.is_set():
                before = part.span(index)
                try:
                    self._read_block(session, index, reply)
                except Trouble as error:
                    if isinstance(error, Changed) or part.span(index) == before:
                        raise
                    self._stop.wait(self._pause)
                finally:
                    part.give_back(index)
                reply, index = None, part.take()

    def _read_block(self, session: requests.Session, index: int, reply: Reply | None) -> None:
        start, stop = self._part.span(index)
        identity = self._part.identity
        try:
            reply = reply or ask(session, identity, (start, stop))
        except (Unfit, NoRanges) as error:  # it answered before: too many at a time, perhaps
            raise Trouble(str(error) or "the server sends no ranges any more") from error
        if reply.whole or not identity.is_same_file(reply.identity):
            reply.response.close()
            raise Changed("the file on the server changes while it is read")
        for number, chunk in enumerate(reply.chunks()):
            if self._stop.is_set():
                raise Closed
            self._refuse_page(chunk if number == 0 and start == 0 else b"")
            if not self._part.write(index, chunk):
                reply.response.close()
                break
        if self._part.span(index)[0] < stop:
            raise Trouble("the connection breaks off")

    def _refuse_page(self, beginning: bytes) -> None:
        """Networks with a login page, and careless servers, send a page in place of any file."""
        is_page = beginning[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE_STARTS)
        if is_page and self._wanted.path.suffix.lower() not in (".html", ".htm", ".md"):
            raise Unfit("it sends a web page instead of the file (the login page of a network, perhaps)")

    # The thread that watches

    def _watch(self, threads: list[threading.Thread]) -> None:
        part = self._part
        size = part.identity.size or self._wanted.bytes
        try:
            with progress(total=size, description=self._wanted.path.name, unit="B") as bar:
                bar.n = bar.initial = part.n_done
                for thread in threads:
                    thread.start()
                for thread in threads:
                    while thread.is_alive():
                        thread.join(_TICK)
                        self._look(bar)
                self._look(bar)
        finally:
            self._stop.set()
            try:
                part.save()
            finally:
                part.close()
            self._leave(threads)

    def _leave(self, threads: list[threading.Thread]) -> None:
        """Wait a moment for the threads; one whose server is silent is left behind, and cannot write any more."""
        end = time.monotonic() + _LEAVE
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, end - time.monotonic()))

    def _look(self, bar: tqdm) -> None:
        """Move the bar, let the checksum follow, and now and then note what is here."""
        bar.update(self._part.n_done - bar.n)
        if self._checksum:
            self._checksum.follow(_TICK)
        if time.monotonic() - self._noted > _NOTE_EVERY:
            self._part.save()
            self._noted = time.monotonic()
