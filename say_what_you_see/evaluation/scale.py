"""Evaluates the checkpoints of im2txt's model while training goes on in another process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from say_what_you_see.core.backend import keras, suppress_stderr
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, sha256_of, write_json
from say_what_you_see.core.text import markdown_text
from say_what_you_see.serving.scale_inference import ScaleCaptioner
from say_what_you_see.training.losses import masked_sums
from say_what_you_see.training.scale.events import open_writer, require_tensorboard, write_scalars
from say_what_you_see.training.scale.folder import (
    ModelLoader,
    TrainedModel,
    check_vocabulary,
    existing_checkpoints,
    find_checkpoint,
)
from say_what_you_see.training.scale.record_input import batches

with suppress_stderr():
    import tensorflow as tf

RESULTS_FILE = "evaluations.json"


@dataclass(frozen=True)
class Evaluation:
    """How well a checkpoint predicts the words of the validation captions.

    Attributes:
        step: the step that it was trained to.
        checkpoint: checksum of its index, which holds those of all weights: it tells trainings apart.
        loss: cross-entropy in nats per word.
        perplexity: e to the power of the loss: among so many equally probable words one would have to guess.
        words: number of words that were predicted.
        seconds: time that it took.
    """

    step: int
    checkpoint: str
    loss: float
    perplexity: float
    words: int
    seconds: float


@dataclass(frozen=True)
class EvaluationConfig:
    """What to evaluate, and on what.

    Attributes:
        records: folder of the shards.
        train_folder: where `train-records` keeps its checkpoints.
        folder: where results go, for TensorBoard and as `evaluations.json`.
        split: the shards to read.
        batch_size: captions at a time.
        most_captions: read so many captions at most; None reads all.
        examples: so many pictures are captioned, always the same ones.
        max_len: captions are cut to so many words.
    """

    records: Path
    train_folder: Path
    folder: Path
    split: str = "val"
    batch_size: int = 32
    most_captions: int | None = None
    examples: int = 4
    max_len: int = 20


class Evaluator:
    """Evaluates checkpoints, one after another, with one model that is built once."""

    def __init__(self, config: EvaluationConfig) -> None:
        require_tensorboard()
        self.config = config
        self.loader = ModelLoader(config.train_folder)
        self.sums: Callable | None = None
        self.captioner: ScaleCaptioner | None = None
        self.pictures: np.ndarray | None = None
        check_vocabulary(config.train_folder, self.loader.config, config.records)

    def evaluate(self, prefix: str) -> Evaluation:
        """Evaluate a checkpoint and write scalars, and captions with their pictures, for TensorBoard."""
        started = time.perf_counter()
        trained = self.loader.load(prefix)
        loss, words = self._mean_loss(trained)
        perplexity = math.exp(min(loss, 700.0))  # above, it is no float any more
        seconds = round(time.perf_counter() - started, 1)
        result = Evaluation(trained.step, checksum_of(prefix), loss, perplexity, words, seconds)
        self._write(result, trained)
        return result

    def _batches(self, take: int | None) -> tf.data.Dataset:
        config, side = self.config, self.loader.config.side
        dataset = batches(config.records, config.split, config.batch_size, side, max_len=config.max_len)
        return dataset if take is None else dataset.take(-(-take // config.batch_size))

    def _mean_loss(self, trained: TrainedModel) -> tuple[float, int]:
        if self.sums is None:
            self.sums = compile_sums(trained.model)
        total = np.zeros(2)
        for batch in self._batches(self.config.most_captions):
            total += [float(value) for value in self.sums(*batch)]
        if not total[1]:
            raise CourseError(
                f"No {self.config.split} picture in {self.config.records} can be read. Make the records again."
            )
        return float(total[0] / total[1]), int(total[1])

    def _write(self, result: Evaluation, trained: TrainedModel) -> None:
        """Scalars and examples into a new event file, and a line into `evaluations.json`."""
        writer = open_writer(self.config.folder)
        write_scalars(writer, result.step, {"loss": result.loss, "perplexity": result.perplexity})
        if self.config.examples:
            if self.pictures is None:
                self.pictures = self._example_pictures()
            self.captioner = self.captioner or ScaleCaptioner(trained)
            captions = [found[0].sentence if found else "" for found in self.captioner.caption(self.pictures)]
            write_examples(writer, result.step, self.pictures, captions)
        writer.close()
        # What is later belongs to another training, which was in the same folder before.
        results = [kept for kept in read_evaluations(self.config.folder) if kept.step < result.step]
        write_json([asdict(kept) for kept in (*results, result)], self.config.folder / RESULTS_FILE)

    def _example_pictures(self) -> np.ndarray:
        """The first different pictures of the split: a picture is there once for each of its captions."""
        found: dict[bytes, np.ndarray] = {}
        for pictures, *_ in self._batches(16 * self.config.examples):
            found.update({picture.tobytes(): picture for picture in pictures.numpy()})
            if len(found) >= self.config.examples:
                break
        return np.stack(list(found.values())[: self.config.examples])


def compile_sums(model: keras.Model) -> Callable:
    """Compile the cross-entropies of a batch, added up, and its number of words."""

    @tf.function(reduce_retracing=True)
    def sums(pictures, words, targets, mask):
        return masked_sums(targets, model([pictures, words], training=False), mask)

    return sums


def write_examples(writer: tf.summary.SummaryWriter, step: int, pictures: np.ndarray, captions: Sequence[str]) -> None:
    """Write pictures (n, side, side, 3) from -1 to 1, and a table of their captions in the same order."""
    rows = [f"| {number} | {markdown_text(caption)} |" for number, caption in enumerate(captions)]
    with writer.as_default(step=step):
        tf.summary.image("examples", (pictures + 1) / 2, max_outputs=len(pictures))
        tf.summary.text("captions", "\n".join(["| picture | caption |", "| --- | --- |", *rows]))
    writer.flush()


def read_evaluations(folder: Path) -> list[Evaluation]:
    """What has been evaluated so far, by step; empty when nothing was."""
    path = Path(folder) / RESULTS_FILE
    if not path.exists():
        return []
    try:
        found = [Evaluation(**line) for line in read_json(path)]
        if not all(isinstance(line.step, int) and isinstance(line.checkpoint, str) for line in found):
            raise TypeError("a step is no whole number")
        return found
    except TypeError as error:
        raise CourseError(f"{path} is not what `evaluate-records` writes. Delete it and evaluate again.") from error


def evaluate_records(
    config: EvaluationConfig,
    once: bool = False,
    timeout: float | None = None,
    report: Callable[[Evaluation], None] | None = None,
) -> list[Evaluation]:
    """Evaluate every checkpoint that has not been, then wait for new ones.

    Args:
        once: do not wait.
        timeout: end when there was no new checkpoint for so many seconds; None waits until Ctrl-C.
        report: called with every result.

    Returns:
        The new results.

    Raises:
        CourseError: with `once`, if there is no checkpoint; or if checkpoints and records do not belong together.
    """
    require_tensorboard()
    if once:
        find_checkpoint(config.train_folder)
    waiting = [None] if once else tf.train.checkpoints_iterator(str(config.train_folder), timeout=timeout)
    evaluator, results = None, []
    for _ in waiting:
        for prefix in checkpoints_to_do(config):
            evaluator = evaluator or Evaluator(config)
            try:
                results.append(evaluator.evaluate(prefix))
            except CourseError:
                if prefix in existing_checkpoints(config.train_folder):
                    raise
                continue  # training has removed it in the meantime, to make room for newer ones
            if report:
                report(results[-1])
    return results


class EvaluateNew:
    """Evaluates each new checkpoint right after it was written, for `train_on_records`: one process for both.

    Args:
        config: what to evaluate on.
        report: called with every result.
    """

    def __init__(self, config: EvaluationConfig, report: Callable[[Evaluation], None] | None = None) -> None:
        self.config, self.report = config, report
        self.evaluator: Evaluator | None = None

    def __call__(self, prefix: str) -> None:
        self.evaluator = self.evaluator or Evaluator(self.config)
        result = self.evaluator.evaluate(prefix)
        if self.report:
            self.report(result)


def checkpoints_to_do(config: EvaluationConfig) -> list[str]:
    """The checkpoints in the training folder that have no result yet, the oldest first."""
    done = {result.checkpoint for result in read_evaluations(config.folder)}
    return [prefix for prefix in existing_checkpoints(config.train_folder) if checksum_of(prefix) not in done]


def checksum_of(prefix: str) -> str:
    """The checksum of a checkpoint's index: 16 hexadecimal digits."""
    return sha256_of(f"{prefix}.index")[:16]
