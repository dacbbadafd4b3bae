"""Runs a stage's contenders in turn, each in its own process, so that changes in the machine's load meet all alike."""

import os
import statistics
import timeit
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.machine import peak_mb
from benchmarks.stage import Contender, Repetition, Sample, Stage, agree
from say_what_you_see.core.progress import progress


class Entrant:
    """A contender with its process, the duration and results of its repetitions, and why it cannot run, or ""."""

    def __init__(self, contender: Contender, work: dict) -> None:
        self.contender, self.work = contender, work
        self.measured: list[tuple[float, Sample]] = []
        self.pool: ProcessPoolExecutor | None = None
        missing = ", ".join(contender.missing())
        self.trouble = f"not installed: {missing} (make bench-peers)" if missing else ""

    def take_turn(self) -> None:
        """Do one repetition, unless there has been trouble before."""
        if self.trouble:
            return
        try:
            self.measured.append(self._process().submit(_measure).result())
        except Exception as error:  # whatever a contender raises counts as its failure
            self.trouble = f"failed: {type(error).__name__}: {error}".splitlines()[0]
        if self.contender.fresh or self.trouble:
            self.close()

    def _process(self) -> ProcessPoolExecutor:
        if self.pool is None:
            self.pool = ProcessPoolExecutor(1, get_context("spawn"))
            environ = {"TF_CPP_MIN_LOG_LEVEL": "3", "COURSE_PROGRESS": "off", **self.contender.environ}
            with mock.patch.dict(os.environ, environ):  # the process starts with its first task
                self.pool.submit(_set_up, self.contender, self.work).result()
        return self.pool

    def close(self) -> None:
        """End the process."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.pool = None

    def record(self, unit: str) -> dict[str, Any]:
        """The median and each round's figure in the stage's unit, or the trouble; the first repetition is a warm-up."""
        about = {"key": self.contender.key, "title": self.contender.title, "role": self.contender.role}
        if self.trouble:
            return about | {"trouble": self.trouble}
        samples = [sample for _, sample in self.measured[1:]]
        rates = [sample.amount / seconds for seconds, sample in self.measured[1:]]
        figures = [float(f"{1 / rate if unit == 's' else rate:.5g}") for rate in rates]
        facts = {name: statistics.median(sample.extra[name] for sample in samples) for name in samples[0].extra}
        return about | {"median": statistics.median(figures), "figures": figures, "facts": facts}


_repetition: Repetition


def _set_up(contender: Contender, work: dict) -> None:
    """Get ready, in the contender's process; what it prints goes to standard error."""
    global _repetition
    os.dup2(2, 1)
    _repetition = contender.prepare(work)


def _measure() -> tuple[float, Sample]:
    """The seconds that one repetition takes, and what it did; a quick one is repeated until it can be timed."""
    samples = []
    timer = timeit.Timer(lambda: samples.append(_repetition()), setup="import gc; gc.enable()")
    number, seconds = timer.autorange()
    sample, peak = samples[0], {"peak memory (MB)": round(peak_mb())}
    own = [each.seconds for each in samples if each.seconds is not None]
    seconds = statistics.fmean(own) if own else seconds / number
    return seconds, replace(sample, check=sample.known(), extra=peak | dict(sample.extra))


def run_stage(stage: Stage, folder: Path, repetitions: int, small: bool) -> dict[str, Any]:
    """Let all contenders of a stage take turns; returns what was found, ready for JSON."""
    work = stage.make_work(folder, small)
    entrants = [Entrant(contender, work) for contender in stage.contenders]
    try:
        for entrant in progress(entrants * (repetitions + 1), description=stage.name, unit=" runs"):
            entrant.take_turn()
    finally:
        for entrant in entrants:
            entrant.close()
    checks = {entrant.contender.title: entrant.measured[0][1].check for entrant in entrants if entrant.measured}
    first = next((check for check in checks.values() if check is not None), None)
    return {
        "name": stage.name,
        "title": stage.title,
        "unit": stage.unit,
        "contenders": [entrant.record(stage.unit) for entrant in entrants],
        "disagree": [title for title, check in checks.items() if not agree(first, check, stage.agreement)],
    }
