"""Trains im2txt's model on TFRecords: on one device, on several, or on several machines; it goes on where it stopped.

First the CNN stays frozen, then everything is trained jointly (Vinyals, Toshev, Bengio, Erhan, 2016,
https://arxiv.org/abs/1609.06647). It does not use `say_what_you_see.training.loop`, since `fit` of Keras 3
does not train under `MultiWorkerMirroredStrategy`; it counts steps, not epochs.
"""

import math
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.progress import progress
from say_what_you_see.models.image_to_text import ScaleModelConfig, build_scale_model
from say_what_you_see.training.losses import masked_sums
from say_what_you_see.training.scale.devices import choose_precision, choose_strategy, set_precision
from say_what_you_see.training.scale.events import write_scalars
from say_what_you_see.training.scale.folder import (
    CHECKPOINT_NAME,
    BuildCnn,
    check_config,
    latest_checkpoint,
    prepare_training_folder,
    read_cnn,
    restore,
)
from say_what_you_see.training.scale.record_input import batches, find_damaged_shard, find_shards


@dataclass(frozen=True)
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly for some steps and then falls exponentially, as im2txt's."""

    start: float  # the rate after its rise, before it falls
    decay: float = 0.5  # the rate is multiplied by this factor ...
    decay_steps: int = 100_000  # ... over this many steps, evenly.
    # steps of the rise. A new Adam moves every parameter by the full rate in its first step, whatever the gradient,
    # which would upset a trained CNN.
    warm_up: int = 0

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        risen = keras.ops.minimum((step + 1) / max(1, self.warm_up), 1)
        since = keras.ops.maximum(step - self.warm_up, 0)
        return self.start * risen * self.decay ** (since / self.decay_steps)


PHASE_1 = LearningRate(1e-3)
PHASE_2 = LearningRate(5e-5, warm_up=100)


@dataclass(frozen=True)
class ScaleTraining:
    """How to train."""

    records: Path  # folder of the shards
    folder: Path  # training folder, for checkpoints and scalars
    steps: int  # train up to this step, counted from the very beginning, both phases together
    learning_rate: LearningRate  # its steps count from the beginning of the phase
    batch_size: int = 32  # captions in a step, of all devices together
    train_inception: bool = False  # False is phase 1, True phase 2: all parameters jointly
    clip_norm: float = 5.0  # the gradient of all parameters together is scaled down to this norm
    save_every: int = 1000  # steps between checkpoints; there is one at the end as well, and one after Ctrl-C
    keep: int = 5  # the number of latest checkpoints that are kept
    log_every: int = 20  # steps between scalars
    precision: str | None = None  # Keras' dtype policy of the CNN; None lets `choose_precision` decide
    seed: int = 0  # decides the initial weights, the examples' order and augmentation, and dropout

    @property
    def phase(self) -> int:
        """1 while the CNN is frozen, 2 when everything is trained."""
        return 2 if self.train_inception else 1


# What is trained


def make_optimizer(training: ScaleTraining, precision: str, replicas: int) -> keras.optimizers.Optimizer:
    """Adam for one phase.

    Keras clips gradients before it adds up those of all replicas, but in `replica_step` each replica already passes it
    the sum, divided by their number. So the limit is divided as well, which clips the sum.
    """
    adam = keras.optimizers.Adam(training.learning_rate, global_clipnorm=training.clip_norm / replicas)
    # Gradients that pass through float16 layers are scaled, or small ones would become 0. In phase 1 none do.
    scaled = precision == "mixed_float16" and training.train_inception
    return keras.optimizers.LossScaleOptimizer(adam) if scaled else adam


class TrainState(tf.train.Checkpoint):
    """Everything that training changes: what is saved, and restored by a run of the same phase.

    Attributes:
        model: from images and words to logits.
        optimizer: Adam with its averages, of the current phase.
        step: a variable, the number of steps done since the very beginning.
        phase: a variable, which phase the optimizer belongs to.
    """

    @property
    def steps_done(self) -> int:
        """The number of steps as a plain number."""
        return int(self.step.numpy())

    @property
    def dropout_layers(self) -> list[keras.layers.Dropout]:
        """The layers that draw random numbers in training."""
        return [layer for layer in self.model.layers if isinstance(layer, keras.layers.Dropout) and layer.rate > 0]


