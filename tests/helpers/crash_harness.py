"""Kills the course's steps (kill -9) again and again: `python tests/crash_harness.py --stage embed --kills 20`.

A step runs in a process of its own, is killed, and runs again, until it comes to its end; then all that it has left is
compared with what a run leaves that nobody disturbed. Every other kill is drawn among its operations on files, and
comes just before one; the others are drawn among the moments between its first operation and its usual end. The
processes are forks of this one, which has imported TensorFlow and has not used it yet. Prints a line of JSON for each
stage: how often it killed, how often the step came to its end, and what was wrong then.
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
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ["COURSE_PROGRESS"] = "off"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from crash_artefacts import differences

from say_what_you_see.commands.main import main as command
from say_what_you_see.core.errors import CourseError
from say_what_you_see.course import features
from say_what_you_see.training.scale import training as _scale_training  # noqa: F401  (imported before the forks, to spare them that)

LONGEST = 180  # seconds of computing after which a run counts as hung
STILL = 600  # seconds after which one does that has not computed at all: a busy machine may leave it waiting for long
SMALL_BATCH = 4  # pictures at a time, so that a tiny extraction has many moments to be killed at
KILLED_AGAIN = 0.6  # so often the next run is not left to come to its end either
_SEEN = struct.Struct("Id")  # operations on files so far, and when the first one was
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
class Run:
    """A process that runs a stage in a folder of data.

    Attributes:
        status: its exit status, negative for a signal.
        operations: how many operations on files of the folder it came to.
        seconds: the time from the first of them to the end.
    """

    status: int
    operations: int
    seconds: float


@dataclass
class Findings:
    """What was found out about a stage."""

    stage: str
    kills: int = 0
    at_operations: int = 0
    ends: int = 0
    operations: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def run(stage: Callable[[], object], data: Path, log: Path, operation: int = 0, delay: float | None = None) -> Run:
    """Run a stage in a fork, which kills itself before an operation on files, or is killed some time after the first.

    Args:
        operation: the number of that operation; 0 lets it be.
        delay: seconds after the first operation; None lets it be.
    """
    shared = mmap.mmap(-1, _SEEN.size)
    pid = os.fork()
    if not pid:
        _be_the_stage(stage, data, log, operation, shared)
    patience = _Patience(pid)
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        count, first = _SEEN.unpack(shared[:])
        now = time.monotonic()
        if done:
            return Run(os.waitstatus_to_exitcode(status), count, now - first if count else 0.0)
        if (delay is not None and count and now - first >= delay) or patience.is_over(now):
            os.kill(pid, signal.SIGKILL)
            delay = None
        time.sleep(0.002)


class _Patience:
    """Tells a run that hangs from one that a busy machine keeps waiting, by the time that it has computed for."""

    def __init__(self, pid: int) -> None:
        self.pid, self.computed, self.since = pid, -1.0, time.monotonic()

    def is_over(self, now: float) -> bool:
        """Whether the run has computed for too long, or not at all for very long."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            computed = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:  # this system does not tell
            return now - self.since > LONGEST
        if computed > self.computed:
            self.computed, self.since = computed, now
        return computed > LONGEST or now - self.since > STILL


def _in_small_batches(apply_model: Callable) -> Callable:
    """The same extraction with more moments between its batches, whatever size its callers would choose."""
    return lambda *arguments, **options: apply_model(*arguments, **{**options, "batch_size": SMALL_BATCH})


def _be_the_stage(stage: Callable[[], object], data: Path, log: Path, operation: int, shared: mmap.mmap) -> None:
    """What the fork does; it does not return."""
    status = 99
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.environ["COURSE_DATA"] = str(data)
        features.apply_model = _in_small_batches(features.apply_model)
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


def _count(folder: str, operation: int, shared: mmap.mmap, event: str, arguments: tuple) -> None:
    """Count an operation that changes files of the folder, and end here if it is the chosen one."""
    if event == "open":
        if not isinstance(arguments[2], int) or not arguments[2] & _WRITES:
            return
    elif event not in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
        return
    if not str(arguments[0]).startswith(folder):
        return
    count, first = _SEEN.unpack(shared[:])
    shared[:] = _SEEN.pack(count + 1, first or time.monotonic())
    if count + 1 == operation:
        os.kill(os.getpid(), signal.SIGKILL)


