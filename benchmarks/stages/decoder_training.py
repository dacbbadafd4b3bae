"""Training the decoder at COCO's size: every contender starts from the same weights and sees the same batches.

Gradients never reach the norm at which they are clipped, so that it makes no difference by what norm each clips.

Keras on TensorFlow puts the squares of a word vector's gradients into Adam's second moment one by one, others the
square of their sum. At this learning rate the losses of the first steps are the same all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.decoder_work import FULL as DECODER
from benchmarks.decoder_work import SMALL as SMALL_DECODER
from benchmarks.decoder_work import course_decoder, draw_weights
from benchmarks.made_captions import draw_captions
from benchmarks.stage import Contender, Repetition, Sample, Stage, on_other_backends

FULL = {**DECODER, "pictures": 3000, "batch": 64, "steps": 60}
SMALL = {**SMALL_DECODER, "pictures": 60, "batch": 8, "steps": 12}
MAX_LEN, LEARNING_RATE, CLIP, EPSILON = 20, 2e-4, 5.0, 1e-7
PAD, START, END = 0, 1, 2
CHECKED_LOSSES = 12
CAPTIONS_EACH = 5


def make_work(folder: Path, small: bool) -> dict:
    """Write the start's weights (npz, by names of Keras' layers), features, captions, and the batches in order."""
    from say_what_you_see.training.examples import RandomBatches

    sizes = SMALL if small else FULL
    rng = np.random.default_rng(0)
    work = {**sizes, "weights": str(folder / "weights.npz"), "data": str(folder / "data.npz")}
    features = (rng.normal(size=(sizes["pictures"], sizes["features"])) * 0.3 + 0.4).astype("float32")
    captions = draw_matrix(sizes["pictures"] * CAPTIONS_EACH, sizes["words"], rng)
    weights = draw_weights(sizes, rng, word_embedding=0.3)
    weights["lstm/2"][sizes["units"] : 2 * sizes["units"]] = 1  # the forget gate, as Keras begins
    standardise = {"standardise/0": features.mean(axis=0), "standardise/1": features.var(axis=0)}
    np.savez(work["weights"], **weights, **standardise)
    batches = RandomBatches(_examples(features, captions), _config(work))
    chosen = [batches[step] for step in range(sizes["steps"])]
    embeds = [embeds for (embeds, _), _ in chosen]
    sentences = [np.concatenate([words, targets[:, -1:]], axis=1) for (_, words), targets in chosen]
    np.savez(work["data"], features=features, captions=captions, embeds=embeds, sentences=sentences)
    return work


def draw_matrix(count: int, vocabulary: int, rng: np.random.Generator) -> np.ndarray:
    """Padded indices of captions, (count, MAX_LEN)."""
    drawn, lengths = draw_captions(count, vocabulary - 3, rng)
    place, first = np.arange(MAX_LEN), np.cumsum(lengths) - lengths
    words = 3 + drawn[np.minimum(first[:, None] + place - 1, len(drawn) - 1)]
    words[:, 0] = START
    words[place == lengths[:, None] + 1] = END
    words[place > lengths[:, None] + 1] = PAD
    return words.astype(np.int32)


def batches_in_order(work: dict) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The batches for those who have no generator: embeddings, words to read, words to predict."""
    data = np.load(work["data"])
    pairs = zip(data["embeds"], data["sentences"], strict=True)
    return [(embeds, indices[:, :-1], indices[:, 1:]) for embeds, indices in pairs]


def first_losses(steps: int, run: Callable[[], Sequence[float]]) -> Repetition:
    """A repetition out of a function that trains on all batches once and returns losses, at least of the first steps.

    Compared are the first ones of all, of the repetition that warms up.
    """
    first: list[float] = []

    def repeat() -> Sample:
        losses = run()
        first.extend(map(float, losses[: CHECKED_LOSSES - len(first)]))
        return Sample(steps, list(first))

    return repeat


def keras_losses() -> tuple[Any, list[float]]:
    """A callback for one epoch after another, and the list of the last one's first losses, which it fills."""
    from say_what_you_see.core.backend import keras

    def remember(batch: int, logs: dict) -> None:
        if batch < CHECKED_LOSSES:
            losses.append((batch + 1) * float(logs["loss"]) - sum(losses))  # Keras tells the mean up to each

    losses: list[float] = []
    clear = lambda epoch, logs: losses.clear()  # noqa: E731
    return keras.callbacks.LambdaCallback(on_epoch_begin=clear, on_train_batch_end=remember), losses


