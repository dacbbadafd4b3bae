"""Disturbs the course's steps again and again: `python tests/helpers/crash_harness.py 20 kills resources embed`.

A step runs in a process of its own, is killed (kill -9) just before one of its operations on files, and runs again
until it comes to its end. Then what it has left is compared with what an undisturbed run leaves. With `troubles` in
place of `kills` it runs on a full disk and in a folder that nobody may write to, too, and has to say what is wrong,
naming a file, before it runs again without the trouble; that takes mounts, in a namespace of their own (`unshare
--mount`).

The processes are forks of this one, which has imported TensorFlow and has not used it yet. Prints the name of each
stage that comes through, and ends with an error at the first fault.
"""

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
from functools import partial
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
DISK, ROOM = 256 * 1024**2, 0.3  # a full disk's size, and the share of what a stage writes for which there is room
SEED = os.environ.get("KILL_SEED", "0")  # decides when it kills
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_FORK = multiprocessing.get_context("fork")


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


_RECORDS = "records --train-shards 3 --val-shards 2 --workers 2"
_TRAIN_RECORDS = "train-records --steps 12 --save-every 3 --keep 2 --batch-size 4 --units 12 --log-every 1"
STAGES: dict[str, Callable[[], object]] = {
    "download": _download,
    **{name: partial(command, [name]) for name in ("resources", "embed", "prepare", "train")},
    "records": partial(command, _RECORDS.split()),
    "train-records": partial(command, _TRAIN_RECORDS.split()),
    **{name: partial(command, ["train", "--model", name]) for name in ("show-and-tell", "attention")},
}
"""The stages in their order: each builds on those before."""


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
    apply = features.apply_model
    features.apply_model = lambda *arguments, **options: apply(*arguments, **options | {"batch_size": SMALL_BATCH})
    sys.addaudithook(partial(_count, str(data), operation, count))
    try:
        sys.exit(stage())
    except CourseError as error:
        sys.exit(f"Error: {error}")


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


class Harness:
    """The folders and settings of a series of stages."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log.txt"
        self.base = folder / "base"  # what all stages so far have left
        self.base.mkdir()
        encoder = folder / "tiny.keras"
        os.environ |= {"COURSE_SIZE": "small", "DATASET": "scenes", "COURSE_SEED": "0", "ENCODER": str(encoder)}
        for name in ("COURSE_SPLIT", "COURSE_MIRROR", "COURSE_START"):
            os.environ.pop(name, None)
        status, _ = run(lambda: write_tiny_encoder(encoder) and 0, self.base, self.log)
        assert status == 0, self.tail()

    def go_through(self, stage: str, kills: int, troubles: bool) -> None:
        """Run a stage undisturbed, and disturb other runs; what the first one left is there for the next stage."""
        before, self.base = self.base, self.copy(self.base, f"after_{stage}")
        status, operations = run(STAGES[stage], self.base, self.log)
        assert status == 0, f"{stage}, undisturbed, status {status}: {self.tail()}"
        self._kill(stage, operations, before, kills)
        for trouble in (full_disk, read_only) if troubles else ():
            self._trouble(stage, before, trouble)

    def _kill(self, stage: str, operations: int, before: Path, kills: int) -> None:
        rng, killed = random.Random(f"{SEED} {stage}"), 0
        while killed < kills:
            data = self.copy(before, "killed")
            status, _ = run(STAGES[stage], data, self.log, rng.randint(1, operations))
            while status == -signal.SIGKILL:
                killed += 1
                if rng.random() < CLOCK_CHANGED:
                    for path in sorted(data.rglob("*")):
                        os.utime(path, (time := rng.choice((PAST, FUTURE)), time))
                again = killed < kills and rng.random() < KILLED_AGAIN
                # A run that goes on where another was killed has fewer operations, and may come to its end.
                status, _ = run(STAGES[stage], data, self.log, rng.randint(1, operations) if again else 0)
            self._check_end(status, data, f"{stage}, after {killed} kills")

    def _trouble(self, stage: str, before: Path, trouble: Callable[[Path, int], Callable[[], object]]) -> None:
        """Run in trouble, look at the message, end the trouble, run again."""
        data, start = self.copy(before, "troubled"), self.log.stat().st_size
        sizes = [sum(path.stat().st_size for path in each.rglob("*") if path.is_file()) for each in (before, self.base)]
        end = trouble(data, sizes[1] - sizes[0])
        try:
            status, _ = run(STAGES[stage], data, self.log)
            said = self.log.read_bytes()[start:].decode(errors="replace")
            errors = [line for line in said.splitlines() if line.startswith("Error: ")]
            ignored = said.count("Exception ignored")  # h5py says so itself, once or twice, of a file on a full disk
            explained = len(errors) == 1 and str(data) in errors[0] and said.count("Traceback") <= 2 * ignored
            assert status == 1 and explained, f"{stage}, {trouble.__name__}, status {status}: {said[-1500:]}"
            end()
            status, _ = run(STAGES[stage], data, self.log)
            self._check_end(status, data, f"{stage}, after {trouble.__name__}")
        finally:
            subprocess.run(["umount", str(data)], capture_output=True, check=False)

    def _check_end(self, status: int, data: Path, when: str) -> None:
        """A run that should have come to its end has left what an undisturbed one leaves."""
        assert status == 0, f"{when}, status {status}: {self.tail()}"
        with ProcessPoolExecutor(1, _FORK) as pool:  # it uses TensorFlow, which this process itself must not
            faults = pool.submit(differences, self.base, data).result()
        assert not faults, f"{when}: {faults}"

    def copy(self, source: Path, name: str) -> Path:
        """A copy with the times of the files, by which the course recognises them."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return shutil.copytree(source, self.folder / name)

    def tail(self) -> str:
        """The last that a stage said."""
        return self.log.read_text(errors="replace")[-1500:]


# Troubles of a folder; each gives a function that ends it


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


def main(kills: str, what: str, *stages: str) -> None:
    """Disturb the stages, of which each is killed so many times, and print those that come through."""
    with tempfile.TemporaryDirectory(prefix="crashes_") as folder:
        harness = Harness(Path(folder).resolve())
        for stage in stages:
            harness.go_through(
                stage, int(kills) * (KILLS_OF_A_DOWNLOAD if stage == "download" else 1), what == "troubles"
            )
            print(stage, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
