"""METEOR and SPICE, the two metrics that are Java programs: bounded in time, and left out where Java is missing."""

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
from typing import Any

import numpy as np
from pycocoevalcap.meteor import meteor as pycocoevalcap_meteor

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json

JAVA_TIMEOUT = 30.0
"""Seconds that `java -version` may take."""
METEOR_TIMEOUT = 600.0
"""Seconds that METEOR may take for one set of captions; reading its paraphrases alone takes up to a minute."""
SPICE_TIMEOUT = 3600.0
"""Seconds that SPICE may take for one set of captions."""

_METEOR_JAR = Path(pycocoevalcap_meteor.__file__).with_name(pycocoevalcap_meteor.METEOR_JAR)
SPICE_FOLDER = _METEOR_JAR.parents[1] / "spice"
CORENLP_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
_JAVA_OPTIONS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")


class NotMeasured(Exception):
    """Why a metric cannot be had here."""


class Meteor:
    """The Java program METEOR, started once and kept until Python ends, since it reads its data for up to a minute."""

    current: Meteor | None = None

    def __init__(self) -> None:
        command = [working_java(), *_JAVA_OPTIONS, "-Xmx2G", "-jar", str(_METEOR_JAR), "-", "-", "-stdio", "-l", "en"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the program)
        self._process = subprocess.Popen(
            [*command, "-norm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            encoding="utf-8", cwd=_METEOR_JAR.parent, start_new_session=True,
        )  # fmt: skip
        self._questions: Any = self._process.stdin
        self._answers: Any = self._process.stdout
        atexit.register(self.close)

    @classmethod
    @contextlib.contextmanager
    def answering(cls) -> Iterator[Meteor]:
        """The running program, started where there is none; ended if it fails, or if this block takes too long."""
        meteor = cls.current = cls.current or cls()
        late = threading.Event()

        def end() -> None:
            late.set()
            meteor._kill()

        timer = threading.Timer(METEOR_TIMEOUT, end)
        timer.daemon = True
        timer.start()
        try:
            yield meteor
        except (OSError, ValueError) as error:
            reason = f"its Java program failed ({meteor._last_error() or error})"
            meteor.close()
            if late.is_set():
                reason = f"it gave no answer within {METEOR_TIMEOUT:g} seconds"
            raise NotMeasured(reason) from error
        except BaseException:  # interrupted between question and answer, the next answer would be a wrong one
            meteor.close()
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the program."""
        type(self).current = None
        atexit.unregister(self.close)
        self._kill()
        for stream in (self._questions, self._answers, self._errors):
            with contextlib.suppress(OSError):
                stream.close()

    def _kill(self) -> None:
        """End the process and, where the system has process groups, all that it started."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self._process.kill()
        self._process.wait()

    def statistics(self, hypothesis: str, references: Sequence[str]) -> str:
        """What METEOR counts of one caption, a line of numbers; sums of such lines determine the score of a set."""
        fields = [" ".join(caption.replace("|||", "").split()) for caption in (*references, hypothesis)]
        return self._ask("SCORE ||| " + " ||| ".join(fields))

    def scores(self, statistics: Sequence[str]) -> list[float]:
        """The score of each line of statistics, and last that of all together."""
        first = self._ask("EVAL ||| " + " ||| ".join(statistics))
        return [float(first), *(float(self._answer()) for _ in statistics)]

    def _ask(self, question: str) -> str:
        self._questions.write(question + "\n")
        self._questions.flush()
        return self._answer()

    def _answer(self) -> str:
        line = self._answers.readline()
        if not line:
            raise OSError("it ended")
        return line.strip()

    def _last_error(self) -> str:
        self._errors.seek(0)
        return _last_line(self._errors.read())


def spice_per_picture(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """SPICE of each caption, (pictures,). CoreNLP is never downloaded, only used.

    Raises:
        NotMeasured: if Java or CoreNLP is missing, or fails.
    """
    missing = [jar for jar in CORENLP_JARS if not (SPICE_FOLDER / "lib" / jar).exists()]
    if missing:
        raise NotMeasured(f"{' and '.join(missing)} of Stanford CoreNLP are not in pycocoevalcap's folder spice/lib")
    java = working_java()
    pairs = zip(hypotheses, references, strict=True)
    inputs = [{"image_id": i, "test": hypothesis, "refs": list(group)} for i, (hypothesis, group) in enumerate(pairs)]
    with tempfile.TemporaryDirectory(prefix="spice_", ignore_cleanup_errors=True) as folder:
        input_path, output_path = Path(folder, "in.json"), Path(folder, "out.json")
        write_json(inputs, input_path)
        command = [java, *_JAVA_OPTIONS, "-Xmx8G", "-jar", "spice-1.0.jar", str(input_path), "-out", str(output_path)]
        _run([*command, "-subset", "-silent"], SPICE_TIMEOUT, SPICE_FOLDER)
        try:
            scores = {result["image_id"]: float(result["scores"]["All"]["f"]) for result in read_json(output_path)}
            return np.array([scores[i] for i in range(len(inputs))])
        except (CourseError, KeyError, TypeError, ValueError) as error:
            raise NotMeasured("its Java program left no scores") from error


def working_java() -> str:
    """The path of a Java runtime that runs."""
    java = shutil.which("java")
    if java is None:
        raise NotMeasured("no Java runtime was found (there is no program named java on the PATH)")
    _run([java, "-version"], JAVA_TIMEOUT)
    return java


def _run(command: Sequence[str], timeout: float, folder: Path | None = None) -> None:
    """Run a Java program to its end; its output goes to a file, since a child of it could keep a pipe open."""
    with tempfile.TemporaryFile() as output:
        try:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=timeout, cwd=folder, check=True
            )
        except subprocess.CalledProcessError as error:
            output.seek(0)
            message = _last_line(output.read()) or "without a message"
            raise NotMeasured(f"{command[0]} ended with status {error.returncode} ({message})") from error
        except subprocess.TimeoutExpired as error:
            raise NotMeasured(f"{command[0]} gave no answer within {timeout:g} seconds") from error
        except OSError as error:
            raise NotMeasured(f"{command[0]} does not run ({error.strerror})") from error


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", errors="replace").split("\n")
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
