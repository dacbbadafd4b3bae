"""The Java programs among the field's scorers: started, asked, ended, and left out where Java is missing."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from pycocoevalcap.bleu import bleu_scorer

JAVA_ANSWERS_WITHIN = 30.0
"""Seconds that `java -version` may take."""
METEOR_ANSWERS_WITHIN = 600.0
"""Seconds that METEOR may take for one set of captions; reading its paraphrases alone takes up to a minute."""

REFERENCE_FOLDER = Path(bleu_scorer.__file__).resolve().parents[1]
_METEOR_JAR = REFERENCE_FOLDER / "meteor" / "meteor-1.5.jar"
JAVA_OPTIONS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")


class NotMeasured(Exception):
    """Why a metric cannot be had here."""


class Meteor:
    """The Java program METEOR, started once and kept until Python ends, since it reads its data for up to a minute."""

    _current: Meteor | None = None

    def __init__(self) -> None:
        command = [working_java(), *JAVA_OPTIONS, "-Xmx2G", "-jar", str(_METEOR_JAR), "-", "-", "-stdio", "-l", "en"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the program)
        self._process = subprocess.Popen(
            [*command, "-norm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            encoding="utf-8", cwd=_METEOR_JAR.parent, start_new_session=True,
        )  # fmt: skip
        atexit.register(self.close)

    @classmethod
    def running(cls) -> Meteor:
        """The running program; starts it where there is none."""
        if cls._current is None:
            cls._current = cls()
        return cls._current

    def close(self) -> None:
        """End the program and all that it started."""
        type(self)._current = None
        atexit.unregister(self.close)
        _kill(self._process)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                stream.close()

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Bound the time that the questions of this block take; a program that fails or hangs is ended."""
        overdue = threading.Event()
        timer = threading.Timer(METEOR_ANSWERS_WITHIN, lambda: (overdue.set(), _kill(self._process)))
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, ValueError, EOFError) as error:
            late = f"it gave no answer within {METEOR_ANSWERS_WITHIN:g} seconds"
            reason = late if overdue.is_set() else f"its Java program failed ({self._last_words() or error})"
            self.close()
            raise NotMeasured(reason) from error
        except BaseException:  # interrupted between question and answer, the next answer would be a wrong one
            self.close()
            raise
        finally:
            timer.cancel()

    def ask(self, question: str) -> str:
        """One line to the program, one line back."""
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._answer()

    def evaluate(self, statistics: Sequence[str]) -> list[float]:
        """The score of each line of statistics, and last that of all together."""
        first = self.ask("EVAL ||| " + " ||| ".join(statistics))
        return [float(first), *(float(self._answer()) for _ in statistics)]

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise EOFError("it ended")
        return line.strip()

    def _last_words(self) -> str:
        self._errors.seek(0)
        return _last_line(self._errors.read())


def working_java() -> str:
    """The path of a Java runtime that runs."""
    java = shutil.which("java")
    if java is None:
        raise NotMeasured("no Java runtime was found (there is no program named java on the PATH)")
    run_java([java, "-version"], JAVA_ANSWERS_WITHIN)
    return java


def run_java(command: Sequence[str], limit: float, folder: Path | None = None) -> None:
    """Run a Java program to its end, with no pipe that a child of it could keep open."""
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder, start_new_session=True
            )
        except OSError as error:
            raise NotMeasured(f"{command[0]} does not run ({error.strerror})") from error
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired as error:
            raise NotMeasured(f"{command[0]} gave no answer within {limit:g} seconds") from error
        finally:
            _kill(process)
        if status:
            said.seek(0)
            raise NotMeasured(
                f"{command[0]} ended with status {status} ({_last_line(said.read()) or 'saying nothing'})"
            )


def _kill(process: subprocess.Popen) -> None:
    """End a process and, where the system has process groups, all that it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    process.wait()


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", errors="replace").split("\n")
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
