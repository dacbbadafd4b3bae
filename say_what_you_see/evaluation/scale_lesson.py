"""How the course trains im2txt's model: sizes and steps that fit into minutes."""

import sys
from dataclasses import dataclass
from pathlib import Path

from say_what_you_see.core.settings import Settings
from say_what_you_see.evaluation.scale import EvaluationConfig
from say_what_you_see.models.image_to_text import ScaleModelConfig
from say_what_you_see.training.scale.folder import BuildCnn, ScaleFolders, model_config, scale_folders
from say_what_you_see.training.scale.training import LearningRate, ScaleTraining
from say_what_you_see.vision.cnn import cnn_for, encoder_side_length


@dataclass(frozen=True)
class ScaleLesson:
    """How notebook 09 trains."""

    side: int  # height and width of the images
    units: int  # size of LSTM and embeddings
    dropout: float  # rate of dropout at the inputs and outputs of the LSTM
    batch_size: int  # captions in a step
    steps: tuple[int, int]  # of phase 1 and of phase 2
    save_every: tuple[int, int]  # steps between checkpoints, each of which is evaluated
    evaluated_captions: int | None  # at most this many validation captions; None is all
    rates: tuple[LearningRate, LearningRate]  # learning rates of phase 1 and of phase 2


def scale_lesson(settings: Settings) -> ScaleLesson:
    """Sizes and steps that fit the settings.

    On the scenes images have two thirds of the side that InceptionV3 was trained on, which makes a step more than
    twice as fast; at half the side it no longer tells the things apart. Data that is read once needs little dropout.
    The numbers for photographs are for a machine with a GPU: im2txt itself trained for 1,000,000 and 2,000,000 steps.
    """
    if settings.dataset == "scenes" or settings.small:
        rates = LearningRate(4e-3, decay_steps=100), LearningRate(1e-4, decay_steps=150, warm_up=20)
        if settings.small:
            return ScaleLesson(_side(settings, 75), 64, 0.1, 8, (4, 4), (4, 4), 32, rates)
        return ScaleLesson(_side(settings, 203), 256, 0.1, 32, (160, 40), (80, 20), 640, rates)
    rates = LearningRate(1e-3, decay_steps=20_000), LearningRate(5e-5, decay_steps=20_000, warm_up=200)
    return ScaleLesson(encoder_side_length(settings), 512, 0.3, 32, (40_000, 40_000), (2_000, 2_000), 4_000, rates)


def _side(settings: Settings, smaller: int) -> int:
    """The smaller side if the encoder is known to accept it."""
    return smaller if settings.encoder == "inception_v3" else encoder_side_length(settings)


def lesson_model(settings: Settings, records: Path) -> tuple[ScaleModelConfig, BuildCnn]:
    """The configuration of the lesson's model, and a function that builds its CNN with the first weights."""
    lesson = scale_lesson(settings)
    sizes = {"embedding_size": lesson.units, "lstm_units": lesson.units, "dropout": lesson.dropout}
    config = model_config(records, settings.encoder_name, lesson.side, **sizes)
    return config, lambda: cnn_for(settings, lesson.side)


def lesson_training(settings: Settings, records: Path, phase: int) -> ScaleTraining:
    """How the lesson trains in phase 1 or 2."""
    lesson = scale_lesson(settings)
    return ScaleTraining(
        records, scale_folders(settings).train, sum(lesson.steps[:phase]), lesson.rates[phase - 1], lesson.batch_size,
        train_inception=phase == 2, save_every=lesson.save_every[phase - 1], keep=1, log_every=10, seed=settings.seed,
    )  # fmt: skip


def lesson_evaluation(settings: Settings, records: Path, folders: ScaleFolders | None = None) -> EvaluationConfig:
    """What the lesson evaluates on."""
    folders, most = folders or scale_folders(settings), scale_lesson(settings).evaluated_captions
    return EvaluationConfig(records, folders.train, folders.evaluation, batch_size=64, most_captions=most)


def demo_command(settings: Settings, records: Path, folder: Path) -> list[str]:
    """The command for the first steps of a small model: the same for any number of workers.

    It has no dropout, which would depend on the device.
    """
    sizes = f"--steps 3 --side {_side(settings, 75)} --units 64 --dropout 0 --batch-size 8 --log-every 1"
    command = [sys.executable, "-m", "say_what_you_see", "train-records", *sizes.split()]
    return [*command, "--records", str(records), "--folder", str(folder)]
