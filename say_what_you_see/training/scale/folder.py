"""The training folder of im2txt's model: checkpoints, and everything needed to use them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow as tf

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_folder, atomic_path, make_folder, read_json, sha256_of, write_json
from say_what_you_see.core.keras_files import check_config as check_keras_config
from say_what_you_see.core.settings import Settings
from say_what_you_see.models.image_to_text import ScaleModelConfig, build_scale_model
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.models.show_and_tell import show_and_tell_step_model
from say_what_you_see.training.scale.record_vocabulary import WORD_COUNTS_FILE, read_word_counts

FORMAT = 1
CONFIG_FILE, CNN_FILE = "config.json", "cnn.json"
CHECKPOINT_NAME = "ckpt"

BuildCnn = Callable[[], keras.Model]
"""Makes the network that looks at the image, with its initial weights."""


@dataclass(frozen=True)
class ScaleFolders:
    """Where `train-records` and `evaluate-records` keep their files: TensorBoard finds both below `base`."""

    base: Path

    @property
    def train(self) -> Path:
        """Checkpoints, and the scalars of training."""
        return self.base / "train"

    @property
    def evaluation(self) -> Path:
        """The scalars, images and captions of evaluation."""
        return self.base / "eval"

    def beside(self, name: str) -> ScaleFolders:
        """Folders of another training on the same records, such as a control."""
        return ScaleFolders(self.base.with_name(f"{self.base.name}_{name}"))


def scale_folders(settings: Settings) -> ScaleFolders:
    """The folders of the settings."""
    return ScaleFolders(settings.work_folder / "im2txt")


def model_config(records: Path, cnn_name: str, side: int, **sizes: Any) -> ScaleModelConfig:
    """The configuration of a model for these records."""
    path = Path(records) / WORD_COUNTS_FILE
    size = 1 + max(read_word_counts(path).values())
    return ScaleModelConfig(size, sha256_of(path), cnn_name, side, **sizes)


def prepare_training_folder(folder: Path, config: ScaleModelConfig, cnn: keras.Model, records: Path) -> None:
    """Write what it takes to use the checkpoints beside them: sizes, the CNN's architecture and the vocabulary."""
    make_folder(folder)
    with atomic_path(folder / WORD_COUNTS_FILE) as partial:
        shutil.copyfile(records / WORD_COUNTS_FILE, partial)
    write_json(json.loads(cnn.to_json()), folder / CNN_FILE)
    write_json({"format": FORMAT, "model": asdict(config)}, folder / CONFIG_FILE)


def read_config(folder: Path) -> ScaleModelConfig:
    """The sizes of the model whose checkpoints are in a folder."""
    path = folder / CONFIG_FILE
    if not path.exists():
        raise CourseError(
            f"There is no {CONFIG_FILE} in {folder}, so it was not written by `say-what-you-see train-records`, or is "
            "incomplete. Name the right folder, or get a complete copy."
        )
    content = read_json(path)
    with suppress(KeyError, TypeError):
        config = ScaleModelConfig(**content["model"])
        types = {"cnn": str, "vocabulary_sha256": str, "dropout": int | float}
        if content["format"] == FORMAT and all(isinstance(v, types.get(k, int)) for k, v in asdict(config).items()):
            return config
    raise CourseError(f"{path} is of a format that this version of the course does not know.")


def read_cnn(folder: Path) -> keras.Model:
    """The architecture of the CNN, with random weights: the trained ones are in the checkpoints."""
    try:
        description = read_json(folder / CNN_FILE)
        check_keras_config(description)
        return keras.models.model_from_json(json.dumps(description))
    except Exception as error:  # a damaged description can raise nearly anything
        raise CourseError(f"{folder / CNN_FILE} is missing or damaged. Get a complete copy of the folder.") from error


def check_config(folder: Path, config: ScaleModelConfig, records: Path) -> None:
    """Refuse to go on from checkpoints of another model."""
    kept = read_config(folder)
    check_vocabulary(folder, kept, records)
    for name, before in asdict(kept).items():
        now = getattr(config, name)
        if before != now:
            raise CourseError(
                f"The checkpoints in {folder} are of a model with {name} {before}, not {now}. "
                f"Give {before} again, or choose another training folder."
            )


