"""Fetches a file, from whichever source has it, and lets nothing pass that is not the file."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.fetching.partial_file import PartialFile, notes_of
from say_what_you_see.data.fetching.requesting import Trouble, Unfit
from say_what_you_see.data.fetching.transfer import FollowingChecksum, Transfer, Wanted

_NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def fetch(sources: Sequence[str], wanted: Wanted, pauses: Sequence[float]) -> None:
    """Fetch a file under its final name, unless another process does so first.

    Args:
        sources: addresses of the same file, tried in turn.
        wanted: what must come.
        pauses: seconds to wait before each further round, when no source brings anything.

    Raises:
        CourseError: if no source has it; says what was wrong with each, and how to bring it by hand.
    """
    path = wanted.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with only_one(path):
            if not path.exists():
                _Fetching(sources, wanted, pauses).run()
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise CourseError(
                f"The disk of {path.parent} is full. Make room and run this again: {path.name} goes on where it "
                "stopped."
            ) from error
        raise CourseError(
            f"Cannot write {path}: {error.strerror or error}. Set COURSE_DATA to a folder of yours."
        ) from error


def tidy(path: Path) -> None:
    """Remove what a process left beside a whole file, if it was killed just after giving it its name."""
    lock = _lock_of(path)
    if any(stray.exists() for stray in (*notes_of(path), Path(lock.lock_file))):
        with suppress(OSError, filelock.Timeout), lock.acquire(timeout=0):
            for stray in (*notes_of(path), Path(lock.lock_file)):
                stray.unlink(missing_ok=True)


def _lock_of(path: Path) -> filelock.FileLock:
    return filelock.FileLock(path.with_name(f".{path.name}.lock"))


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock for a file, so that of several processes one works on it; says so where it has to wait.

    The system ends the lock with the process, however that ends.
    """
    lock = _lock_of(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"Another process is at {path.name}; waiting for it.", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        if path.exists():  # who waits for the lock has nothing to do any more; before that, its file must stay
            with suppress(OSError):  # Windows does not remove what is open
                os.unlink(lock.lock_file)
        lock.release()


class _Fetching:
    """The rounds over the sources; what one source brought, the next goes on with."""

    def __init__(self, sources: Sequence[str], wanted: Wanted, pauses: Sequence[float]):
        self._sources, self._wanted, self._pauses = list(dict.fromkeys(sources)), wanted, pauses
        self._part = PartialFile(wanted.path, has_checksum=wanted.checksum is not None)
        self._checksum = FollowingChecksum(wanted.algorithm, self._part) if wanted.algorithm else None
        self._reasons: dict[str, Exception] = {}
        self._most = self._part.n_done  # only what goes beyond it is progress; a server may start over for ever

    def run(self) -> None:
        failures = 0
        while True:
            progressed = False
            for source in list(self._sources):
                progressed |= self._try(source)
                if self._wanted.path.exists():
                    return
            failures = 0 if progressed else failures + 1
            if not self._sources or failures > len(self._pauses):
                if not self._part.n_done:
                    self._part.discard()
                raise self._cannot()
            asked = max((error.wait for error in self._reasons.values() if isinstance(error, Trouble)), default=0.0)
            time.sleep(max(asked, self._pauses[failures - 1] if failures else 0.0))

    def _try(self, source: str) -> bool:
        """Fetch from one source as long as that gets anywhere; whether it got anywhere."""
        progressed = False
        while True:
            try:
                Transfer(source, self._wanted, self._part, self._checksum, self._first_pause).run()
                self._accept(source)
                return True
            except Unfit as error:
                self._reasons[source] = error
                self._sources.remove(source)
                return progressed
            except Trouble as error:
                self._reasons[source] = error
            if self._part.n_done <= self._most:
                return progressed
            self._most, progressed = self._part.n_done, True
            time.sleep(self._first_pause)

    @property
    def _first_pause(self) -> float:
        return self._pauses[0] if self._pauses else 0.0

    def _accept(self, source: str) -> None:
        """Give the file its final name, if it is the one that was wanted; else throw it away.

        Raises:
            Trouble: if a part of it came from elsewhere or an earlier time: all of it anew may be better.
            Unfit: if this source sent all of it.
        """
        part, wanted = self._part, self._wanted
        wrong = None
        if wanted.bytes not in (None, part.n_done):
            wrong = f"its file has {part.n_done:,} bytes where {wanted.bytes:,} belong"
        elif self._checksum and (found := self._checksum.hexdigest()) != wanted.checksum.partition(":")[2].lower():
            wrong = f"its file has the {wanted.algorithm} checksum {found} instead of {wanted.checksum}"
        if wrong is None:
            return part.become(wanted.path)
        mixed = part.is_mixed
        part.discard()
        raise Trouble(wrong) if mixed else Unfit(wrong)

    def _cannot(self) -> CourseError:
        path, reasons = self._wanted.path, self._reasons
        tried = "; ".join(f"{source}: {error}" for source, error in reasons.items())
        by_hand = f"bring it by other means, from {next(iter(reasons))}, and put it at {path}"
        if all(isinstance(error, Unfit) for error in reasons.values()):
            how = f"{by_hand[0].upper()}{by_hand[1:]}: the same command finds it there."
        else:
            how = (
                "Check the connection and run this again: it goes on where it stopped. Or "
                f"{by_hand}: the same command finds it there."
            )
        return CourseError(f"Cannot download {path.name} ({tried}). {how}")
