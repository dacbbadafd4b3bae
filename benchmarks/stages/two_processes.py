"""Training at scale by one process and by two on this machine, each on a core of its own.

What it leaves out: two processes here talk over the loopback and share memory and caches; two machines have a network
between them and caches of their own.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.stage import Contender, Goal, Sample, Stage

_BATCH = 16
"""Pictures that each process gets in a step."""


def make_work(folder: Path, small: bool) -> dict:
    """Draw scenes and write them as records."""
    from say_what_you_see.core.settings import read_settings
    from say_what_you_see.training.scale.records import write_records

    environ = {"COURSE_SIZE": "small", "COURSE_DATA": str(folder / "data")}
    records = write_records(read_settings(environ)).folder
    return {"folder": str(folder), "environ": environ, "records": str(records), "steps": 10 if small else 30}


def train(work: dict, workers: int) -> Callable[[], Sample]:
    """Repetitions with so many processes on a core each, which add up their gradients after every step."""
    return lambda: _train(work, workers)


def _train(work: dict, workers: int) -> Sample:
    from say_what_you_see.training.scale.events import read_scalars
    from say_what_you_see.training.scale.workers import run_workers

    folder = Path(work["folder"]) / f"training_{workers}"
    given = {
        "--records": work["records"], "--folder": folder, "--steps": work["steps"], "--side": 107, "--units": 256,
        "--batch-size": _BATCH * workers, "--log-every": 5,
    }  # fmt: skip
    options = [str(part) for option in given.items() for part in option]
    train = [sys.executable, "-m", "say_what_you_see", "train-records", *options]
    try:
        run_workers(
            [sys.executable, "-m", "benchmarks.pinned", *train], workers, environ={**os.environ, **work["environ"]}
        )
        rates = [rate for _, rate in read_scalars(folder / "train")["images_per_second"]]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Sample(statistics.median(rates[1:]))  # the first steps compile


STAGES = (
    Stage(
        name="two_processes",
        title="Training at scale, phase 1 at 107 × 107, 16 pictures a process, each process on one core",
        unit="pictures/s",
        make_work=make_work,
        contenders=(
            Contender("two", "two processes", "benchmarks.stages.two_processes:train", options={"workers": 2}),
            Contender("one", "one process", "benchmarks.stages.two_processes:train", options={"workers": 1}),
        ),
        goals=(Goal("two", 1.6, "two processes do 1.6 × the work of one (efficiency 0.8)", against=("one",)),),
    ),
)
