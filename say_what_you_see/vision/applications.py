"""The models of keras.applications: found by name, and their ImageNet weights wherever they are."""

from __future__ import annotations

import functools
import inspect
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.keras_files import check_weights_file
from say_what_you_see.core.settings import ENCODERS
from say_what_you_see.data.checksums import hash_file
from say_what_you_see.data.resources import fetch_resource, find_resource

Preprocess = Callable[[np.ndarray], np.ndarray]

DOWNLOADED_WEIGHTS = {
    ("inception_v3", False): "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ("vgg16", False): "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ("vgg16", True): "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
}
"""ImageNet weights, with or without the classifier, that the course downloads itself; Keras downloads all others."""

_INPUT_SIZES = {"inception_v3": 299, "inception_resnet_v2": 299, "xception": 299, "nasnet_large": 331}
_USUAL_INPUT_SIZE = 224


class Application(NamedTuple):
    """A model of keras.applications, and what is needed to use it."""

    name: str  # as in "inception_v3"
    build: Callable[..., keras.Model]
    preprocess_input: Preprocess
    input_shape: tuple[int, int]


def find_application(name: str) -> Application:
    """Find a model of keras.applications by its name, in any spelling."""
    titles = {_letters(title): title for title in _application_titles()}
    if _letters(name) not in titles:
        known = ", ".join(sorted({*ENCODERS, *map(_snake_case, titles.values())}))
        raise CourseError(f"There is no encoder {name!r}. Give the path of a .keras file, or one of: {known}.")
    title = titles[_letters(name)]
    build = getattr(keras.applications, title)
    module = getattr(keras.applications, build.__module__.rpartition(".")[2])
    size = _INPUT_SIZES.get(_snake_case(title), _USUAL_INPUT_SIZE)
    return Application(_snake_case(title), build, module.preprocess_input, (size, size))


def on_a_copy(preprocess_input: Preprocess) -> Preprocess:
    """Have a preprocessing function work on a copy: Keras' own would overwrite the array that it is given."""

    @functools.wraps(preprocess_input)
    def preprocess_for_model(images: np.ndarray) -> np.ndarray:
        return preprocess_input(np.array(images, dtype="float32"))

    return preprocess_for_model


def _application_titles() -> list[str]:
    return [title for title, _ in inspect.getmembers(keras.applications, inspect.isfunction)]


def _snake_case(title: str) -> str:
    """A name as people type it: "InceptionV3" as "inception_v3", "MobileNetV2" as "mobilenet_v2"."""
    words = title.replace("NeXt", "next").replace("Net", "net")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()


def _letters(text: str) -> str:
    """Letters and digits only, so that "InceptionV3" and "inception_v3" are the same name."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def imagenet_weights(name: str, data_folder: Path, with_classifier: bool = False) -> Path | None:
    """A file of ImageNet weights: from the data folder, from Keras' folder, or downloaded; None leaves it to Keras."""
    by_hand = imagenet_file(name, data_folder, with_classifier)
    file_name = DOWNLOADED_WEIGHTS.get((name, with_classifier))
    if file_name is None or (by_hand and by_hand.name != file_name):
        return by_hand
    kept, published = keras_downloads() / file_name, find_resource(file_name).checksum or ""
    if not by_hand and kept.is_file() and hash_file(kept, "md5").hexdigest() == published.removeprefix("md5:"):
        return kept
    return fetch_resource(file_name, data_folder)  # which checks what was put there by hand, once


def keras_downloads() -> Path:
    """The folder where Keras keeps the weights that it has downloaded."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def imagenet_file(name: str, folder: Path, with_classifier: bool = False) -> Path | None:
    """A file of ImageNet weights in a folder, under the name that Keras gave it."""
    names = [_letters(title) for title in _application_titles()]
    for path in sorted(folder.glob("*.h5")):
        stem = _letters(path.stem)
        owner = max((known for known in names if known in stem), key=len, default="")  # resnet50v2, not resnet50
        if ("notop" not in stem) == with_classifier and owner == _letters(name):
            return path
    return None


@contextmanager
def explained_errors(name: str, weights: str | Path | None) -> Iterator[None]:
    """Explain what goes wrong while a model is built with its weights.

    Args:
        name: of the model.
        weights: a file; "imagenet", which Keras downloads; or None, with which nothing can go wrong.
    """
    if weights not in (None, "imagenet"):
        try:
            check_weights_file(str(weights))
        except CourseError as error:
            raise CourseError(f"The weights in {weights} cannot be used: {error}. Get a complete copy.") from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipping nested container")  # Keras says it for each layer, then fails
            yield
    except Exception as error:
        if weights is None:
            raise
        if weights == "imagenet":
            raise _not_downloaded(name, error) from error
        raise CourseError(f"The weights in {weights} do not fit {name}, or the file is damaged.") from error


def _not_downloaded(name: str, error: Exception) -> CourseError:
    url = re.search(r"https?://\S+\.h5", str(error))
    where = f"{url[0].rpartition('/')[2]} from {url[0]}" if url else "them"
    reason = str(error).rpartition("--")[2].strip()
    return CourseError(
        f"The ImageNet weights of {name} could not be downloaded ({reason}). Without a network, get {where} "
        "some other way and put the file into the data folder, or give its path as the weights."
    )
