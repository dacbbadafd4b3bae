"""Trains the decoder: random batches, a record and a checkpoint after every epoch, resuming."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, read_json, write_json
from say_what_you_see.core.keras_files import check_weights_file
from say_what_you_see.core.progress import progress
from say_what_you_see.core.writing import check_is_no_folder, make_folder, write_errors_explained
from say_what_you_see.language.captions import CaptionArrays
from say_what_you_see.models.bottleneck_lstm import fit_standardisation, masked_accuracy, masked_crossentropy
from say_what_you_see.training.packed import QuickTrainee, pack_batch, quick_trainee

History = list[dict[str, float]]
Watch = Callable[[History], None]
Batch = tuple[tuple[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Examples:
    """Pictures with their captions: (pictures, features) embeddings, possibly memory-mapped, and packed captions."""

    image_embeds: np.ndarray
    captions: CaptionArrays

    def __post_init__(self) -> None:
        embedded, described = len(self.image_embeds), self.captions.n_images
        if embedded != described:
            raise CourseError(
                f"There are embeddings of {embedded} pictures but captions of {described}. "
                "Run notebooks 02 and 03 again, in this order."
            )


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        schedule: "cosine": the learning rate rises for half an epoch and falls to nothing along a cosine;
            "exponential": it starts at its highest and is halved every `half_life` epochs.
        max_len: captions are cut to this many indices, START and END included.
    """

    epochs: int
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    dropout: float = 0.0
    max_len: int = 20
    seed: int = 0
    schedule: str = "cosine"
    half_life: float = 2.0


def generate_batch(
    image_embeds: np.ndarray, captions: CaptionArrays, batch_size: int, rng: np.random.Generator, max_len: int = 20
) -> Batch:
    """A batch of random pictures, each with a random one of its captions.

    Args:
        image_embeds: (pictures, features).
        captions: the captions of the same pictures.
        max_len: captions are cut to this many indices, START and END included.

    Returns:
        ((embeddings, words but the last), words but the first): from each word the next is to be predicted.
    """
    pictures = rng.integers(captions.n_images, size=batch_size)
    sentences = captions.choose(pictures, rng)[:, :max_len].astype(np.int32)
    return (np.asarray(image_embeds[pictures], dtype=np.float32), sentences[:, :-1]), sentences[:, 1:]