def in_fork(function: Callable[[], list[str]]) -> list[str]:
    """What a function gives that uses TensorFlow, which this process itself must not."""
    with tempfile.NamedTemporaryFile() as file:
        pid = os.fork()
        if not pid:
            try:
                Path(file.name).write_text(json.dumps(function()))
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
        assert run(functools.partial(_write_encoder, encoder), folder / "base", self.log).status == 0, self.tail()

    def go_through(self, name: str, kills: int) -> Findings:
        """Run a stage undisturbed, and kill others so often; what the first one left is there for the next stage."""
        before, found = self.base, Findings(name)
        self.base = self._copy(before, f"after_{name}")
        whole = run(STAGES[name], self.base, self.log)
        found.operations, found.seconds = whole.operations, round(whole.seconds, 2)
        if whole.status:
            found.faults.append(f"undisturbed, status {whole.status}: {self.tail()}")
        elif kills:
            self._kill(found, whole, before, random.Random(f"{self.seed} {name}"), kills)
        return found

    def _kill(self, found: Findings, whole: Run, before: Path, rng: random.Random, kills: int) -> None:
        data, tries, deck = self._copy(before, "killed"), 0, []
        while found.kills < kills and tries < 4 * kills + 4 and not found.faults:
            at_operation = tries % 2 == 0
            tries += 1
            if at_operation:
                deck = deck or rng.sample(range(1, whole.operations + 1), whole.operations)
                killed = run(STAGES[found.stage], data, self.log, operation=deck.pop())
            else:
                killed = run(STAGES[found.stage], data, self.log, delay=rng.uniform(0, whole.seconds))
            was_killed = killed.status == -signal.SIGKILL
            found.kills, found.at_operations = found.kills + was_killed, found.at_operations + was_killed * at_operation
            if was_killed and rng.random() < KILLED_AGAIN and found.kills < kills:
                continue
            self._check_end(found, run(STAGES[found.stage], data, self.log) if was_killed else killed, data)
            if not found.faults:  # else what there is stays, to be looked at
                data = self._copy(before, "killed")

    def _check_end(self, found: Findings, ended: Run, data: Path) -> None:
        found.ends += 1
        if ended.status:
            found.faults.append(f"after {found.kills} kills, status {ended.status}: {self.tail()}")
        else:
            faults = in_fork(lambda: differences(self.base, data))
            found.faults += [f"after {found.kills} kills, {fault}" for fault in faults]

    def _copy(self, source: Path, name: str) -> Path:
        """A copy with the times of the files, by which the course recognises them."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return shutil.copytree(source, self.folder / name)

    def tail(self) -> str:
        """The last that a stage said."""
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""


def _write_encoder(path: Path) -> None:
    from caption_samples import write_tiny_encoder

    write_tiny_encoder(path)


def main() -> int:
    """Read the command line, kill, print."""
    parser = argparse.ArgumentParser(description="Kill a step of the course again and again, and look what it leaves.")
    parser.add_argument("--stage", choices=STAGES, help="(default: all)")
    parser.add_argument("--upto", choices=STAGES, help="this one, and all before it")
    parser.add_argument("--kills", type=int, default=20, help="of each stage (default: 20)")
    parser.add_argument("--seed", type=int, help="decides when (default: drawn, and printed)")
    parser.add_argument("--folder", type=Path, help="where to work; kept (default: a temporary one)")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}; the same again: --seed {seed}", flush=True)
    order = list(STAGES)
    wanted = [options.stage] if options.stage else order[: order.index(options.upto or order[-1]) + 1]
    with tempfile.TemporaryDirectory(prefix="crashes_") as temporary:
        harness, failed = Harness((options.folder or Path(temporary)).resolve(), seed), False
        for name in order[: order.index(wanted[-1]) + 1]:
            found = harness.go_through(name, options.kills if name in wanted else 0)
            failed |= bool(found.faults)
            if name in wanted or found.faults:
                print(json.dumps(vars(found)), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