def course(work: dict, packed: bool = True) -> Repetition:
    """As `train_decoder` does it, bookkeeping included, without the validation; `packed` leaves padding out."""
    from say_what_you_see.training.examples import RandomBatches
    from say_what_you_see.training.loop import compile_decoder, pack_training

    data, config = np.load(work["data"]), _config(work)
    examples = _examples(data["features"], data["captions"])
    decoder, batches = loaded_decoder(work), RandomBatches(examples, config)
    batches.steps = work["steps"]
    compile_decoder(decoder, config, PAD, work["steps"], packed)
    model, batches = pack_training(decoder, batches, PAD) if packed else (decoder, batches)
    return fit_epochs(model, batches, decoder, examples, config)


def fit_epochs(model: Any, batches: Any, decoder: Any, examples: Any, config: Any) -> Repetition:
    """Repetitions of the first epoch, with the bookkeeping of `train_decoder` but for its validation."""
    from say_what_you_see.training.loop import EpochRecorder

    batches.on_epoch_end = lambda: None  # every repetition is the first epoch; the others train on that one, too
    remember, losses = keras_losses()

    def run() -> list[float]:
        recorder = EpochRecorder(decoder, examples, config, PAD, None, [], None)
        recorder.on_epoch_end = lambda epoch, logs=None: recorder.close()
        model.fit(batches, callbacks=[remember, recorder], shuffle=False, verbose=0)
        return losses

    return first_losses(len(batches), run)


def keras_fit(work: dict) -> Repetition:
    """As one trains it with Keras: `compile`, `fit` on arrays; an option leaves padding out of the loss."""
    from say_what_you_see.core.backend import keras

    model = loaded_decoder(work)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD)
    model.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=CLIP, epsilon=EPSILON), loss)
    embeds, words, targets = (np.concatenate(parts) for parts in zip(*batches_in_order(work), strict=True))
    remember, losses = keras_losses()

    def run() -> list[float]:
        model.fit([embeds, words], targets, work["batch"], shuffle=False, verbose=0, callbacks=[remember])
        return losses

    return first_losses(work["steps"], run)


def loaded_decoder(work: dict) -> Any:
    """The course's decoder with the weights of the start."""
    from say_what_you_see.models.bottleneck_lstm import fit_standardisation

    weights = {name: array for name, array in np.load(work["weights"]).items() if not name.startswith("standardise")}
    decoder = course_decoder(work, weights)
    fit_standardisation(decoder, np.load(work["data"])["features"])
    return decoder


def _examples(features: np.ndarray, captions: np.ndarray) -> Any:
    from say_what_you_see.language.captions import CaptionArrays
    from say_what_you_see.training.examples import Examples

    return Examples(features, CaptionArrays(captions, np.arange(0, len(captions) + 1, CAPTIONS_EACH)))


def _config(work: dict):
    from say_what_you_see.training.config import TrainingConfig

    return TrainingConfig(
        epochs=1000, batch_size=work["batch"], learning_rate=LEARNING_RATE, max_len=MAX_LEN,
        schedule="exponential", half_life=1e6,
    )  # fmt: skip


_COURSE = f"{__name__}:course"
_PEERS = "benchmarks.peers."
STAGES = (
    Stage("decoder_training", "Decoder training, vocabulary 8,769, batches of 64", "steps/s", make_work, (
        Contender("course", "the course: train_decoder", _COURSE),
        Contender("plain", "the course, padding computed", _COURSE, options={"packed": False}),
        Contender("keras_fit", "Keras fit", f"{__name__}:keras_fit", "peer"),
        Contender("tf1", "TensorFlow 1 style", f"{_PEERS}tf1_decoder_training:train", "peer", needs=("tf_keras",),
                  environ={"TF_USE_LEGACY_KERAS": "1"}),
        Contender("torch", "PyTorch", f"{_PEERS}torch_decoder_training:train", "peer", needs=("torch",)),
        *on_other_backends(_COURSE),
    ), agreement=1e-3),
)  # fmt: skip
