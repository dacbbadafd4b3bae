"""METEOR and SPICE, the two metrics that are Java programs: bounded in time, and left out where Java is missing."""

import functools
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pycocoevalcap.meteor import meteor as pycocoevalcap_meteor

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json

JAVA_TIMEOUT = 30.0  # seconds that `java -version` may take
METEOR_TIMEOUT = 600.0  # for one set of captions; reading its paraphrases alone takes up to a minute
SPICE_TIMEOUT = 3600.0  # for one set of captions

_METEOR_JAR = Path(pycocoevalcap_meteor.__file__).with_name(pycocoevalcap_meteor.METEOR_JAR)
SPICE_FOLDER = _METEOR_JAR.parents[1] / "spice"
CORENLP_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
_JAVA_OPTIONS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")


class NotMeasured(Exception):
    """Why a metric cannot be computed here."""


@functools.cache
def running_meteor() -> subprocess.Popen:
    """The Java program METEOR, started once and kept until Python ends, since reading its data takes up to a minute."""
    command = [working_java(), *_JAVA_OPTIONS, "-Xmx2G", "-jar", str(_METEOR_JAR), "-", "-", "-stdio", "-l", "en"]
    return subprocess.Popen(
        [*command, "-norm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        encoding="utf-8", errors="replace", cwd=_METEOR_JAR.parent,
    )  # fmt: skip


def ask_meteor(questions: Iterable[Sequence[str]], lines: int = 1) -> np.ndarray:
    """METEOR's answers: the numbers in each of their lines, (lines, numbers).

    Args:
        questions: each a word that says what is asked, and the texts that it is asked about.
        lines: how many lines METEOR answers each of them with.

    Raises:
        NotMeasured: if Java is missing, or if METEOR fails or takes too long for all of them; it is ended then.
    """
    process = running_meteor()
    timer = threading.Timer(METEOR_TIMEOUT, process.kill)
    timer.daemon, started = True, time.monotonic()
    timer.start()
    try:
        answers = []
        for question in questions:
            fields = (" ".join(text.replace("|||", "").split()) for text in question)
            print(" ||| ".join(fields), file=process.stdin, flush=True)
            answers += [_numbers(process.stdout.readline()) for _ in range(lines)]  # type: ignore[union-attr]
        return np.array(answers)
    except BaseException as error:  # after an interruption the next answer would be that to an old question
        late = time.monotonic() - started >= METEOR_TIMEOUT
        running_meteor.cache_clear()
        process.kill()
        message = _last_line(process.communicate()[1])
        if not isinstance(error, (OSError, ValueError)):
            raise
        late_reason = f"it gave no answer within {METEOR_TIMEOUT:g} seconds"
        raise NotMeasured(late_reason if late else f"its Java program failed ({message or error})") from error
    finally:
        timer.cancel()


def _numbers(line: str) -> list[float]:
    if not line:
        raise OSError("it ended")
    return [float(number) for number in line.split()]


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
    """The path of a Java runtime that works."""
    java = shutil.which("java")
    if java is None:
        raise NotMeasured("no Java runtime was found (there is no program named java on the PATH)")
    _run([java, "-version"], JAVA_TIMEOUT)
    return java


def _run(command: Sequence[str], timeout: float, folder: Path | None = None) -> None:
    """Run a Java program to its end."""
    try:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, cwd=folder, check=True,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        message = _last_line(error.stdout + error.stderr) or "without a message"
        raise NotMeasured(f"{command[0]} ended with status {error.returncode} ({message})") from error
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f"{command[0]} gave no answer within {timeout:g} seconds") from error
    except OSError as error:
        raise NotMeasured(f"{command[0]} cannot be run ({error.strerror})") from error


def _last_line(output: str) -> str:
    return next((line.strip()[:200] for line in reversed(output.split("\n")) if line.strip()), "")
