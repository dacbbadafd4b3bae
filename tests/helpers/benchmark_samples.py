"""Contenders of a stage for tests: they count to a number, and say what they like of the time that it took."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.stage import Contender, Goal, Sample, Stage


def make_work(folder: Path, small: bool) -> dict:
    (folder / "shared.txt").write_text("12")
    return {"shared": str(folder / "shared.txt"), "seconds": 1.0 if small else 2.0}


def steady(work: dict):
    print("what a contender prints does not disturb its answers")
    amount = float(Path(work["shared"]).read_text())
    return lambda: Sample(amount, work["seconds"], check=[1.0, 2.0], extra={"process": os.getpid()})


def twice_as_slow(work: dict):
    amount = float(Path(work["shared"]).read_text())
    return lambda: Sample(amount, 2 * work["seconds"], check=[1.0, 2.001], extra={"process": os.getpid()})


def astray(work: dict):
    return lambda: Sample(1, 1, check=[1.0, 3.0])


def broken(work: dict):
    raise RuntimeError("this contender cannot be set up")


def ends_early(work: dict):
    return lambda: os._exit(3)


def environment(work: dict):
    return lambda: Sample(float(os.environ["BENCHMARK_SAMPLE"]))


def contender(name: str, **options) -> Contender:
    return Contender(name, name.replace("_", " "), f"benchmark_samples:{name}", **options)


def stage(*contenders: Contender, **options) -> Stage:
    goals = (Goal("steady", 1.5, "1.5 x the slow one", against=("twice_as_slow",)),)
    return Stage("counting", "Counting", "numbers/s", make_work, contenders, **{"goals": goals, **options})