def start_or_resume(
    training: ScaleTraining, config: ScaleModelConfig, cnn: BuildCnn, strategy: tf.distribute.Strategy
) -> TrainState:
    """Build the model, and bring it to where its training stopped, or to its start.

    When the phase changes, weights and step stay and the optimizer starts anew.
    """
    prefix = latest_checkpoint(training.folder)
    precision = training.precision or choose_precision()
    if prefix:
        check_config(training.folder, config, training.records)
    with strategy.scope():
        keras.utils.set_random_seed(training.seed)
        network = read_cnn(training.folder) if prefix else cnn()
        if not prefix and strategy.extended.should_checkpoint:
            prepare_training_folder(training.folder, config, network, training.records)
        set_precision(network, precision)
        model = build_scale_model(config, network)
        model.get_layer("picture_encoder").trainable = training.train_inception
        optimizer = make_optimizer(training, precision, strategy.num_replicas_in_sync)
        optimizer.build(model.trainable_variables)
        step, phase = (tf.Variable(value, dtype=tf.int64, trainable=False) for value in (0, training.phase))
        state = TrainState(model=model, optimizer=optimizer, step=step, phase=phase)
        if prefix:
            restore(tf.train.Checkpoint(model=model, step=step, phase=phase), prefix)
            if int(phase.numpy()) == training.phase:
                restore(state, prefix)
            phase.assign(training.phase)
    return state


# A step


def replica_step(state: TrainState, seeds: tf.Tensor, pictures, words, targets, mask) -> tf.Tensor:
    """What one device does in one step with its part of the batch; returns the loss of the whole batch.

    The loss is the cross-entropy per real word of the whole batch. Captions have different lengths, so the mean of
    the devices' means would be another number: each device divides its sum by the total number of words.

    Args:
        seeds: (dropout layers,) int64, one for each.
        pictures, words, targets, mask: as `say_what_you_see.training.scale.record_input.batches` yields them.
    """
    replica = tf.distribute.get_replica_context()
    seed_dropout(state, seeds, replica)
    total_words = tf.maximum(replica.all_reduce("sum", tf.reduce_sum(mask)), 1)
    variables = [variable.value for variable in state.model.trainable_variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for variable in variables:
            tape.watch(variable)
        crossentropy, _ = masked_sums(targets, state.model([pictures, words], training=True), mask)
        loss = crossentropy / total_words
        scaled = state.optimizer.scale_loss(loss)
    gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(scaled, variables)]
    summed = replica.all_reduce("sum", gradients)
    # Keras sums over replicas once more.
    state.optimizer.apply([g / replica.num_replicas_in_sync for g in summed], state.model.trainable_variables)
    return replica.all_reduce("sum", loss)


def seed_dropout(state: TrainState, seeds: tf.Tensor, replica: tf.distribute.ReplicaContext) -> None:
    """Make dropout a function of the seed, the step and the device: resuming a training changes nothing."""
    position = state.step * replica.num_replicas_in_sync + tf.cast(replica.replica_id_in_sync_group, tf.int64)
    for number, layer in enumerate(state.dropout_layers):
        generator = layer.seed_generator.state
        generator.assign(tf.cast(tf.stack([seeds[number], position]), generator.dtype))


def make_train_step(
    state: TrainState, strategy: tf.distribute.Strategy, seed: int, replica_step: Callable = replica_step
) -> Callable[[Iterator], tf.Tensor]:
    """Compile one step of training on all devices: from an iterator over distributed batches to the loss."""
    seeds = np.random.SeedSequence(seed).generate_state(max(1, len(state.dropout_layers))).astype(np.int64)

    @tf.function
    def train_step(iterator: Iterator) -> tf.Tensor:
        losses = strategy.run(lambda batch: replica_step(state, tf.constant(seeds), *batch), args=(next(iterator),))
        state.step.assign_add(1)
        return strategy.experimental_local_results(losses)[0]

    return train_step


