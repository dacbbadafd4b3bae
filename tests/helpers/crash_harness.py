"""Kills the course's steps (kill -9) again and again: `python tests/helpers/crash_harness.py --stages embed`.

A step runs in a process of its own, is killed just before one of its operations on files, and runs again until it
comes to its end. Then what it has left is compared with what an undisturbed run leaves. The processes are forks of
this one, which has imported TensorFlow and has not used it yet. Prints a line of JSON for each stage.
"""

from __future__ import annotations

import argparse
import functools
import json
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

os.environ["COURSE_PROGRESS"] = "off"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from caption_samples import write_tiny_encoder
from crash_artefacts import differences

from say_what_you_see.commands.main import main as command
from say_what_you_see.core.errors import CourseError
from say_what_you_see.course import features
from say_what_you_see.training.scale import training as _training  # noqa: F401  (imported once, before the forks)

SMALL_BATCH = 4  # pictures at a time, so that a tiny extraction can be killed at many moments
KILLED_AGAIN = 0.6  # the probability that the next run is killed, too
_COUNT = struct.Struct("I")  # operations on files so far
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _command(text: str) -> Callable[[], int]:
    return lambda: command(text.split())


STAGES: dict[str, Callable[[], int]] = {
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
    """What was found out about a stage."""

    stage: str
    kills: int = 0
    ends: int = 0
    faults: list[str] = field(default_factory=list)


def run(stage: Callable[[], object], data: Path, log: Path, operation: int = 0) -> tuple[int, int]:
    """Run a stage in a fork.

    Args:
        operation: the number of the operation on files just before which it kills itself; 0 for none.

    Returns:
        The exit status, negative for a signal, and the number of operations on files of the folder.
    """
    shared = mmap.mmap(-1, _COUNT.size)
    pid = os.fork()
    if not pid:
        _be_the_stage(stage, data, log, operation, shared)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), _COUNT.unpack(shared[:])[0]


def _be_the_stage(stage: Callable[[], object], data: Path, log: Path, operation: int, shared: mmap.mmap) -> None:
    """What the fork does; it does not return."""
    status = 99
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.environ["COURSE_DATA"] = str(data)
        features.apply_model = functools.partial(_in_small_batches, features.apply_model)
        sys.addaudithook(functools.partial(_count, str(data), operation, shared))
        status = int(stage() or 0)
    except CourseError as error:
        print(f"Error: {error}", file=sys.stderr)
        status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _in_small_batches(apply_model: Callable, *arguments: object, **options: object) -> object:
    return apply_model(*arguments, **{**options, "batch_size": SMALL_BATCH})


def _count(folder: str, operation: int, shared: mmap.mmap, event: str, arguments: tuple) -> None:
    """Count an operation that changes files of the folder, and end here if it is the chosen one."""
    if event == "open":
        if not isinstance(arguments[2], int) or not arguments[2] & _WRITES:
            return
    elif event not in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
        return
    if not str(arguments[0]).startswith(folder):
        return
    count = _COUNT.unpack(shared[:])[0] + 1
    shared[:] = _COUNT.pack(count)
    if count == operation:
        os.kill(os.getpid(), signal.SIGKILL)


def compare(expected: Path, data: Path) -> list[str]:
    """What differs between two folders; in a fork, since it uses TensorFlow, which this process itself must not."""
    with tempfile.NamedTemporaryFile() as file:
        pid = os.fork()
        if not pid:
            try:
                Path(file.name).write_text(json.dumps(differences(expected, data)))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        return json.loads(Path(file.name).read_text() or '["the comparison failed"]')


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

    def go_through(self, stage: str, kills: int) -> Findings:
        """Run a stage undisturbed, and kill other runs of it; what the first one left is there for the next stage."""
        before, findings = self.base, Findings(stage)
        self.base = self.copy(before, f"after_{stage}")
        status, operations = run(STAGES[stage], self.base, self.log)
        if status:
            findings.faults.append(f"undisturbed, status {status}: {self.tail()}")
        elif kills:
            self._kill(findings, operations, before, random.Random(f"{self.seed} {stage}"), kills)
        return findings

    def _kill(self, findings: Findings, operations: int, before: Path, rng: random.Random, kills: int) -> None:
        data, tries = self.copy(before, "killed"), 0
        while findings.kills < kills and tries < 4 * kills and not findings.faults:
            tries += 1
            status, _ = run(STAGES[findings.stage], data, self.log, rng.randint(1, operations))
            was_killed = status == -signal.SIGKILL  # a run that goes on where another was killed has fewer operations
            findings.kills += was_killed
            if was_killed and findings.kills < kills and rng.random() < KILLED_AGAIN:
                continue
            if was_killed:
                status, _ = run(STAGES[findings.stage], data, self.log)
            findings.ends += 1
            faults = [f"status {status}: {self.tail()}"] if status else compare(self.base, data)
            findings.faults += [f"after {findings.kills} kills, {fault}" for fault in faults]
            if not faults:  # else what there is stays, to be looked at
                data = self.copy(before, "killed")

    def copy(self, source: Path, name: str) -> Path:
        """A copy with the times of the files, by which the course recognises them."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return shutil.copytree(source, self.folder / name)

    def tail(self) -> str:
        """The last that a stage said."""
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""


def main() -> None:
    """Read the command line, kill, print."""
    parser = argparse.ArgumentParser(description="Kill steps of the course again and again, and see what they leave.")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="(default: all)")
    parser.add_argument("--kills", type=int, default=20, help="of each stage (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="decides when")
    parser.add_argument("--folder", type=Path, help="where to work; kept (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crashes_") as temporary:
        harness = Harness((options.folder or Path(temporary)).resolve(), options.seed)
        for stage in list(STAGES)[: max(list(STAGES).index(name) for name in options.stages) + 1]:
            findings = harness.go_through(stage, options.kills if stage in options.stages else 0)
            print(json.dumps(asdict(findings)), flush=True)


if __name__ == "__main__":
    main()
