"""Checkpoints of a decoder's training: weights and optimizer after each epoch, and the history of all epochs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, make_folder, read_json, write_errors_explained, write_json
from say_what_you_see.core.keras_files import check_weights_file

History = list[dict[str, Any]]
"""For each epoch its number from 1, loss, validation loss and accuracy, and seconds."""


def checkpoint_path(folder: Path, epoch: int) -> Path:
    """Where the weights after an epoch are kept; epochs count from 1."""
    return folder / f"epoch_{epoch:03d}.weights.h5"


def save_checkpoint(decoder: keras.Model, folder: Path, history: History) -> None:
    """Save the weights, the optimizer's state and the history after an epoch.

    Only the weights of the last two epochs are kept: those to go on from, and a reserve in case they are damaged.
    """
    with atomic_path(checkpoint_path(folder, history[-1]["epoch"])) as partial:
        decoder.save_weights(partial)
    write_json(history, folder / "history.json")
    kept = {checkpoint_path(folder, record["epoch"]) for record in history[-2:]}
    for path in set(folder.glob("epoch_*.weights.h5")) - kept:
        path.unlink()


def restore_checkpoint(decoder: keras.Model, folder: Path) -> History:
    """Load the latest undamaged checkpoint of a folder; returns the history up to it, empty if there is none."""
    history = read_history(folder / "history.json")
    while history and not load_checkpoint(decoder, checkpoint_path(folder, history[-1]["epoch"])):
        history.pop()
    return history


def load_checkpoint(decoder: keras.Model, path: Path) -> bool:
    """Load weights and, if the decoder is compiled, the optimizer's state; returns whether that worked.

    If the file is missing or damaged, the decoder stays as it was.
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
        print(f"{path} is damaged ({type(error).__name__}): training continues from the previous checkpoint.")
        return False


def read_history(path: Path) -> History:
    """The history that a training keeps beside its checkpoints, empty if there is none yet."""
    if not path.exists():
        return []
    with _damage_explained(path):
        history = read_json(path)
        if not isinstance(history, list):
            raise TypeError("it is not a history")
        for epoch, record in enumerate(history, 1):
            numbers = [record["loss"], record["val_loss"], record["val_accuracy"], record.get("seconds", 0)]
            if record["epoch"] != epoch or not all(isinstance(number, (int, float)) for number in numbers):
                raise ValueError("it is not a history")
        return history


def prepare_checkpoint_folder(folder: Path, fingerprint: str) -> None:
    """Make a folder for the checkpoints of a training, and remove those of any other training."""
    make_folder(folder)
    marker = folder / "training.json"
    with _damage_explained(marker):
        if marker.exists() and read_json(marker).get("fingerprint") == fingerprint:
            return
    for path in [*folder.glob("epoch_*.weights.h5"), folder / "history.json"]:
        with write_errors_explained(path):
            path.unlink(missing_ok=True)
    write_json({"fingerprint": fingerprint}, marker)


@contextmanager
def _damage_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (CourseError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CourseError(
            f"{path} is damaged, and without it training cannot go on from the checkpoints beside it. "
            f"Get a complete copy, or delete {path.parent} to train from the start."
        ) from error
