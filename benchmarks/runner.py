"""Runs the contenders of a stage in turn, each in a process of its own, so that the machine's moods meet all alike."""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

from benchmarks.machine import peak_mb
from benchmarks.stage import Contender, Goal, Sample, Stage, agree
from say_what_you_see.core.progress import progress


@dataclass
class Result:
    """What one contender reached: a sample for each round, or why there is none."""

    contender: Contender
    samples: list[Sample] = field(default_factory=list)
    failure: str = ""

    @property
    def figures(self) -> list[float]:
        """The figure of each round, in the stage's unit."""
        return [sample.amount / sample.seconds for sample in self.samples]

    @property
    def median(self) -> float:
        """The median of the figures."""
        return statistics.median(self.figures)

    @property
    def extra(self) -> dict[str, float]:
        """The medians of the other figures."""
        names = self.samples[0].extra if self.samples else {}
        return {name: statistics.median(sample.extra[name] for sample in self.samples) for name in names}


@dataclass
class StageResult:
    """What all contenders of a stage reached, in the order of the stage."""

    stage: Stage
    results: list[Result]

    def of(self, key: str) -> Result | None:
        """The result of a contender, or None where it has none."""
        return next((result for result in self.results if result.contender.key == key and result.samples), None)

    def ratio(self, goal: Goal) -> tuple[float, str] | None:
        """A contender's figure over the best of those it is held against, or the figure itself; and against whom.

        A ratio is the median of the ratios of each round, in which the two worked one after the other.
        """
        own, others = self.of(goal.key), [result for key in goal.against if (result := self.of(key))]
        if own is None or (goal.against and not others):
            return None
        if not goal.against:
            return own.median, ""
        best = (min if self.stage.lower_is_better else max)(others, key=lambda result: result.median)
        pairs = zip(own.figures, best.figures, strict=True)
        return statistics.median(a / b for a, b in pairs), best.contender.title

    def reached(self, goal: Goal) -> bool | None:
        """Whether a goal was reached; None where it could not be told."""
        if (ratio := self.ratio(goal)) is None:
            return None
        return ratio[0] <= goal.ratio if self.stage.lower_is_better else ratio[0] >= goal.ratio

    def disagreements(self) -> list[str]:
        """The titles of contenders whose check differs from the first one's."""
        checked = [result for result in self.results if result.samples and result.samples[0].check is not None]
        return [
            result.contender.title
            for result in checked[1:]
            if not agree(checked[0].samples[0].check, result.samples[0].check, self.stage.agreement)
        ]


class Worker:
    """A process that does repetitions for one contender; a new one each time where the contender wants that."""

    def __init__(self, contender: Contender, work: dict) -> None:
        self.contender, self.work = contender, work
        self.pool: ProcessPoolExecutor | None = None

    def repeat(self) -> Sample:
        """One repetition, and how much memory the process has held at most."""
        if self.pool is None:
            self.pool = ProcessPoolExecutor(1, get_context("spawn"))
            environ = {"TF_CPP_MIN_LOG_LEVEL": "3", "COURSE_PROGRESS": "off", **self.contender.environ}
            with mock.patch.dict(os.environ, environ):  # the process is started with its first task
                self.pool.submit(_set_up, self.contender, self.work).result()
        sample = self.pool.submit(_repeat).result()
        if self.contender.fresh:
            self.close()
        return sample

    def close(self) -> None:
        """End the process."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.pool = None


_repetition: Callable[[], Sample]


def _set_up(contender: Contender, work: dict) -> None:
    """In the contender's process: get ready; what it prints goes to standard error."""
    global _repetition
    os.dup2(2, 1)
    _repetition = contender.prepare(work)


def _repeat() -> Sample:
    sample = _repetition()
    return replace(sample, extra={"peak memory (MB)": round(peak_mb()), **sample.extra})


def run_stage(stage: Stage, folder: Path, repetitions: int = 5, small: bool = False) -> StageResult:
    """Run a stage: every contender is warmed with one repetition that does not count, then they take turns, in another
    order each round.

    Args:
        folder: where the work is written to.
        repetitions: rounds, of which medians are taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = stage.make_work(folder, small)
    results = [Result(contender) for contender in stage.contenders]
    workers = [Worker(contender, work) for contender in stage.contenders]
    order = random.Random(0)
    try:
        with progress(total=len(results) * (repetitions + 1), description=stage.name, unit=" runs") as bar:
            for number in range(repetitions + 1):
                for place in order.sample(range(len(results)), len(results)):
                    _take_turn(results[place], workers[place], counts=number > 0)
                    bar.update()
    finally:
        for worker in workers:
            worker.close()
    return StageResult(stage, results)


def _take_turn(result: Result, worker: Worker, counts: bool) -> None:
    """One repetition of a contender that has not failed so far."""
    if missing := worker.contender.missing():
        result.failure = f"not installed: {', '.join(missing)} (make bench-peers)"
    if result.failure:
        return
    try:
        sample = worker.repeat()
    except Exception as error:  # whatever a contender raises is its own failure
        worker.close()
        result.failure, result.samples = f"failed: {type(error).__name__}: {error}".splitlines()[0], []
    else:
        result.samples += [sample] * counts
