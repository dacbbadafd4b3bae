"""Trains a decoder: random batches, and after every epoch validation, an entry in the history and a checkpoint."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.memory import keep_freed_memory
from say_what_you_see.core.progress import progress
from say_what_you_see.models.bottleneck_lstm import fit_standardisation
from say_what_you_see.training.checkpoints import (
    History,
    prepare_checkpoint_folder,
    restore_checkpoint,
    save_checkpoint,
)
from say_what_you_see.training.config import TrainingConfig, learning_rate_schedule
from say_what_you_see.training.examples import Examples, RandomBatches
from say_what_you_see.training.losses import masked_accuracy, masked_crossentropy, smoothed_crossentropy
from say_what_you_see.training.packed.choice import choose_packed_decoder
from say_what_you_see.training.packed.decoder import PackedBatches, pack_batch

HistoryCallback = Callable[[History], None]


def compile_decoder(
    decoder: keras.Model,
    config: TrainingConfig,
    pad_idx: int,
    steps_per_epoch: int,
    quick: bool = True,
    objective: Callable | None = None,
) -> None:
    """Give a decoder its loss, its accuracy and its optimizer: Keras' AdamW, or a faster one with equal results.

    Args:
        objective: a loss to train with instead of cross-entropy, which is then only measured.
    """
    schedule = learning_rate_schedule(config, steps_per_epoch)
    if quick and keras.backend.backend() == "tensorflow":
        from say_what_you_see.training.packed.tensorflow import FusedAdamW

        optimizer = FusedAdamW(schedule, weight_decay=config.weight_decay, clip=5.0)
    else:
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    loss, accuracy = masked_crossentropy(pad_idx), masked_accuracy(pad_idx)
    if objective:
        crossentropy = keras.metrics.MeanMetricWrapper(loss, "crossentropy")  # named, or it would replace the loss
        decoder.compile(optimizer, objective, metrics=[accuracy, crossentropy])
    elif config.label_smoothing:
        decoder.compile(optimizer, smoothed_crossentropy(pad_idx, config.label_smoothing), metrics=[accuracy, loss])
    else:
        decoder.compile(optimizer, loss, metrics=[accuracy])
    optimizer.build(decoder.trainable_variables)


def evaluate_decoder(
    decoder: keras.Model, examples: Examples, pad_idx: int, max_len: int = 20, limit: int = 20_000
) -> dict[str, float]:
    """Loss in nats per real word and next-word accuracy of a compiled decoder, each real word with the same weight.

    Args:
        limit: fewer than twice this many captions are read, evenly spread.
    """
    matrix, image = examples.captions.matrix, examples.captions.image_of_caption()
    captions = np.arange(0, len(matrix), max(1, len(matrix) // limit))
    sums = np.zeros(3)
    for first in range(0, len(captions), 250):
        batch = captions[first : first + 250]
        sentences = matrix[batch, :max_len].astype(np.int32)
        embeds = np.asarray(examples.image_embeds[image[batch]], dtype=np.float32)
        loss, accuracy, *unsmoothed = decoder.test_on_batch([embeds, sentences[:, :-1]], sentences[:, 1:])
        loss = unsmoothed[0] if unsmoothed else loss
        words = (sentences[:, 1:] != pad_idx).sum()
        sums += [loss * words, accuracy * words, words]
        decoder.reset_metrics()
    return {"loss": float(sums[0] / sums[2]), "accuracy": float(sums[1] / sums[2])}


@dataclass(eq=False)
class EpochRecorder(keras.callbacks.Callback):
    """Shows progress; after every epoch it validates, adds to the history and saves a checkpoint."""

    decoder: keras.Model
    validation: Examples
    config: TrainingConfig
    pad_idx: int
    folder: Path | None
    history: History
    callback: HistoryCallback | None
    measure: Callable[[], dict[str, float]] = dict  # makes further entries of an epoch in the history

    def __post_init__(self) -> None:
        super().__init__()
        self.bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        seed_dropout(self.decoder, self.config.seed, epoch)
        self.started = time.perf_counter()
        if self.bar is None:  # one bar for the whole training
            self.bar = progress(total=self.config.epochs * self.params["steps"], unit="step")
            self.bar.initial = self.bar.n = epoch * self.params["steps"]
        self.bar.set_description(f"epoch {epoch + 1}/{self.config.epochs}", refresh=False)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        scores = evaluate_decoder(self.decoder, self.validation, self.pad_idx, self.config.max_len)
        measured = self.measure()
        seconds = time.perf_counter() - self.started
        self.history.append({
            "epoch": epoch + 1, "loss": float(logs["loss"]), "val_loss": scores["loss"],
            "val_accuracy": scores["accuracy"], **measured, "seconds": round(seconds, 1),
        })  # fmt: skip
        self.bar.set_postfix_str(f"loss {logs['loss']:.3f}, validation {scores['loss']:.3f}")
        if self.folder:
            save_checkpoint(self.decoder, self.folder, self.history)
        if self.callback:
            self.callback(self.history)

    def close(self) -> None:
        """End the line of the progress bar, even if the training was interrupted."""
        if self.bar is not None:
            self.bar.close()


def seed_dropout(decoder: keras.Model, seed: int, epoch: int) -> None:
    """Make dropout a function of the seed and the epoch: checkpoints do not hold the state of its generators."""
    for number, layer in enumerate(decoder.layers):
        generators = [variable for variable in layer.variables if "seed_generator" in variable.path]
        for generator, state in enumerate(generators):
            start = np.random.SeedSequence([seed, epoch, number, *[generator][:generator]]).generate_state(1)[0]
            state.assign(np.array([start, 0]).astype(state.dtype))  # signed on PyTorch
    if keras.config.backend() == "torch":  # all its layers draw from one generator
        import torch

        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))


def train_decoder(
    decoder: keras.Model,
    train: Examples,
    validation: Examples,
    config: TrainingConfig,
    pad_idx: int,
    folder: Path | None = None,
    callback: HistoryCallback | None = None,
    quick: bool = True,
) -> History:
    """Train a decoder; with a folder, save a checkpoint after every epoch and go on from the last one.

    Args:
        folder: where checkpoints are kept; None keeps none.
        callback: called with the history after every epoch, and once at the start of a training that is resumed.
        quick: skip work that changes nothing, where possible (see `say_what_you_see.training.packed`).

    Returns:
        For each epoch its number, loss, validation loss and accuracy, and seconds.
    """
    keep_freed_memory()
    batches = RandomBatches(train, config, pad_idx=pad_idx)
    compile_decoder(decoder, config, pad_idx, len(batches), quick)
    history = start_or_resume(decoder, train, config, folder)
    batches.epoch = done = len(history)
    if callback and history:
        callback(history)
    if done < config.epochs:
        smoothing = config.label_smoothing
        model, batches = pack_training(decoder, batches, pad_idx, smoothing) if quick else (decoder, batches)
        with closing(EpochRecorder(decoder, validation, config, pad_idx, folder, history, callback)) as recorder:
            model.fit(batches, initial_epoch=done, epochs=config.epochs, callbacks=[recorder], shuffle=False, verbose=0)
    return history


def pack_training(
    decoder: keras.Model, batches: RandomBatches, pad_idx: int, label_smoothing: float = 0.0
) -> tuple[keras.Model, keras.utils.PyDataset]:
    """The fastest model and batches that train a compiled decoder to the same weights; if need be, those given."""
    packed = choose_packed_decoder(decoder, pad_idx, pack_batch(batches[0], pad_idx), label_smoothing)
    if packed is None:
        return decoder, batches
    packed.compile(decoder.optimizer)
    return packed, PackedBatches(batches, packed)


def start_or_resume(decoder: keras.Model, train: Examples, config: TrainingConfig, folder: Path | None) -> History:
    """Bring a compiled decoder to where its training stopped, or to its start; returns the history so far.

    A folder whose checkpoints belong to another configuration or other data is started anew.
    """
    if folder:
        prepare_checkpoint_folder(folder, fingerprint(decoder, train, config))
        history = restore_checkpoint(decoder, folder)
        if history:
            return history
    if any(layer.name == "standardise" for layer in decoder.layers):
        fit_standardisation(decoder, train.image_embeds)
    return []


def fingerprint(decoder: keras.Model, train: Examples, config: TrainingConfig) -> str:
    """What must be equal for a training to be resumed: configuration, shapes, captions and some of the features."""
    # older checkpoints know nothing of these
    later = {"label_smoothing": 0.0, "captions_per_image": 1, "similar_lengths": False, "crossentropy_weight": 0.0}
    numbers = {key: value for key, value in asdict(config).items() if later.get(key, ...) != value}
    digest = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode())
    digest.update(json.dumps([list(weight.shape) for weight in decoder.weights]).encode())
    for array in (train.captions.matrix, train.captions.first):
        digest.update(np.ascontiguousarray(array).data)  # without a copy
    digest.update(np.ascontiguousarray(train.image_embeds[:: max(1, len(train.image_embeds) // 50)]).tobytes())
    return digest.hexdigest()
