"""Training the decoders that look at regions, at the size of the photo model: transformer, and attention with a GRU.

All start from the same weights and see the same batches, without dropout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stage import Contender, Repetition, Stage, on_other_backends
from benchmarks.stages.decoder_training import CLIP, PAD, draw_matrix, first_losses, fit_epochs

FULL = {"words": 2539, "regions": 81, "features": 1280, "units": 256, "pictures": 512, "steps": 8}
SMALL = {"words": 60, "regions": 4, "features": 12, "units": 16, "pictures": 40, "steps": 3}
LABEL_SMOOTHING, LEARNING_RATE, CAPTIONS_EACH = 0.1, 1e-4, 5
BATCHES = {"transformer": (32, 5), "attention": (64, 1)}
"""Pictures in a batch, and captions of each."""


def make_work(folder: Path, small: bool) -> dict:
    """Write features and captions, the weights of both models by their names, and the batches in order."""
    sizes, rng = SMALL if small else FULL, np.random.default_rng(0)
    work = {**sizes, "folder": str(folder)}
    features = (rng.normal(size=(sizes["pictures"], sizes["regions"], sizes["features"])) * 0.3 + 0.4).astype("float16")
    np.savez(folder / "data.npz", features=features, captions=draw_matrix(5 * sizes["pictures"], sizes["words"], rng))
    for kind in BATCHES:
        model, batches = new_model(work, kind), course_batches(work, kind)[0]
        np.savez(folder / f"{kind}.npz", **{weight.path: np.asarray(weight) for weight in model.weights})
        parts = [(features.astype("float16"), words, targets) for (features, words), targets in batches]
        parts = (np.stack(part) for part in zip(*parts, strict=True))
        np.savez(folder / f"{kind}_batches.npz", **dict(zip(("features", "words", "targets"), parts, strict=True)))
    return work


def new_model(work: dict, kind: str) -> Any:
    """The course's model of a kind; the same weights every time."""
    from say_what_you_see.core.backend import keras
    from say_what_you_see.models.attention import build_visual_attention
    from say_what_you_see.models.transformer import build_transformer

    keras.utils.set_random_seed(0)
    if kind == "transformer":
        return build_transformer(work["words"], work["regions"], work["features"], work["units"])
    units = 2 * work["units"]
    return build_visual_attention(work["words"], work["regions"], work["features"], work["units"], units, units)


def course_batches(work: dict, kind: str) -> tuple[list, Any, Any]:
    """An epoch's batches as the course draws them, the configuration, and the examples."""
    from say_what_you_see.language.captions import CaptionArrays
    from say_what_you_see.training.config import TrainingConfig
    from say_what_you_see.training.examples import Examples, RandomBatches

    data = np.load(Path(work["folder"]) / "data.npz")
    captions = CaptionArrays(data["captions"], np.arange(0, len(data["captions"]) + 1, CAPTIONS_EACH))
    images, each = BATCHES[kind]
    config = TrainingConfig(
        epochs=1000, batch_size=images, captions_per_image=each, label_smoothing=LABEL_SMOOTHING,
        learning_rate=LEARNING_RATE, schedule="constant",
    )  # fmt: skip
    examples = Examples(data["features"], captions)
    batches = RandomBatches(examples, config)
    return [batches[step] for step in range(work["steps"])], config, examples


def course(work: dict, kind: str) -> Repetition:
    """As `train_decoder` does it, bookkeeping included, without the validation."""
    from say_what_you_see.core.memory import keep_freed_memory
    from say_what_you_see.training.examples import RandomBatches
    from say_what_you_see.training.loop import compile_decoder

    keep_freed_memory()
    _, config, examples = course_batches(work, kind)
    decoder, batches = new_model(work, kind), RandomBatches(examples, config)
    decoder.set_weights(list(np.load(Path(work["folder"]) / f"{kind}.npz").values()))
    batches.steps = work["steps"]
    compile_decoder(decoder, config, PAD, work["steps"])
    return fit_epochs(decoder, batches, decoder, examples, config)


def pytorch(work: dict, kind: str) -> Repetition:
    """The same models in PyTorch, with AdamW in one fused operation."""
    from benchmarks.peers.torch_grid_decoders import train

    return first_losses(work["steps"], train(work, kind, LEARNING_RATE, CLIP, LABEL_SMOOTHING, PAD))


def _stage(kind: str, title: str) -> Stage:
    own, options = f"{__name__}:course", {"kind": kind}
    return Stage(f"{kind}_training", title, "steps/s", make_work, (
        Contender("course", "the course: train_decoder", own, options=options),
        Contender("torch", "PyTorch", f"{__name__}:pytorch", "peer", options, ("torch",)),
        *on_other_backends(own, kind=kind),
    ), agreement=2e-3)  # fmt: skip


STAGES = (
    _stage("transformer", "Training a transformer on 81 regions, 32 pictures with 5 captions each in a batch"),
    _stage("attention", "Training attention with a GRU on 81 regions, batches of 64 captions"),
)
