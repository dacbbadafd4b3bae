"""Disturbs the course's steps again and again: `python tests/helpers/crash_harness.py --stages resources embed`.

A step runs in a process of its own, is killed (kill -9) just before one of its operations on files, and runs again
until it comes to its end. Then what it has left is compared with what an undisturbed run leaves. With `--troubles` it
runs on a full disk and in a folder that nobody may write to, too, and has to say what is wrong, naming a file, before
it runs again without the trouble; that takes mounts, in a namespace of their own (`unshare --mount`).

The processes are forks of this one, which has imported TensorFlow and has not used it yet. Prints a line of JSON for
each stage.
"""

import argparse
import functools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

os.environ["COURSE_PROGRESS"] = "off"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from caption_samples import write_tiny_encoder
from crash_artefacts import differences

from say_what_you_see.commands.main import main as command
from say_what_you_see.core.errors import CourseError
from say_what_you_see.course import features
from say_what_you_see.data import download as downloads
from say_what_you_see.data.partial_file import PartialFile
from say_what_you_see.training.scale import training as _training  # noqa: F401  (imported once, before the forks)

SMALL_BATCH = 4  # pictures at a time, so that a tiny extraction can be killed at many moments
KILLED_AGAIN = 0.6  # the probability that the next run is killed, too
CLOCK_CHANGED = 0.3  # the probability that then all files are from the past or the future
PAST, FUTURE = 86_400, 4_000_000_000  # seconds since 1970
KILLS_OF_A_DOWNLOAD = 20  # for each of another stage: these are quick
DISK, ROOM = 64 * 1024**2, 0.3  # a full disk's size, and the share of what a stage writes for which there is room
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_FORK = multiprocessing.get_context("fork")


def _command(text: str) -> Callable[[], int]:
    return lambda: command(text.split())


def _download() -> None:
    """Download the file that a server of the test has, in small pieces."""
    data, append = Path(os.environ["COURSE_DATA"]), PartialFile.append

    def noticed(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            sys.audit("crash_harness.chunk", str(data))

    PartialFile.append = lambda part, chunks: append(part, noticed(chunks))
    downloads.BACKOFF, downloads.CHUNK = 0.0, 20_000
    downloads.download(os.environ["URL"], data / "file.zip", checksum=os.environ["CHECKSUM"])


STAGES: dict[str, Callable[[], object]] = {
    "download": _download,
    "resources": _command("resources"),
    "embed": _command("embed"),
    "prepare": _command("prepare"),
    "train": _command("train"),
    "records": _command("records --train-shards 3 --val-shards 2 --workers 2"),
    "train-records": _command(
        "train-records --steps 12 --save-every 3 --keep 2 --batch-size 4 --units 12 --log-every 1"
    ),
    "show-and-tell": _command("train --model show-and-tell"),
    "attention": _command("train --model attention"),
}
"""The stages in their order: each builds on those before."""


@dataclass
class Findings:
    """What was found out about a stage: how often it was killed and ended all the same, and what it said in trouble."""

    stage: str
    kills: int = 0
    ends: int = 0
    said: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def run(stage: Callable[[], object], data: Path, log: Path, operation: int = 0) -> tuple[int, int]:
    """Run a stage in a fork.

    Args:
        operation: the number of the operation on files just before which it kills itself; 0 for none.

    Returns:
        The exit status, negative for a signal, and the number of operations on files of the folder.
    """
    count = _FORK.Value("I", 0, lock=False)
    fork = _FORK.Process(target=_be_the_stage, args=(stage, data, log, operation, count))
    fork.start()
    fork.join()
    return fork.exitcode, count.value


def _be_the_stage(stage: Callable[[], object], data: Path, log: Path, operation: int, count) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ["COURSE_DATA"] = str(data)
    features.apply_model = functools.partial(_in_small_batches, features.apply_model)
    sys.addaudithook(functools.partial(_count, str(data), operation, count))
    try:
        sys.exit(stage())
    except CourseError as error:
        sys.exit(f"Error: {error}")


def _in_small_batches(apply_model: Callable, *arguments: object, **options: object) -> object:
    return apply_model(*arguments, **{**options, "batch_size": SMALL_BATCH})


def _count(folder: str, operation: int, count, event: str, arguments: tuple) -> None:
    """Count an operation that changes files of the folder, and end here if it is the chosen one."""
    if event == "open":
        if not isinstance(arguments[2], int) or not arguments[2] & _WRITES:
            return
    elif event not in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "crash_harness.chunk"):
        return
    if str(arguments[0]).startswith(folder):
        count.value += 1
        if count.value == operation:
            os.kill(os.getpid(), signal.SIGKILL)


def compare(expected: Path, data: Path) -> list[str]:
    """What differs between two folders; in a fork, since it uses TensorFlow, which this process itself must not."""
    with ProcessPoolExecutor(1, _FORK) as pool:
        return pool.submit(differences, expected, data).result()