def check_vocabulary(folder: Path, kept: ScaleModelConfig, records: Path) -> None:
    """Refuse records with another vocabulary than that of the checkpoints in a folder."""
    path = Path(records) / WORD_COUNTS_FILE
    if not path.exists():
        raise CourseError(f"There is no {path}. Run `say-what-you-see records` first.")
    if sha256_of(path) != kept.vocabulary_sha256:
        raise CourseError(
            f"{path} is not the vocabulary that the checkpoints in {folder} were trained with: its ids stand for "
            f"other words. Use the records that they belong to (their vocabulary is {folder / WORD_COUNTS_FILE}), "
            "or choose another training folder."
        )


def copy_folder(folder: Path, copy: Path) -> None:
    """Copy a training folder, to continue the training in another way; an existing copy is kept."""
    if copy.exists():
        return
    find_checkpoint(folder)
    with atomic_folder(copy) as partial:
        shutil.copytree(folder, partial, dirs_exist_ok=True)


# Checkpoints


def find_checkpoint(path: Path) -> str:
    """The checkpoint that a path stands for: that checkpoint itself, or the latest of a folder.

    Args:
        path: a folder, or a checkpoint such as `train/ckpt-200` (with or without `.index`).
    """
    path = Path(path)
    if path.is_dir():
        latest = latest_checkpoint(path)
        if latest is None:
            raise CourseError(
                f"There is no checkpoint in {path} yet. `say-what-you-see train-records` writes one; to use a single "
                "checkpoint that was copied there, give its own path."
            )
        return latest
    prefix = str(path).removesuffix(".index")
    if not _exists(prefix):
        raise CourseError(f"There is no checkpoint {path}. Name a folder that `train-records` wrote, or one in it.")
    return prefix


def latest_checkpoint(folder: Path) -> str | None:
    """The latest checkpoint of a folder; None if there is none."""
    return next(reversed(existing_checkpoints(folder)), None)


def existing_checkpoints(folder: Path) -> list[str]:
    """The checkpoints that the file `checkpoint` of a folder lists and that are there, the oldest first."""
    state = tf.train.get_checkpoint_state(str(folder))
    return [prefix for prefix in state.all_model_checkpoint_paths if _exists(prefix)] if state else []


def _exists(prefix: str) -> bool:
    return Path(f"{prefix}.index").exists()


def restore(checkpoint: tf.train.Checkpoint, prefix: str) -> None:
    """Restore everything that a checkpoint object holds from files."""
    try:
        checkpoint.restore(prefix).assert_existing_objects_matched().expect_partial()
    except (tf.errors.OpError, AssertionError, IndexError, RuntimeError, ValueError) as error:
        raise CourseError(
            f"The checkpoint {prefix} is damaged or of another model. Delete its files to go on from the previous "
            "one, or get a complete copy."
        ) from error


class ScaleModel:
    """The model of a training folder, built once and filled from any of its checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.config, path = read_config(folder), folder / WORD_COUNTS_FILE
        if path.exists() and sha256_of(path) != self.config.vocabulary_sha256:
            raise CourseError(
                f"{path} is not the vocabulary that the checkpoints beside it were trained with. Copy the folder again."
            )
        self.vocab = read_word_counts(path)
        self.model = build_scale_model(self.config, read_cnn(folder))
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)

    @cached_property
    def step_model(self) -> KerasStepModel:
        """The same layers, which read one word at a time."""
        return show_and_tell_step_model(self.model, "picture_embedding")

    @property
    def step(self) -> int:
        """The step that its weights were trained to."""
        return int(self._step.numpy())

    def load(self, prefix: str) -> ScaleModel:
        """Replace the weights with those of a checkpoint."""
        restore(tf.train.Checkpoint(model=self.model, step=self._step), prefix)
        return self


def load_scale_model(path: Path) -> ScaleModel:
    """Load a checkpoint, or the latest of a folder."""
    prefix = find_checkpoint(path)
    return ScaleModel(Path(prefix).parent).load(prefix)
