"""Evaluates the checkpoints of im2txt's model while training goes on in another process."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from say_what_you_see.core.backend import suppress_stderr
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, sha256_of, write_json
from say_what_you_see.core.text import markdown_text
from say_what_you_see.serving.scale_inference import caption_images
from say_what_you_see.training.losses import masked_sums
from say_what_you_see.training.scale.events import write_scalars
from say_what_you_see.training.scale.folder import ScaleModel, check_vocabulary, existing_checkpoints, find_checkpoint
from say_what_you_see.training.scale.record_input import batches

with suppress_stderr():
    import tensorflow as tf

RESULTS_FILE = "evaluations.json"


@dataclass(frozen=True)
class CheckpointScore:
    """How well a checkpoint predicts the words of the validation captions."""

    step: int  # the step that it was trained to
    checkpoint: str  # checksum of its index, which holds those of all weights: it tells trainings apart
    loss: float  # cross-entropy in nats per word
    perplexity: float  # e to the power of the loss: like guessing among this many equally probable words
    words: int  # number of words that were predicted
    seconds: float  # time that it took


@dataclass(frozen=True)
class EvaluationConfig:
    """What to evaluate, and on what."""

    records: Path  # folder of the shards
    train_folder: Path  # where `train-records` keeps its checkpoints
    folder: Path  # where results go, for TensorBoard and as `evaluations.json`
    split: str = "val"  # the shards to read
    batch_size: int = 32  # captions at a time
    most_captions: int | None = None  # read this many captions, rounded up to whole batches; None reads all
    examples: int = 4  # the number of images that are captioned, always the same ones


class Evaluator:
    """Evaluates checkpoints; `train_on_records` can call it right after it wrote one, in the same process.

    The training folder need not exist before the first checkpoint.
    """

    def __init__(self, config: EvaluationConfig) -> None:
        self.config = config

    @cached_property
    def trained(self) -> ScaleModel:
        """The model, built once."""
        trained = ScaleModel(self.config.train_folder)
        check_vocabulary(self.config.train_folder, trained.config, self.config.records)
        return trained

    @cached_property
    def images(self) -> np.ndarray:
        """The first distinct images of the split, where an image comes once for each of its captions."""
        different: dict[bytes, np.ndarray] = {}
        for images, *_ in self._batches(16 * self.config.examples):
            different.update({image.tobytes(): image for image in images.numpy()})
            if len(different) >= self.config.examples:
                break
        return np.stack(list(different.values())[: self.config.examples])

    def __call__(self, prefix: str) -> CheckpointScore:
        """Evaluate a checkpoint and write scalars, and captions with their images, for TensorBoard."""
        started = time.perf_counter()
        step = self.trained.load(prefix).step
        loss, words = self._mean_loss()
        perplexity = math.exp(min(loss, 700.0))  # beyond that, a float overflows
        seconds = round(time.perf_counter() - started, 1)
        score = CheckpointScore(step, checksum_of(prefix), loss, perplexity, words, seconds)
        self._write(score)
        return score

    def _batches(self, most: int | None) -> tf.data.Dataset:
        config, side = self.config, self.trained.config.side
        dataset = batches(config.records, config.split, config.batch_size, side)
        return dataset if most is None else dataset.take(-(-most // config.batch_size))

    @tf.function(reduce_retracing=True)
    def _sums(self, images, words, targets, mask) -> tuple[tf.Tensor, tf.Tensor]:
        """The sum of the losses over a batch, and the number of real words."""
        return masked_sums(targets, self.trained.model([images, words], training=False), mask)

    def _mean_loss(self) -> tuple[float, int]:
        total = np.zeros(2)
        for batch in self._batches(self.config.most_captions):
            total += [float(value) for value in self._sums(*batch)]
        if not total[1]:
            raise CourseError(
                f"No {self.config.split} picture in {self.config.records} can be read. Make the records again."
            )
        return float(total[0] / total[1]), int(total[1])

    def _write(self, score: CheckpointScore) -> None:
        """Scalars and examples into a new event file, and a line into `evaluations.json`."""
        folder = self.config.folder
        with closing(tf.summary.create_file_writer(str(folder))) as writer:
            write_scalars(writer, score.step, {"loss": score.loss, "perplexity": score.perplexity})
            if self.config.examples:
                captions = [best[0][0] if best else "" for best in caption_images(self.trained, self.images)]
                write_examples(writer, score.step, self.images, captions)
        # Later ones belong to another training, which was in the same folder before.
        scores = [earlier for earlier in read_evaluations(folder) if earlier.step < score.step]
        write_json([asdict(each) for each in (*scores, score)], folder / RESULTS_FILE)


def write_examples(writer: tf.summary.SummaryWriter, step: int, images: np.ndarray, captions: Sequence[str]) -> None:
    """Write images (n, side, side, 3) from -1 to 1, and a table of their captions in the same order."""
    lines = [f"| {number} | {markdown_text(caption)} |" for number, caption in enumerate(captions)]
    with writer.as_default(step=step):
        tf.summary.image("examples", (images + 1) / 2, max_outputs=len(images))
        tf.summary.text("captions", "\n".join(["| picture | caption |", "| --- | --- |", *lines]))


def read_evaluations(folder: Path) -> list[CheckpointScore]:
    """The evaluations so far, by step; empty if there are none."""
    path = Path(folder) / RESULTS_FILE
    if not path.exists():
        return []
    try:
        return [CheckpointScore(**line) for line in read_json(path)]
    except TypeError as error:
        raise CourseError(f"{path} was not written by `evaluate-records`. Delete it and evaluate again.") from error


def evaluate_records(
    config: EvaluationConfig, once: bool = False, timeout: float | None = None
) -> Iterator[CheckpointScore]:
    """Evaluate every checkpoint that has not been evaluated yet, one at a time, then wait for new ones.

    Args:
        once: do not wait.
        timeout: end after this many seconds without a new checkpoint; None waits until Ctrl-C.

    Raises:
        CourseError: with `once`, if there is no checkpoint; or if checkpoints and records do not belong together.
    """
    evaluate = Evaluator(config)
    if once:
        find_checkpoint(config.train_folder)
    waiting = [None] if once else tf.train.checkpoints_iterator(str(config.train_folder), timeout=timeout)
    for _ in waiting:
        done = {score.checkpoint for score in read_evaluations(config.folder)}
        for prefix in [each for each in existing_checkpoints(config.train_folder) if checksum_of(each) not in done]:
            try:
                yield evaluate(prefix)
            except CourseError:
                if prefix in existing_checkpoints(config.train_folder):
                    raise
                # Otherwise training has removed it in the meantime, to make room for newer ones.


def checksum_of(prefix: str) -> str:
    """The checksum of a checkpoint's index: 16 hexadecimal digits."""
    return sha256_of(f"{prefix}.index")[:16]
