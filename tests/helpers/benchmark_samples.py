"""Contenders of a stage for tests: they count to a number, and take a nap over it."""

import os
import time
from pathlib import Path

from benchmarks.stage import Contender, Sample, Stage


def make_work(folder: Path, small: bool) -> dict:
    (folder / "shared.txt").write_text("12")
    return {"shared": str(folder / "shared.txt"), "seconds": 0.25 if small else 1.0}


def counting(work: dict, slower: int = 1, last: float = 2.0):
    print("what a contender prints does not disturb its answers")
    amount = float(Path(work["shared"]).read_text())

    def repeat() -> Sample:
        time.sleep(slower * work["seconds"])
        return Sample(amount, lambda: [1.0, last], {"process": os.getpid()})

    return repeat


def broken(work: dict):
    raise RuntimeError("this contender cannot be set up")


def ends_early(work: dict):
    return lambda: os._exit(3)


def goes_on(work: dict):
    return lambda: Sample(3.0, seconds=0.5)


def environment(work: dict):
    return lambda: Sample(extra={"found": float(os.environ["BENCHMARK_SAMPLE"])})


def contender(key: str, function: str, **options) -> Contender:
    return Contender(key, key.replace("_", " "), f"benchmark_samples:{function}", **options)


def stage(*contenders: Contender) -> Stage:
    return Stage("counting", "Counting", "numbers/s", make_work, contenders, agreement=0.01)