class RandomBatches(keras.utils.PyDataset):
    """An epoch of random batches. A batch is a function of the seed and its number, so training can be resumed."""

    def __init__(self, examples: Examples, plan: TrainingConfig, first_epoch: int = 0) -> None:
        super().__init__()
        self.examples, self.plan = examples, plan
        self.epoch = first_epoch
        self.steps = max(1, len(examples.captions.matrix) // plan.batch_size)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.plan.seed, self.epoch, step])
        return generate_batch(
            self.examples.image_embeds, self.examples.captions, self.plan.batch_size, rng, self.plan.max_len
        )

    def on_epoch_end(self) -> None:
        self.epoch += 1


class PackedBatches(RandomBatches):
    """The same batches as a quick trainee reads them."""

    def __init__(self, examples: Examples, plan: TrainingConfig, first_epoch: int, trainee: QuickTrainee) -> None:
        super().__init__(examples, plan, first_epoch)
        self.trainee = trainee

    def __getitem__(self, step: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        (embeds, words), targets = super().__getitem__(step)
        return self.trainee.prepare(pack_batch(embeds, words, targets, self.trainee.pad_idx))


def compile_decoder(
    decoder: keras.Model, plan: TrainingConfig, pad_idx: int, steps_per_epoch: int, quick: bool = True
) -> None:
    """Give the decoder its loss, its accuracy and its optimizer, which is Keras' AdamW or does the same sooner."""
    schedule = learning_rate_schedule(plan, steps_per_epoch)
    if quick and keras.backend.backend() == "tensorflow":
        from say_what_you_see.training.packed_tensorflow import QuickAdamW

        optimizer = QuickAdamW(schedule, weight_decay=plan.weight_decay, clip=5.0)
    else:
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=plan.weight_decay, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    decoder.compile(optimizer, masked_crossentropy(pad_idx), metrics=[masked_accuracy(pad_idx)])
    optimizer.build(decoder.trainable_variables)


def learning_rate_schedule(
    plan: TrainingConfig, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate of each step."""
    schedules = keras.optimizers.schedules
    if plan.schedule == "exponential":
        return schedules.ExponentialDecay(plan.learning_rate, max(1, int(plan.half_life * steps_per_epoch)), 0.5)
    if plan.schedule != "cosine":
        raise ValueError(f"The schedule is {plan.schedule!r}. Possible are: cosine, exponential.")
    total, warm_up = plan.epochs * steps_per_epoch, steps_per_epoch // 2
    return schedules.CosineDecay(
        plan.learning_rate * 0.01,
        max(1, total - warm_up),
        alpha=0.01,
        warmup_target=plan.learning_rate,
        warmup_steps=warm_up,
    )


def evaluate_decoder(
    decoder: keras.Model, examples: Examples, pad_idx: int, max_len: int = 20, limit: int = 20_000
) -> dict[str, float]:
    """Loss in nats per real word and next-word accuracy over the captions, every real word counting the same.

    Args:
        limit: at most so many captions are read, evenly spread.
    """
    matrix, picture = examples.captions.matrix, examples.captions.image_of_caption()
    rows = np.arange(0, len(matrix), max(1, len(matrix) // limit))
    sums = np.zeros(3)
    for first in range(0, len(rows), 250):
        chosen = rows[first : first + 250]
        sentences = matrix[chosen, :max_len].astype(np.int32)
        embeds = np.asarray(examples.image_embeds[picture[chosen]], dtype=np.float32)
        loss, accuracy = decoder.test_on_batch([embeds, sentences[:, :-1]], sentences[:, 1:])
        words = (sentences[:, 1:] != pad_idx).sum()
        sums += [loss * words, accuracy * words, words]
        decoder.reset_metrics()
    return {"loss": float(sums[0] / sums[2]), "accuracy": float(sums[1] / sums[2])}


class EpochRecorder(keras.callbacks.Callback):
    """After every epoch: validation, a line in the history, a checkpoint; in between a progress bar."""

    def __init__(
        self,
        validation: Examples,
        plan: TrainingConfig,
        pad_idx: int,
        folder: Path | None,
        history: History,
        watch: Watch | None,
    ) -> None:
        super().__init__()
        self.validation, self.plan, self.pad_idx = validation, plan, pad_idx
        self.folder, self.history, self.watch = folder, history, watch
        self.bar: tqdm | None = None

    @property
    def decoder(self) -> keras.Model:
        """The decoder, whichever way it is trained."""
        return self.model.decoder if isinstance(self.model, QuickTrainee) else self.model

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        seed_dropout(self.decoder, self.plan.seed, epoch)
        self.started = time.perf_counter()
        description = f"epoch {epoch + 1}/{self.plan.epochs}"
        self.bar = progress(total=self.params["steps"], description=description, unit="step")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        scores = evaluate_decoder(self.decoder, self.validation, self.pad_idx, self.plan.max_len)
        seconds = time.perf_counter() - self.started
        self.history.append({
            "epoch": epoch + 1, "loss": float(logs["loss"]), "val_loss": scores["loss"],
            "val_accuracy": scores["accuracy"], "seconds": round(seconds, 1),
        })  # fmt: skip
        self.bar.set_postfix_str(f"loss {logs['loss']:.3f}, validation {scores['loss']:.3f}")
        self.bar.close()
        if self.folder:
            save_checkpoint(self.decoder, self.folder, self.history)
        if self.watch:
            self.watch(self.history)

    def close(self) -> None:
        """Finish the line of an epoch's bar, also where the epoch was interrupted."""
        if self.bar is not None:
            self.bar.close()


def seed_dropout(decoder: keras.Model, seed: int, epoch: int) -> None:
    """Make dropout a function of the seed and the epoch: checkpoints do not hold the state of its randomness."""
    for number, layer in enumerate(decoder.layers):
        if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
            start = np.random.SeedSequence([seed, epoch, number]).generate_state(1)[0]
            state = layer.seed_generator.state
            state.assign(np.array([start, 0]).astype(state.dtype))  # which on PyTorch has a sign
    if keras.config.backend() == "torch":  # its dropout draws from one source for all layers
        import torch

        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))


def checkpoint_path(folder: Path, epoch: int) -> Path:
    """Where the weights after an epoch are kept; epochs count from 1."""
    return folder / f"epoch_{epoch:03d}.weights.h5"


def save_checkpoint(decoder: keras.Model, folder: Path, history: History) -> None:
    """Save the weights, the optimizer's state and the history after an epoch.

    Weights are kept of the last two epochs only: the one to go on from, and one more should it get lost.
    """
    with atomic_path(checkpoint_path(folder, history[-1]["epoch"])) as partial:
        decoder.save_weights(partial)
    write_json(history, folder / "history.json")
    kept = {checkpoint_path(folder, record["epoch"]) for record in history[-2:]}
    for path in set(folder.glob("epoch_*.weights.h5")) - kept:
        path.unlink()


def restore_checkpoint(decoder: keras.Model, folder: Path) -> History:
    """Load the latest checkpoint of a folder; returns the history up to it, empty when there is none.

    One that is damaged is named, and training goes on from the one before.

    Raises:
        CourseError: if the history is damaged.
    """
    history = read_history(folder / "history.json")
    while history and not load_checkpoint(decoder, checkpoint_path(folder, history[-1]["epoch"])):
        history.pop()
    return history


def load_checkpoint(decoder: keras.Model, path: Path) -> bool:
    """Load weights and, if the decoder is compiled, the optimizer's state; returns whether the file is there and whole.

    Where it is not, the decoder stays as it was.
    """
    if not path.exists():
        return False
    variables = [*decoder.weights, *getattr(getattr(decoder, "optimizer", None), "variables", [])]
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    try:
        check_weights_file(path)
        decoder.load_weights(path)
        return True
    except Exception as error:  # a damaged file can raise nearly anything
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        print(f"{path} is damaged ({type(error).__name__}): the checkpoint before it is taken.")
        return False


def read_history(path: Path) -> History:
    """The history that a training keeps beside its checkpoints, empty if there is none yet.

    Raises:
        CourseError: if it is damaged.
    """
    if not path.exists():
        return []
    history = _read_whole(path, list)
    for epoch, record in enumerate(history, 1):
        numbers = [record.get(key) for key in ("epoch", "loss", "val_loss", "val_accuracy")]
        numbers.append(record.get("seconds", 0))
        if numbers[0] != epoch or not all(isinstance(number, (int, float)) for number in numbers):
            raise _damaged(path)
    return history


def _read_whole(path: Path, kind: type) -> Any:
    """JSON that holds a list of dictionaries or a dictionary, whichever is wanted."""
    try:
        found = read_json(path)
    except CourseError as error:
        raise _damaged(path) from error
    if not isinstance(found, kind) or (kind is list and not all(isinstance(record, dict) for record in found)):
        raise _damaged(path)
    return found


def _damaged(path: Path) -> CourseError:
    return CourseError(
        f"{path} is damaged, and without it training cannot go on from the checkpoints beside it. "
        f"Bring a whole copy, or remove {path.parent} to train anew."
    )


def train_decoder(
    decoder: keras.Model,
    train: Examples,
    validation: Examples,
    plan: TrainingConfig,
    pad_idx: int,
    folder: Path | None = None,
    watch: Watch | None = None,
    quick: bool = True,
) -> History:
    """Train a decoder; with a folder it leaves a checkpoint after every epoch and goes on from the last one.

    Args:
        folder: where checkpoints are kept; None keeps none.
        watch: called with the history after every epoch, and first with that of a training that is resumed.
        quick: leave out work that changes nothing, where that is possible (see `say_what_you_see.training.packed`).

    Returns:
        For each epoch its number, loss, validation loss and accuracy, and seconds.
    """
    batches = RandomBatches(train, plan)
    compile_decoder(decoder, plan, pad_idx, len(batches), quick)
    history = start_or_resume(decoder, train, plan, folder)
    batches.epoch = len(history)
    if watch and history:
        watch(history)
    if len(history) < plan.epochs:
        options = {"initial_epoch": len(history), "epochs": plan.epochs, "shuffle": False, "verbose": 0}
        model, batches = quickened(decoder, batches, pad_idx) if quick else (decoder, batches)
        with closing(EpochRecorder(validation, plan, pad_idx, folder, history, watch)) as recorder:
            model.fit(batches, callbacks=[recorder], **options)
    return history


def quickened(decoder: keras.Model, batches: RandomBatches, pad_idx: int) -> tuple[keras.Model, RandomBatches]:
    """What to train, on which batches, so that a compiled decoder gets the same weights sooner; if need be, itself."""
    (embeds, words), targets = batches[0]
    trainee = quick_trainee(decoder, pad_idx, pack_batch(embeds, words, targets, pad_idx))
    if trainee is None:
        return decoder, batches
    trainee.compile(decoder.optimizer)
    return trainee, PackedBatches(batches.examples, batches.plan, batches.epoch, trainee)


def start_or_resume(decoder: keras.Model, train: Examples, plan: TrainingConfig, folder: Path | None) -> History:
    """Bring a compiled decoder to where its training stopped, or to the start; returns the history so far.

    A folder whose checkpoints belong to another plan or other data is started anew.
    """
    if folder:
        prepare_checkpoint_folder(folder, fingerprint(decoder, train, plan))
        history = restore_checkpoint(decoder, folder)
        if history:
            return history
    if any(layer.name == "standardise" for layer in decoder.layers):
        fit_standardisation(decoder, train.image_embeds)
    return []


def fingerprint(decoder: keras.Model, train: Examples, plan: TrainingConfig) -> str:
    """What checkpoints must agree on to be continued: plan, architecture, captions and some of the features."""
    digest = hashlib.sha256(json.dumps(asdict(plan), sort_keys=True).encode())
    digest.update(json.dumps([list(weight.shape) for weight in decoder.weights]).encode())
    for array in (train.captions.matrix, train.captions.first):
        digest.update(np.ascontiguousarray(array))  # without a copy
    digest.update(np.ascontiguousarray(train.image_embeds[:: max(1, len(train.image_embeds) // 50)]).tobytes())
    return digest.hexdigest()


def prepare_checkpoint_folder(folder: Path, plan_fingerprint: str) -> None:
    """Empty a folder of checkpoints that belong to another training.

    Raises:
        CourseError: if the note that says which training they belong to is damaged.
    """
    make_folder(folder)
    marker = folder / "training.json"
    if marker.exists() and _read_whole(marker, dict).get("fingerprint") == plan_fingerprint:
        return
    for path in [*folder.glob("epoch_*.weights.h5"), folder / "history.json"]:
        check_is_no_folder(path)
        with write_errors_explained(path):
            path.unlink(missing_ok=True)
    write_json({"fingerprint": plan_fingerprint}, marker)


def take_images(examples: Examples, pictures: Sequence[int]) -> Examples:
    """The examples of some of the pictures only, in the given order."""
    first, matrix = examples.captions.first, examples.captions.matrix
    rows = [np.arange(first[picture], first[picture + 1]) for picture in pictures]
    captions = CaptionArrays(matrix[np.concatenate(rows)], np.cumsum([0, *map(len, rows)]))
    return Examples(np.asarray(examples.image_embeds[np.asarray(pictures)]), captions)


def shuffle_images(examples: Examples, seed: int = 0) -> Examples:
    """The control: every picture gets the captions of another one, the embeddings stay where they are.

    The pictures stand in a random circle, and each takes the captions of its neighbour: none keeps its own.
    """
    captions = examples.captions
    circle = np.random.default_rng(seed).permutation(captions.n_images)
    neighbour = np.empty_like(circle)
    neighbour[circle] = np.roll(circle, 1)
    rows = [np.arange(captions.first[picture], captions.first[picture + 1]) for picture in neighbour]
    first = np.cumsum([0, *map(len, rows)])
    return Examples(examples.image_embeds, CaptionArrays(captions.matrix[np.concatenate(rows)], first))
