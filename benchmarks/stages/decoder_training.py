"""Training decoders: every contender starts from the same weights and sees the same batches, without dropout.

The bottlenecked LSTM is trained at COCO's size; the decoders that look at regions, a transformer and attention with a
GRU, at the size of the photo model. The LSTM's gradients never reach the norm at which they are clipped, so it makes no
difference by which norm each contender clips.

Keras on TensorFlow adds the squares of a word vector's gradients to Adam's second moment one by one, others the square
of their sum. At this learning rate the losses of the first steps are the same nevertheless.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import decoder_work
from benchmarks.made_captions import draw_captions
from benchmarks.stage import Contender, Repetition, Sample, Stage, on_other_backends

MAX_LEN, LEARNING_RATE, CLIP, EPSILON, LABEL_SMOOTHING = 20, 1e-4, 5.0, 1e-7, 0.1
PAD, START, END = 0, 1, 2
CHECKED_LOSSES = 12
CAPTIONS_EACH = 5
BATCHES = {"decoder": (3000, 60, 64, 1), "transformer": (512, 8, 32, 5), "attention": (512, 8, 64, 1)}
"""By kind of decoder: pictures, steps, pictures in a batch, and captions of each picture."""


def make_work(kind: str, folder: Path, small: bool) -> dict:
    """Write a decoder's weights by their paths, features and captions, and the batches in order."""
    pictures, steps, *_ = (60, 12) if small else BATCHES[kind]
    work = {"kind": kind, "small": small, "folder": str(folder), "steps": steps}
    rng, model = np.random.default_rng(0), new_model(work)
    features = (rng.normal(size=(pictures, *model.inputs[0].shape[1:])) * 0.3 + 0.4).astype("float16")
    captions = draw_matrix(CAPTIONS_EACH * pictures, model.output.shape[-1], rng)
    np.savez(folder / "data.npz", features=features, captions=captions)
    if kind == "decoder":
        from say_what_you_see.models.bottleneck_lstm import fit_standardisation

        fit_standardisation(model, features)
    model.save_weights(folder / "start.weights.h5")
    np.savez(folder / "weights.npz", **{weight.path: np.asarray(weight) for weight in model.weights})
    batches = course_batches(work)
    chosen = [(*read, targets) for read, targets in (batches[step] for step in range(steps))]
    parts = zip(("features", "words", "targets"), zip(*chosen, strict=True), strict=True)
    np.savez(folder / "batches.npz", **{name: np.stack(part) for name, part in parts})
    return work


def draw_matrix(count: int, vocabulary: int, rng: np.random.Generator) -> np.ndarray:
    """The padded indices of random captions, (count, MAX_LEN)."""
    from say_what_you_see.language.captions import batch_captions_to_matrix

    drawn, lengths = draw_captions(count, vocabulary - 3, rng)
    captions = np.split(3 + drawn, np.cumsum(lengths)[:-1])
    return batch_captions_to_matrix([[START, *words, END] for words in captions], PAD, MAX_LEN)


def new_model(work: dict) -> Any:
    """The course's model of this kind, with the same weights every time."""
    from say_what_you_see.core.backend import keras
    from say_what_you_see.models.attention import build_visual_attention
    from say_what_you_see.models.bottleneck_lstm import build_decoder
    from say_what_you_see.models.transformer import build_transformer

    keras.utils.set_random_seed(0)
    if work["kind"] == "decoder":
        return build_decoder(**(decoder_work.SMALL if work["small"] else decoder_work.FULL))
    *sizes, units = (60, 4, 12, 16) if work["small"] else (2539, 81, 1280, 256)
    if work["kind"] == "transformer":
        return build_transformer(*sizes, units)
    return build_visual_attention(*sizes, units, 2 * units, 2 * units)


def course_batches(work: dict) -> Any:
    """The batches as the course draws them, with their examples and configuration."""
    from say_what_you_see.language.captions import CaptionArrays
    from say_what_you_see.training.config import TrainingConfig
    from say_what_you_see.training.examples import Examples, RandomBatches

    data = np.load(Path(work["folder"], "data.npz"))
    captions = CaptionArrays(data["captions"], np.arange(0, len(data["captions"]) + 1, CAPTIONS_EACH))
    *_, images, each = BATCHES[work["kind"]]
    config = TrainingConfig(
        epochs=1000, batch_size=8 if work["small"] else images, captions_per_image=each, max_len=MAX_LEN,
        label_smoothing=LABEL_SMOOTHING if work["kind"] == "transformer" else 0.0, learning_rate=LEARNING_RATE,
        schedule="constant",
    )  # fmt: skip
    batches = RandomBatches(Examples(data["features"], captions), config)
    batches.steps = work["steps"]
    return batches


