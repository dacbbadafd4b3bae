"""How the course trains im2txt's model: sizes and steps that fit into minutes, and a report to compare it by."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.settings import Settings
from say_what_you_see.data.coco_format import DatasetFiles
from say_what_you_see.data.scenes.truth import SceneTruth
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.decoding.samplers import Greedy
from say_what_you_see.evaluation.comparison import ModelReport, captions_per_second
from say_what_you_see.evaluation.scale import EvaluationConfig, compile_sums
from say_what_you_see.evaluation.scene_scores import score_captions
from say_what_you_see.language.captions import UNK
from say_what_you_see.models.image_to_text import ScaleModelConfig, image_to_text_step_model
from say_what_you_see.training.scale.events import read_scalars
from say_what_you_see.training.scale.folder import BuildCnn, ScaleFolders, ScaleModel, model_config, scale_folders
from say_what_you_see.training.scale.record_input import batches
from say_what_you_see.training.scale.training import LearningRate, ScaleTraining
from say_what_you_see.vision.cnn import cnn_for, encoder_side_length
from say_what_you_see.vision.pictures import read_pictures

WHOLE_CAPTION = 1_000
"""More words than any caption has."""


@dataclass(frozen=True)
class ScaleLesson:
    """How notebook 09 trains."""

    side: int  # height and width of the images
    units: int  # size of LSTM and embeddings
    dropout: float  # rate of dropout at the inputs and outputs of the LSTM
    batch_size: int  # captions in a step
    steps: tuple[int, int]  # of phase 1 and of phase 2
    save_every: tuple[int, int]  # steps between checkpoints, each of which is evaluated
    evaluated_captions: int | None  # on so many validation captions; None is all
    rates: tuple[LearningRate, LearningRate]  # learning rates of phase 1 and of phase 2


def scale_lesson(settings: Settings) -> ScaleLesson:
    """Sizes and steps that fit the settings.

    On the scenes images have two thirds of the side that InceptionV3 was trained on, which makes a step more than
    twice as fast; at half the side it no longer tells the things apart. What reads its data once needs little dropout.
    The numbers for photographs are for a machine with a GPU: im2txt itself trained for 1,000,000 and 2,000,000 steps.
    """
    if settings.dataset == "scenes" or settings.small:
        rates = LearningRate(4e-3, decay_steps=100), LearningRate(1e-4, decay_steps=150, warm_up=20)
        if settings.small:
            return ScaleLesson(_side(settings, 75), 64, 0.1, 8, (4, 4), (4, 4), 32, rates)
        return ScaleLesson(_side(settings, 203), 256, 0.1, 32, (300, 100), (100, 50), 640, rates)
    rates = LearningRate(1e-3, decay_steps=20_000), LearningRate(5e-5, decay_steps=20_000, warm_up=200)
    return ScaleLesson(encoder_side_length(settings), 512, 0.3, 32, (40_000, 40_000), (2_000, 2_000), 4_000, rates)


def _side(settings: Settings, smaller: int) -> int:
    """A smaller side where the encoder is known to take one."""
    return smaller if settings.encoder == "inception_v3" else encoder_side_length(settings)


def lesson_model(settings: Settings, records: Path) -> tuple[ScaleModelConfig, BuildCnn]:
    """The configuration of the lesson's model, and what makes its CNN with the weights that it starts from."""
    lesson = scale_lesson(settings)
    sizes = {"embedding_size": lesson.units, "lstm_units": lesson.units, "dropout": lesson.dropout}
    config = model_config(records, settings.encoder_name, lesson.side, **sizes)
    return config, lambda: cnn_for(settings, lesson.side)


def lesson_training(
    settings: Settings, records: Path, phase: int, folders: ScaleFolders | None = None
) -> ScaleTraining:
    """How the lesson trains in phase 1 or 2."""
    lesson = scale_lesson(settings)
    return ScaleTraining(
        records, (folders or scale_folders(settings)).train, sum(lesson.steps[:phase]), lesson.batch_size,
        train_inception=phase == 2, learning_rate=lesson.rates[phase - 1], save_every=lesson.save_every[phase - 1],
        keep=1, log_every=10, seed=settings.seed,
    )  # fmt: skip


def lesson_evaluation(settings: Settings, records: Path, folders: ScaleFolders | None = None) -> EvaluationConfig:
    """What the lesson evaluates on."""
    folders = folders or scale_folders(settings)
    most = scale_lesson(settings).evaluated_captions
    return EvaluationConfig(records, folders.train, folders.evaluation, batch_size=64, most_captions=most)


def read_validation_images(settings: Settings, files: DatasetFiles, fns: list[str]) -> np.ndarray:
    """Validation images as the model takes them: (images, side, side, 3) from -1 to 1."""
    images = read_pictures(files.val_zip, fns, scale_lesson(settings).side)
    return np.stack(images).astype(np.float32) / 127.5 - 1


def demo_command(settings: Settings, records: Path, folder: Path, steps: int = 3) -> list[str]:
    """The command for the first steps of a small model: the same for any number of workers.

    Without dropout: which words are dropped depends on the device.
    """
    given = {
        "--records": records, "--folder": folder, "--steps": steps, "--side": _side(settings, 75), "--units": 64,
        "--dropout": 0, "--batch-size": 8, "--log-every": 1,
    }  # fmt: skip
    options = [str(part) for option in given.items() for part in option]
    return [sys.executable, "-m", "say_what_you_see", "train-records", *options]


# A report beside those of other models


def measure_scale_model(
    name: str,
    trained: ScaleModel,
    records: Path,
    images: np.ndarray,
    truths: list[SceneTruth] | None,
    training_seconds: float | None,
) -> ModelReport:
    """Measure im2txt's model as `say_what_you_see.evaluation.comparison.measure_model` measures the others.

    Two things differ, since this model reads pixels: the CNN counts among its parameters, and captions per second
    include its work.

    Args:
        images: (images, side, side, 3) from -1 to 1.
    """
    model, vocab = image_to_text_step_model(trained.model), trained.vocab
    sentences = generate_sentences(model, images, vocab, Greedy(), batch_size=64) if truths is not None else []
    return ModelReport(
        name,
        scores=score_captions(sentences, truths) if truths is not None else None,
        parameters=trained.model.count_params(),
        training_seconds=training_seconds,
        captions_per_second=captions_per_second(model, images, vocab, pictures=64),
        **measure_loss(trained, records),
    )


def measure_loss(trained: ScaleModel, records: Path) -> dict[str, Any]:
    """Over all validation captions, none cut: nats per word, and the numbers of words, unknown words and captions."""
    sums, totals = compile_sums(trained.model), np.zeros(4)
    for images, inputs, targets, mask in batches(records, "val", 64, trained.config.side, max_len=WHOLE_CAPTION):
        loss, _ = sums(images, inputs, targets, mask)
        real = mask.numpy() == 1
        unknown = (targets.numpy()[real] == trained.vocab[UNK]).sum()
        totals += [float(loss), real.sum(), unknown, real.any(axis=1).sum()]
    words, unknown, captions = (int(total) for total in totals[1:])
    return {"val_loss": float(totals[0]) / words, "words": words, "unknown": unknown, "captions": captions}


def seconds_of_training(folder: Path, batch_size: int) -> float:
    """How long a training took, by the scalars that it left: evaluation and interruptions do not count."""
    curves = read_scalars(folder)
    speeds, seconds, before = dict(curves.get("images_per_second", [])), 0.0, 0
    for step, _ in curves.get("loss", []):
        if step in speeds:
            seconds += (step - before) * batch_size / speeds[step]
        before = step
    return seconds
