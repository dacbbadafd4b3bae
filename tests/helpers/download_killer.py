"""Downloads, is killed and goes on, again and again: python download_killer.py URL FOLDER CHECKSUM SEED COUNT

A process of its own without threads, so that each try is a cheap fork. Prints JSON: how often it killed, and what it
found wrong.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from say_what_you_see.data import download as downloads
from say_what_you_see.data.checksums import hash_file
from say_what_you_see.data.partial_file import PartialFile

STEPS = mmap.mmap(-1, 1)  # how many steps a fork has taken, shared with it; below 256
KILLS_IN_A_ROW = 3


def download_in_fork(url: str, folder: Path, checksum: str, last_step: int | None = None) -> int:
    """Download in a process of its own, which kills itself at that step; the exit status, negative for a signal.

    A step is a chunk that was written, or a file that is opened, renamed or removed in the folder.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        count_steps(folder, last_step)
        downloads.download(url, folder / "file.zip", checksum=checksum)
        status = 0
    finally:
        os._exit(status)


def count_steps(folder: Path, last_step: int | None) -> None:
    """Count the steps of this process, and kill it at the last one."""
    STEPS[0], append = 0, PartialFile.append

    def step() -> None:
        STEPS[0] += 1
        if STEPS[0] == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple) -> None:
        if event in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(str(folder)):
            step()

    def steps(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            step()

    PartialFile.append = lambda part, chunks: append(part, steps(chunks))
    sys.addaudithook(hook)


def fault_in(folder: Path, checksum: str) -> str | None:
    """What is wrong with a folder after a download that was not killed."""
    names = sorted(path.name for path in folder.iterdir() if path.name != ".file.zip.lock")  # an empty file
    if names != ["file.zip"]:
        return f"left behind: {names}"
    return None if hash_file(folder / "file.zip").hexdigest() == checksum.removeprefix("sha256:") else "other bytes"


def main() -> None:
    """Read the command line, kill, print."""
    url, folder, checksum, seed, count = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    downloads.BACKOFF, downloads.CHUNK = 0.0, 20_000
    rng, kills, faults = random.Random(int(seed)), 0, []
    folder.mkdir()
    assert download_in_fork(url, folder, checksum) == 0
    total = STEPS[0]
    for first_step in rng.sample(range(1, total + 1), min(int(count), total)):
        shutil.rmtree(folder)
        folder.mkdir()
        for last_step in [first_step, *(rng.randint(1, total) for _ in range(KILLS_IN_A_ROW - 1))]:
            kills += download_in_fork(url, folder, checksum, last_step) == -signal.SIGKILL
        status = download_in_fork(url, folder, checksum)
        fault = f"status {status}" if status else fault_in(folder, checksum)
        faults += [f"step {first_step}: {fault}"] if fault else []
    print(json.dumps({"steps": total, "kills": kills, "faults": faults}))


if __name__ == "__main__":
    main()