def distribute_batches(
    training: ScaleTraining, side: int, start_step: int, strategy: tf.distribute.Strategy
) -> tf.distribute.DistributedDataset:
    """The training batches from a step on: each process reads its own rows, and divides them among its devices."""
    replicas = strategy.num_replicas_in_sync
    if training.batch_size % replicas:
        raise CourseError(
            f"A batch of {training.batch_size} captions cannot be divided evenly among {replicas} devices. Choose a "
            f"batch size that is a multiple of {replicas}."
        )

    def batches_of_process(context: tf.distribute.InputContext) -> tf.data.Dataset:
        processes = context.num_input_pipelines
        dataset = batches(
            training.records, "train", training.batch_size // processes, side,
            seed=training.seed, training=True, start_step=start_step, shard=(context.input_pipeline_id, processes),
        )  # fmt: skip
        if replicas > processes:
            dataset = dataset.rebatch(training.batch_size // replicas)
        return dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    return strategy.distribute_datasets_from_function(batches_of_process)


# The loop


def train_on_records(
    training: ScaleTraining,
    config: ScaleModelConfig,
    cnn: BuildCnn,
    strategy: tf.distribute.Strategy | None = None,
    after_checkpoint: Callable[[str], None] | None = None,
    replica_step: Callable = replica_step,
) -> TrainState:
    """Train up to a step, from the latest checkpoint of the training folder or from the start.

    Args:
        cnn: called only when there is no checkpoint.
        strategy: how the work is divided; None lets `choose_strategy` decide.

    Returns:
        The model, its optimizer and the step that was reached.

    Raises:
        CourseError: if shards are missing or damaged, if the folder holds checkpoints of another model, or if the loss
            is no longer finite.
        KeyboardInterrupt: after Ctrl-C, once a checkpoint of the last complete step is written.
    """
    strategy = strategy or choose_strategy()
    state = start_or_resume(training, config, cnn, strategy)
    start = state.steps_done
    _check_same_start(start, strategy, training.folder)
    if start >= training.steps:
        return state
    with ExitStack() as stack:
        recorder = _Recorder(training, state, strategy.extended.should_checkpoint, after_checkpoint, stack)
        iterator = iter(distribute_batches(training, config.side, start, strategy))
        train_step = make_train_step(state, strategy, training.seed, replica_step)
        with _explained_errors(training):
            for step in range(start + 1, training.steps + 1):
                recorder.after_step(step, train_step(iterator))
    return state


class _Recorder:
    """After each step: the bar, now and then scalars and a checkpoint; at the end or after Ctrl-C a last checkpoint."""

    def __init__(
        self, training: ScaleTraining, state: TrainState, chief: bool, after_save: Callable | None, stack: ExitStack
    ) -> None:
        self.training, self.state, self.chief, self.after_save = training, state, chief, after_save
        self.saved, folder = state.steps_done, str(training.folder)
        if chief:
            bar = progress(total=training.steps - self.saved, description=f"phase {training.phase}", unit="step")
            self.bar = stack.enter_context(bar)
            self.writer = stack.enter_context(closing(tf.summary.create_file_writer(folder)))
        else:  # every process takes part in saving, but only the chief's files are kept
            temporary = tempfile.TemporaryDirectory(prefix="worker_", ignore_cleanup_errors=True)
            folder = stack.enter_context(temporary)
        self.manager = tf.train.CheckpointManager(
            state, folder, max_to_keep=training.keep, checkpoint_name=CHECKPOINT_NAME
        )
        self.losses: list[tf.Tensor] = []  # since scalars were last written
        self.compiled = 1  # how many of these steps compiled, which is slow: the very first one
        self.started = time.perf_counter()
        stack.push(self.end)

    def end(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None or (issubclass(kind, KeyboardInterrupt) and self.chief):  # otherwise the weights may be damaged
            self.save(self.state.steps_done)

    def after_step(self, step: int, loss: tf.Tensor) -> None:
        self.losses.append(loss)
        if len(self.losses) == self.compiled:
            self.started = time.perf_counter()
        if step % self.training.log_every == 0 or step == self.training.steps:
            self.log(step)
        if self.chief:
            self.bar.update()
        if step % self.training.save_every == 0:
            self.save(step)

    def log(self, step: int) -> None:
        """Write scalars; the loss is the mean over the steps since the last time."""
        loss, seconds = float(np.mean(list(map(float, self.losses)))), time.perf_counter() - self.started
        if not math.isfinite(loss):
            raise CourseError(
                f"The loss is {loss} at step {step}, so training has failed. Earlier checkpoints are still good. "
                "Lower the learning rate."
            )
        if self.chief:
            scalars = {"loss": loss, "learning_rate": float(self.state.optimizer.learning_rate)}
            if timed := len(self.losses) - self.compiled:
                scalars["images_per_second"] = timed * self.training.batch_size / seconds
            with _full_disk_explained(f"The curves in {self.training.folder}"):
                write_scalars(self.writer, step, scalars)
            self.bar.set_postfix_str(f"loss {loss:.3f}")
        self.losses.clear()
        self.compiled, self.started = 0, time.perf_counter()

    def save(self, step: int) -> None:
        """Write a checkpoint of this step, unless there is one already."""
        if step == self.saved:
            return
        with _full_disk_explained(f"The checkpoint {self.training.folder / CHECKPOINT_NAME}-{step}"):
            prefix = self.manager.save(checkpoint_number=step)
        self.saved = step
        if self.chief and self.after_save:
            paused = time.perf_counter()
            self.after_save(prefix)
            self.started += time.perf_counter() - paused  # time not spent on training


@contextmanager
def _full_disk_explained(what: str) -> Iterator[None]:
    """Explain what TensorFlow raises if it cannot write: an error of the same type as when memory runs out."""
    try:
        yield
    except tf.errors.OpError as error:
        reason = re.sub(r"\{\{.*?\}\}", "", error.message.splitlines()[0]).strip()  # without names of operations
        raise CourseError(
            f"{what} could not be written ({reason}). Make room, move what is in the way, or make the folder "
            "writable, and start again: training goes on from its last checkpoint."
        ) from error


def _check_same_start(start: int, strategy: tf.distribute.Strategy, folder: Path) -> None:
    """Refuse to train if the processes found different checkpoints."""
    total = strategy.reduce("SUM", strategy.run(lambda: tf.constant(start, tf.int64)), axis=None)  # of all processes
    if int(total) != strategy.num_replicas_in_sync * start:
        raise CourseError(
            f"The processes found checkpoints of different steps; this one is at step {start}. All machines must "
            f"share the training folder {folder}."
        )


@contextmanager
def _explained_errors(training: ScaleTraining) -> Iterator[None]:
    """Explain the errors that TensorFlow raises during training."""
    try:
        yield
    except tf.errors.DataLossError as error:
        shard = find_damaged_shard(find_shards(training.records, "train")) or f"A shard in {training.records}"
        raise CourseError(
            f"{shard} is damaged. Delete it, and run `say-what-you-see records` again, which writes what is missing; "
            "training then goes on from its last checkpoint."
        ) from error
    except tf.errors.ResourceExhaustedError as error:
        raise CourseError(
            f"There is not enough memory for a batch of {training.batch_size} captions. Choose a smaller one "
            "(--batch-size), or smaller pictures (--side). Training goes on from its last checkpoint."
        ) from error
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        raise CourseError(
            f"Another worker has stopped or cannot be reached ({error.message.splitlines()[0]}). Start all of them "
            "again: they go on from the last checkpoint."
        ) from error
