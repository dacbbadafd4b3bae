"""Downloads and is killed, again and again: python download_killer.py moments|operations URL FOLDER CHECKSUM SEED COUNT

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
import time
from pathlib import Path

from say_what_you_see.data import download as downloads
from say_what_you_see.data.checksums import hash_file

OPERATIONS = mmap.mmap(-1, 1)  # how many operations on files a fork has seen, shared with it; below 256
LONGEST = 1.2  # seconds; a download takes about one


def download_in_fork(url: str, folder: Path, checksum: str, last_operation: int | None = None) -> int:
    """Start a download in a process of its own; with `last_operation` it kills itself at that operation on files."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if last_operation is not None:
            die_at(last_operation, folder)
        downloads.download(url, folder / "file.zip", checksum=checksum)
        status = 0
    finally:
        os._exit(status)


def die_at(last_operation: int, folder: Path) -> None:
    """Kill this process just before the n-th time that it opens, renames or removes a file of the folder."""
    OPERATIONS[0] = 0

    def hook(event: str, arguments: tuple) -> None:
        if event in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(str(folder)):
            OPERATIONS[0] += 1
            if OPERATIONS[0] == last_operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def ended(pid: int) -> int:
    """Wait for a process; its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fault_in(folder: Path, checksum: str) -> str | None:
    """What is wrong with a folder after a download that was not killed."""
    names = sorted(path.name for path in folder.iterdir() if path.name != ".file.zip.lock")  # an empty file
    if names != ["file.zip"]:
        return f"left behind: {names}"
    return None if hash_file(folder / "file.zip").hexdigest() == checksum[7:] else "other bytes"


def kill_at_moments(url: str, folder: Path, checksum: str, rng: random.Random, count: int) -> dict:
    """Kill at random moments; whenever a download ends before, begin a new one, until `count` were killed."""
    kills, faults, downloaded = 0, [], 0
    while kills < count or (folder / "file.zip").exists() is False:
        pid = download_in_fork(url, folder, checksum)
        if kills < count:
            time.sleep(rng.uniform(0, LONGEST))
            os.kill(pid, signal.SIGKILL)
        status = ended(pid)
        kills += status == -signal.SIGKILL
        if status == 0:
            downloaded += 1
            faults += [fault] if (fault := fault_in(folder, checksum)) else []
            if kills < count:
                shutil.rmtree(folder)
                folder.mkdir()
        elif status > 0:
            return {"kills": kills, "faults": [*faults, f"status {status}"]}
    return {"kills": kills, "downloads": downloaded, "faults": faults}


def kill_at_operations(url: str, folder: Path, checksum: str, rng: random.Random, count: int) -> dict:
    """Kill at operations on files, all or `count` of them drawn at random; after each let a download finish."""
    assert ended(download_in_fork(url, fresh(folder), checksum, last_operation=0)) == 0
    total = OPERATIONS[0]
    faults, killed, operations = [], 0, sorted(rng.sample(range(1, total + 1), min(count, total)))
    for operation in operations:
        killed += ended(download_in_fork(url, fresh(folder), checksum, operation)) == -signal.SIGKILL
        status = ended(download_in_fork(url, folder, checksum))
        fault = f"status {status}" if status else fault_in(folder, checksum)
        faults += [f"operation {operation}: {fault}"] if fault else []
    return {"kills": killed, "operations": total, "faults": faults}


def fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def main() -> None:
    """Read the command line, kill, print."""
    way, url, folder, checksum, seed, count = sys.argv[1:]
    downloads.BACKOFF, downloads.CHUNK = 0.0, 1_000
    kill = {"moments": kill_at_moments, "operations": kill_at_operations}[way]
    print(json.dumps(kill(url, fresh(Path(folder)), checksum, random.Random(int(seed)), int(count))))


if __name__ == "__main__":
    main()