class Harness:
    """The folders and settings of a series of stages."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed, self.log = folder, seed, folder / "log.txt"
        self.base = folder / "base"  # what all stages so far have left
        self.base.mkdir()
        encoder = folder / "tiny.keras"
        os.environ |= {"COURSE_SIZE": "small", "DATASET": "scenes", "COURSE_SEED": "0", "ENCODER": str(encoder)}
        for name in ("COURSE_SPLIT", "COURSE_MIRROR", "COURSE_START"):
            os.environ.pop(name, None)
        status, _ = run(lambda: write_tiny_encoder(encoder) and 0, self.base, self.log)
        assert status == 0, self.tail()

    def go_through(self, stage: str, kills: int, troubles: bool) -> Findings:
        """Run a stage undisturbed, and disturb other runs; what the first one left is there for the next stage."""
        before, findings = self.base, Findings(stage)
        self.base = self.copy(before, f"after_{stage}")
        status, operations = run(STAGES[stage], self.base, self.log)
        if status:
            findings.faults.append(f"undisturbed, status {status}: {self.tail()}")
        else:
            self._kill(findings, operations, before, random.Random(f"{self.seed} {stage}"), kills)
            for trouble in (full_disk, read_only) if troubles else ():
                self._trouble(findings, before, trouble)
        return findings

    def _kill(self, findings: Findings, operations: int, before: Path, rng: random.Random, kills: int) -> None:
        stage = STAGES[findings.stage]
        while findings.kills < kills and not findings.faults:
            data = self.copy(before, "killed")
            status, _ = run(stage, data, self.log, rng.randint(1, operations))
            while status == -signal.SIGKILL:
                findings.kills += 1
                if rng.random() < CLOCK_CHANGED:
                    for path in sorted(data.rglob("*")):
                        os.utime(path, (time := rng.choice((PAST, FUTURE)), time))
                again = findings.kills < kills and rng.random() < KILLED_AGAIN
                # A run that goes on where another was killed has fewer operations, and may come to its end.
                status, _ = run(stage, data, self.log, rng.randint(1, operations) if again else 0)
            findings.ends += 1
            findings.faults += [f"after {findings.kills} kills, {fault}" for fault in self._faults(status, data)]

    def _trouble(self, findings: Findings, before: Path, trouble: Callable[[Path, int], Callable[[], object]]) -> None:
        """Run in trouble, look at the message, end the trouble, run again."""
        data, start = self.copy(before, "troubled"), self.log.stat().st_size
        end = trouble(data, size_of(self.base) - size_of(before))
        try:
            status, _ = run(STAGES[findings.stage], data, self.log)
            said = self.log.read_bytes()[start:].decode(errors="replace")
            errors = [line for line in said.splitlines() if line.startswith("Error: ")]
            ignored = said.count("Exception ignored")  # h5py says so itself, once or twice, of a file on a full disk
            explained = len(errors) == 1 and str(data) in errors[0] and said.count("Traceback") <= 2 * ignored
            faults = [] if status == 1 and explained else [f"status {status}, and it said: {said[-1500:]}"]
            end()
            status, _ = run(STAGES[findings.stage], data, self.log)
            faults += self._faults(status, data)
            findings.said[trouble.__name__] = "".join(errors)
            findings.faults += [f"{trouble.__name__}: {fault}" for fault in faults]
        finally:
            subprocess.run(["umount", str(data)], capture_output=True, check=False)

    def _faults(self, status: int, data: Path) -> list[str]:
        """What is wrong with a run that should have come to its end."""
        return [f"status {status}: {self.tail()}"] if status else compare(self.base, data)

    def copy(self, source: Path, name: str) -> Path:
        """A copy with the times of the files, by which the course recognises them."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return shutil.copytree(source, self.folder / name)

    def tail(self) -> str:
        """The last that a stage said."""
        return self.log.read_text(errors="replace")[-1500:]


# Troubles of a folder; each gives a function that ends it


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def full_disk(data: Path, needed: int) -> Callable[[], object]:
    """Put a folder on a disk with room for some of what is needed."""
    content = shutil.move(data, data.with_name("content"))
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(data)], check=True)
    shutil.copytree(content, data, dirs_exist_ok=True)
    shutil.rmtree(content)
    filler = data / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(data).free - int(ROOM * needed) // 4096 * 4096)
    return filler.unlink


def read_only(data: Path, _: int) -> Callable[[], object]:
    """Let nobody write to a folder."""
    subprocess.run(["mount", "--bind", str(data), str(data)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(data)], check=True)
    return lambda: subprocess.run(["mount", "-o", "remount,rw,bind", str(data)], check=True)


def main() -> None:
    """Read the command line, disturb, print."""
    parser = argparse.ArgumentParser(description="Disturb steps of the course, and see what they say and leave.")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="the first, in their order")
    parser.add_argument("--kills", type=int, default=20, help="of each stage")
    parser.add_argument("--troubles", action="store_true", help="a full disk and a read-only folder, too")
    parser.add_argument("--seed", type=int, default=0, help="decides when")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crashes_") as folder:
        harness = Harness(Path(folder).resolve(), options.seed)
        for stage in options.stages:
            kills = options.kills * (KILLS_OF_A_DOWNLOAD if stage == "download" else 1)
            print(json.dumps(asdict(harness.go_through(stage, kills, options.troubles))), flush=True)


if __name__ == "__main__":
    main()
