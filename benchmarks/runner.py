"""Runs the contenders of a stage in turn, each in a process of its own, so that the machine's moods meet all alike."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.stage import Contender, Goal, Sample, Stage, agree
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import write_json
from say_what_you_see.core.progress import progress
from say_what_you_see.core.settings import REPOSITORY


@dataclass
class Result:
    """What one contender reached.

    Attributes:
        samples: one for each repetition, in order.
        trouble: why there are none, where there are none.
    """

    contender: Contender
    samples: list[Sample] = field(default_factory=list)
    trouble: str = ""

    @property
    def figures(self) -> list[float]:
        """The figure of each repetition, in the stage's unit."""
        return [sample.amount / sample.seconds for sample in self.samples]

    @property
    def median(self) -> float:
        """The median of the figures."""
        return statistics.median(self.figures)

    @property
    def facts(self) -> dict[str, float]:
        """The medians of the other figures."""
        names = self.samples[0].facts if self.samples else {}
        return {name: statistics.median(sample.facts[name] for sample in self.samples) for name in names}


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
        own, others = self.of(goal.key), [found for key in goal.against if (found := self.of(key))]
        if own is None or (goal.against and not others):
            return None
        if not goal.against:
            return own.median, ""
        best = (min if self.stage.lower_is_better else max)(others, key=lambda result: result.median)
        pairs = zip(own.figures, best.figures, strict=True)
        return statistics.median(a / b for a, b in pairs), best.contender.title

    def reached(self, goal: Goal) -> bool | None:
        """Whether a goal was reached; None where it could not be told."""
        found = self.ratio(goal)
        if found is None:
            return None
        return found[0] <= goal.ratio if self.stage.lower_is_better else found[0] >= goal.ratio

    def disagreements(self) -> list[str]:
        """The titles of contenders whose check differs from the first one's."""
        checked = [result for result in self.results if result.samples and result.samples[0].check is not None]
        return [
            result.contender.title
            for result in checked[1:]
            if not agree(checked[0].samples[0].check, result.samples[0].check, self.stage.agreement)
        ]


class Worker:
    """A process that does repetitions for one contender."""

    def __init__(self, contender: Contender, work_file: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.worker", contender.prepare, str(work_file)]
        environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "COURSE_PROGRESS": "off", **contender.environ}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the worker
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def repeat(self) -> Sample:
        """One repetition.

        Raises:
            CourseError: with the process's last words, if it ended.
        """
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer tells why
        return Sample(**self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            last = self._errors.read().strip().splitlines()[-1:] or [f"status {self._process.returncode}"]
            raise CourseError(last[0])
        return json.loads(line)


@contextmanager
def _worker(contender: Contender, work_file: Path) -> Iterator[Worker]:
    worker = Worker(contender, work_file)
    try:
        yield worker
    finally:
        worker.close()


def run_stage(stage: Stage, folder: Path, repetitions: int = 5, small: bool = False) -> StageResult:
    """Run a stage: every contender is set up once and warmed with one repetition that does not count, then they take
    turns, in another order each round.

    Args:
        folder: where the work is written to; it may be kept for the next time.
        repetitions: rounds, of which medians are taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work_file = folder / "work.json"
    write_json(stage.make_work(folder, small), work_file)
    results = [Result(contender) for contender in stage.contenders]
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        total = len(results) * (repetitions + 1)
        bar = stack.enter_context(progress(total=total, description=stage.name, unit=" runs"))
        for result in results:
            _set_up(result, work_file, workers, stack)
            bar.update()
        shuffled = random.Random(0)
        for _ in range(repetitions):
            for result in shuffled.sample(results, len(results)):
                _repeat(result, work_file, workers)
                bar.update()
    return StageResult(stage, results)


def _set_up(result: Result, work_file: Path, workers: dict[str, Worker], stack: ExitStack) -> None:
    """Start a contender's process and have it do one repetition that does not count."""
    contender = result.contender
    if missing := contender.missing():
        result.trouble = f"not installed: {', '.join(missing)} (make bench-peers)"
        return
    try:
        if contender.fresh:
            with _worker(contender, work_file) as worker:
                worker.repeat()
        else:
            workers[contender.key] = stack.enter_context(_worker(contender, work_file))
            workers[contender.key].repeat()
    except CourseError as error:
        result.trouble = f"failed: {error}"


def _repeat(result: Result, work_file: Path, workers: dict[str, Worker]) -> None:
    """One repetition of a contender that has had no trouble so far."""
    if result.trouble:
        return
    contender = result.contender
    try:
        if contender.fresh:
            with _worker(contender, work_file) as worker:
                result.samples.append(worker.repeat())
        else:
            result.samples.append(workers[contender.key].repeat())
    except CourseError as error:
        result.trouble, result.samples = f"failed: {error}", []