def batches_in_order(work: dict) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The batches for contenders that do not draw them: features, words to read, words to predict."""
    return list(zip(*np.load(Path(work["folder"], "batches.npz")).values(), strict=True))


def first_losses(steps: int, run: Callable[[], tuple[Sequence[float], float | None]]) -> Repetition:
    """A repetition made from a function that trains on all batches once.

    The contenders' first losses are compared, those of the warm-up repetition.

    Args:
        run: returns losses, at least those of the first steps, and, if it also did other work, how long they took.
    """
    first: list[float] = []

    def repeat() -> Sample:
        losses, seconds = run()
        first.extend(map(float, losses[: CHECKED_LOSSES - len(first)]))
        return Sample(steps, list(first), seconds=seconds)

    return repeat


def train_with_fit(model: Any, *data: Any, callbacks: Sequence[Any] = (), **options: Any) -> tuple[list[float], float]:
    """Train with Keras for an epoch; returns the losses of the first steps, and how long all steps took.

    After the last step `fit` may wait for a thread of tf.data's autotuning, which sleeps for five seconds at a time:
    nothing when training takes minutes, but half of such a short run.
    """
    from say_what_you_see.core.backend import keras

    losses, ended = [], []

    def remember(batch: int, logs: dict) -> None:
        if batch < CHECKED_LOSSES:
            losses.append((batch + 1) * float(logs["loss"]) - sum(losses))  # Keras reports running means

    last = keras.callbacks.LambdaCallback(
        on_train_batch_end=remember, on_train_end=lambda logs: ended.append(time.perf_counter())
    )
    started = time.perf_counter()
    model.fit(*data, callbacks=[*callbacks, last], shuffle=False, verbose=0, **options)
    return losses, ended[0] - started


def course(work: dict, packed: bool = True) -> Repetition:
    """As in `train_decoder`, with its bookkeeping but without validation; `packed` leaves padding out."""
    from say_what_you_see.core.memory import keep_freed_memory
    from say_what_you_see.training.loop import EpochRecorder, compile_decoder, pack_training

    keep_freed_memory()
    decoder, batches = new_model(work), course_batches(work)
    examples, config = batches.examples, batches.config
    decoder.load_weights(Path(work["folder"], "start.weights.h5"))
    compile_decoder(decoder, config, PAD, work["steps"], packed)
    model, batches = pack_training(decoder, batches, PAD, config.label_smoothing) if packed else (decoder, batches)
    batches.on_epoch_end = lambda: None  # every repetition is the first epoch, on which the others train, too

    def run() -> tuple[list[float], float]:
        recorder = EpochRecorder(decoder, examples, config, PAD, None, [], None)
        recorder.on_epoch_end = lambda epoch, logs=None: recorder.close()
        return train_with_fit(model, batches, callbacks=[recorder])

    return first_losses(work["steps"], run)


def keras_fit(work: dict) -> Repetition:
    """As usual with Keras: `compile`, then `fit` on arrays; an option leaves padding out of the loss."""
    from say_what_you_see.core.backend import keras

    model = new_model(work)
    model.load_weights(Path(work["folder"], "start.weights.h5"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD)
    model.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=CLIP, epsilon=EPSILON), loss)
    batches = batches_in_order(work)
    *read, targets = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    size = len(batches[0][0])
    return first_losses(work["steps"], lambda: train_with_fit(model, read, targets, batch_size=size))


_COURSE = f"{__name__}:course"
_OF_THE_LSTM = (
    Contender("plain", "the course, padding computed", _COURSE, options={"packed": False}),
    Contender("keras_fit", "Keras fit", f"{__name__}:keras_fit", "peer"),
)


def _stage(kind: str, title: str, agreement: float, *more: Contender) -> Stage:
    return Stage(f"{kind}_training", title, "steps/s", partial(make_work, kind), (
        Contender("course", "the course: train_decoder", _COURSE),
        *more,
        Contender("torch", "PyTorch", "benchmarks.peers.torch_decoders:train", "peer", needs=("torch",)),
        *on_other_backends(_COURSE),
    ), agreement)  # fmt: skip


STAGES = (
    _stage("decoder", "Decoder training, vocabulary 8,769, batches of 64", 1e-3, *_OF_THE_LSTM),
    _stage("transformer", "Training a transformer on 81 regions, 32 pictures with 5 captions each in a batch", 2e-3),
    _stage("attention", "Training attention with a GRU on 81 regions, batches of 64 captions", 2e-3),
)
