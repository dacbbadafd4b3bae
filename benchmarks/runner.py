"""Runs the contenders of a stage in turn, each in a process of its own, so that the machine's moods meet all alike."""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.machine import peak_mb
from benchmarks.stage import Contender, Sample, Stage, agree
from say_what_you_see.core.progress import progress


class Entrant:
    """A contender with its process; a new one each time where the contender wants that.

    Attributes:
        samples: what it has measured so far.
        trouble: why it measures nothing, or "".
    """

    def __init__(self, contender: Contender, work: dict) -> None:
        self.contender, self.work = contender, work
        self.samples: list[Sample] = []
        self.pool: ProcessPoolExecutor | None = None
        missing = ", ".join(contender.missing())
        self.trouble = f"not installed: {missing} (make bench-peers)" if missing else ""

    def take_turn(self, counts: bool) -> None:
        """Do one repetition, unless there was trouble before."""
        if self.trouble:
            return
        try:
            sample = self._process().submit(_repeat).result()
        except Exception as error:  # whatever a contender raises is its own failure
            self.trouble, self.samples = f"failed: {type(error).__name__}: {error}".splitlines()[0], []
        else:
            self.samples += [sample] * counts
        if self.contender.fresh or self.trouble:
            self.close()

    def _process(self) -> ProcessPoolExecutor:
        if self.pool is None:
            self.pool = ProcessPoolExecutor(1, get_context("spawn"))
            environ = {"TF_CPP_MIN_LOG_LEVEL": "3", "COURSE_PROGRESS": "off", **self.contender.environ}
            with mock.patch.dict(os.environ, environ):  # the process is started with its first task
                self.pool.submit(_set_up, self.contender, self.work).result()
        return self.pool

    def close(self) -> None:
        """End the process."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.pool = None

    def record(self) -> dict[str, Any]:
        """Medians and the figures of each round in the stage's unit, or the trouble, as JSON."""
        about = {"key": self.contender.key, "title": self.contender.title, "role": self.contender.role}
        if not self.samples:
            return about | {"trouble": self.trouble}
        figures = [float(f"{sample.amount / sample.seconds:.5g}") for sample in self.samples]
        facts = {
            name: statistics.median(sample.extra[name] for sample in self.samples) for name in self.samples[0].extra
        }
        return about | {"median": statistics.median(figures), "figures": figures, "facts": facts}


_repetition: Callable[[], Sample]


def _set_up(contender: Contender, work: dict) -> None:
    """In the contender's process: get ready; what it prints goes to standard error."""
    global _repetition
    os.dup2(2, 1)
    _repetition = contender.prepare(work)


def _repeat() -> Sample:
    sample = _repetition()
    return replace(sample, extra={"peak memory (MB)": round(peak_mb()), **sample.extra})


def run_stage(stage: Stage, folder: Path, repetitions: int = 5, small: bool = False) -> dict[str, Any]:
    """Run a stage: every contender is warmed with one repetition that does not count, then they take turns, in another
    order each round.

    Args:
        folder: where the work is written to.
        repetitions: rounds, of which medians are taken.

    Returns:
        What was found, as JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = stage.make_work(folder, small)
    entrants = [Entrant(contender, work) for contender in stage.contenders]
    order = random.Random(0)
    try:
        with progress(total=len(entrants) * (repetitions + 1), description=stage.name, unit=" runs") as bar:
            for number in range(repetitions + 1):
                for entrant in order.sample(entrants, len(entrants)):
                    entrant.take_turn(counts=number > 0)
                    bar.update()
    finally:
        for entrant in entrants:
            entrant.close()
    return {
        "name": stage.name,
        "title": stage.title,
        "unit": stage.unit,
        "lower_is_better": stage.lower_is_better,
        "contenders": [entrant.record() for entrant in entrants],
        "disagree": _disagreements(stage, entrants),
    }


def _disagreements(stage: Stage, entrants: list[Entrant]) -> list[str]:
    """The titles of contenders whose check differs from the first one's."""
    checks = {entrant.contender.title: entrant.samples[0].check for entrant in entrants if entrant.samples}
    checks = {title: check for title, check in checks.items() if check is not None}
    first = next(iter(checks.values()), None)
    return [title for title, check in checks.items() if not agree(first, check, stage.agreement)]
