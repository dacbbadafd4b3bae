"""Runs the course's steps in trouble: `python tests/helpers/trouble_harness.py TROUBLE [--stages embed train] [--all]`.

TROUBLE is full (a disk without room), readonly (a folder that nobody may write to), folder (one where a file should
be), vanished (a file that is gone) or clock (file times in the past and in the future, after a kill). The step has to
say what is wrong, naming a file; when the trouble is over it runs again, and what it leaves has to be what an
undisturbed run leaves. The first two mount things: start them in a mount namespace of their own (`unshare --mount`).
Prints a line of JSON for every trouble: the stage, what was tried, what the step said, what was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from crash_harness import STAGES, Harness, compare, run

DISK = 64 * 1024**2
PAST, FUTURE = 86_400, 4_000_000_000  # seconds since 1970


def mount(*arguments: str) -> None:
    """Mount something, as root in a namespace of mounts of this process."""
    subprocess.run(["mount", *arguments], check=True)


class Troubles:
    """A stage, and what can go wrong with it."""

    def __init__(self, harness: Harness, stage: str, before: Path, rng: random.Random, all_of_them: bool) -> None:
        self.harness, self.stage, self.before, self.after = harness, stage, before, harness.base
        self.rng, self.all = rng, all_of_them

    def full(self) -> None:
        """Room for nothing, for a little, and for nearly everything that the stage writes."""
        needed = _size(self.after) - _size(self.before)
        for share in (0.0, 0.3, 0.8) if self.all else (self.rng.choice((0.0, 0.3, 0.8)),):
            data = self._data()
            shutil.rmtree(data)
            data.mkdir()
            mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(data))
            shutil.copytree(self.before, data, dirs_exist_ok=True)
            filler = data / "filler"
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(data).free - int(share * needed) // 4096 * 4096)
            self._try(f"room for {share:.0%}", data, filler.unlink)
            subprocess.run(["umount", str(data)], check=True)

    def readonly(self) -> None:
        """All of the data cannot be written to."""
        data = self._data()
        mount("--bind", str(data), str(data))
        mount("-o", "remount,ro,bind", str(data))
        self._try("all", data, lambda: subprocess.run(["umount", str(data)], check=True))

    def folder(self) -> None:
        """A folder with something in it stands where the stage wants to write a file."""
        for name in self._some(sorted(_files(self.after) - _files(self.before))):
            data = self._data()
            (data / name / "kept").mkdir(parents=True)

            def end(there: Path = data / name) -> None:
                (there / "kept").rmdir()  # fails if it is gone
                there.rmdir()

            self._try(name, data, end, named=Path(name).name.partition(".data-")[0])

    def vanished(self) -> None:
        """A file that an earlier stage has made is not there."""
        for name in self._some(sorted(_files(self.before))):
            data = self._data()
            (data / name).unlink()

            def end(source: Path = self.before / name, there: Path = data / name) -> None:
                if not there.exists():  # else the stage has made it anew
                    shutil.copy2(source, there)

            self._try(name, data, end, named=None)

    def clock(self) -> None:
        """Killed, then all files are from the past or the future; no message is expected here."""
        for _ in range(4 if self.all else 1):
            data = self._data()
            whole = 10**6 if self.stage == "prepare" else 40
            run(STAGES[self.stage], data, self.harness.log, operation=self.rng.randint(1, whole))
            for path in sorted(data.rglob("*")):
                os.utime(path, (time := self.rng.choice((PAST, FUTURE)), time))
            self._end("file times", data, "")

    def _some(self, names: list[str]) -> list[str]:
        names = [name for name in names if ".tfevents." not in name]
        return names if self.all or not names else [self.rng.choice(names)]

    def _data(self) -> Path:
        return self.harness.copy(self.before, "troubled")

    def _try(self, what: str, data: Path, end: Callable[[], object], named: str | None = "") -> None:
        """Run in trouble, look at the message, end the trouble, run again; `named` None allows it to run well."""
        start = self.harness.log.stat().st_size
        status, _ = run(STAGES[self.stage], data, self.harness.log)
        said = self.harness.log.read_bytes()[start:].decode(errors="replace")
        errors = [line for line in said.splitlines() if line.startswith("Error: ")]
        fault = None
        ignored = said.count("Exception ignored")  # h5py says so itself when it closes a file on a full disk
        if status == 1 and len(errors) == 1 and said.count("Traceback") == ignored:
            if str(data) not in errors[0] or named not in (None, "") and named not in errors[0]:
                fault = "the message does not name the file"
        elif status or named is not None:
            fault = f"status {status}, and it said: {said[-1500:]}"
        try:
            end()
        except OSError as error:
            fault = f"damaged: {error}"
        self._end(what, data, errors[0] if errors else "", fault, status)

    def _end(self, what: str, data: Path, said: str, fault: str | None = None, before: int = 0) -> None:
        """Run without trouble, and compare."""
        start = self.harness.log.stat().st_size
        status, _ = run(STAGES[self.stage], data, self.harness.log)
        faults = [fault] if fault else []
        if status:
            faults.append(f"afterwards: status {status}: {self.harness.log.read_bytes()[start:].decode()[-1500:]}")
        else:
            faults += compare(self.after, data)
        print(json.dumps({"stage": self.stage, "what": what, "said": said, "faults": faults}), flush=True)


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in _files(folder))


@contextmanager
def _working_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="troubles_", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


def main() -> None:
    """Read the command line, make trouble, print."""
    parser = argparse.ArgumentParser(description="Run steps of the course in trouble.")
    parser.add_argument("troubles", nargs="+", choices=["full", "readonly", "folder", "vanished", "clock"])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--all", action="store_true", help="every file and every amount of room, not one by chance")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with _working_folder() as folder:
        harness = Harness(folder, options.seed)
        for stage in list(STAGES)[: max(list(STAGES).index(name) for name in options.stages) + 1]:
            before = harness.base
            if faults := harness.go_through(stage, 0).faults:
                sys.exit(str(faults))
            for trouble in options.troubles if stage in options.stages else ():
                rng = random.Random(f"{options.seed} {stage} {trouble}")
                getattr(Troubles(harness, stage, before, rng, options.all), trouble)()


if __name__ == "__main__":
    main()
