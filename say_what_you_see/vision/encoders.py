"""Encoders: networks that someone else trained, cut off before their last layer, that turn a picture into numbers."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.keras_files import check_weights_file, load_keras_file
from say_what_you_see.core.settings import SHIPPED, Settings
from say_what_you_see.data.checksums import hash_file
from say_what_you_see.data.resources import fetch_resource, find_resource

Preprocess = Callable[[np.ndarray], np.ndarray]

SCENE_WEIGHTS = SHIPPED / "inception_v3_scenes.weights.h5"
"""InceptionV3 as this course trained it on drawn scenes."""

DOWNLOADED_WEIGHTS = {
    ("inception_v3", False): "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ("vgg16", False): "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ("vgg16", True): "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
}
"""ImageNet weights, with or without the classifier, that the course downloads itself; Keras downloads all others."""

_INPUT_SIDES = {"inception_v3": 299, "inception_resnet_v2": 299, "xception": 299, "nasnet_large": 331}
_USUAL_INPUT_SIDE = 224
_ANY_SIZE_SIDE = 299  # for a `.keras` file that takes pictures of any size

FEATURES = ("mean", "grid", "fc2")
"""What an encoder gives of a picture: the mean over its regions, (features,); each of them, row by row,
(regions, features); or the last hidden layer of VGG-16's classifier, (4096,)."""


@dataclass(frozen=True)
class EncoderInfo:
    """An encoder and all that is needed to use it.

    Attributes:
        model: from a preprocessed batch (n, height, width, 3) to embeddings (n, features).
        preprocess_for_model: from RGB 0..255 to what the model expects; leaves its argument as it was.
        input_shape: height and width of the pictures.
        name: a short name, fit for files.
        weights: where the weights come from, in words.
        weights_checksum: SHA-256 of all weights, to tell whether embeddings were made with the same ones.
        features: what it gives of a picture, one of `FEATURES`.
    """

    model: keras.Model
    preprocess_for_model: Preprocess
    input_shape: tuple[int, int]
    name: str
    weights: str
    weights_checksum: str
    features: str = "mean"


def get_cnn_encoder(
    name: str = "inception_v3", weights: str | Path | None = "imagenet"
) -> tuple[keras.Model, Preprocess]:
    """Build a CNN without its classifier, so that it describes a picture instead of naming it.

    Args:
        name: a model of keras.applications: "inception_v3", "vgg16", "mobilenet" ...
        weights: "imagenet" downloads Keras' own, a path reads a file, None starts at random.

    Returns:
        The encoder, from a batch (n, height, width, 3) to (n, features), and the function that brings
        pixels 0..255 into the range that it was trained on.
    """
    application = find_application(name)
    with explained_errors(application.name, weights):
        cnn = application.build(
            include_top=False, weights=weights and str(weights), input_shape=(*application.input_shape, 3)
        )
    # The last layer sees the picture as a grid of regions, (8, 8, 2048) in InceptionV3. Their mean is the embedding.
    embedding = keras.layers.GlobalAveragePooling2D()(cnn.output)
    encoder = keras.Model(cnn.input, embedding, name=f"{application.name}_encoder")
    return encoder, on_a_copy(application.preprocess_input)


def encoder_for(settings: Settings, features: str = "mean") -> EncoderInfo:
    """The encoder that goes with the settings.

    Drawn scenes and InceptionV3: the weights that come with the course. Otherwise ImageNet weights,
    from a file that was put into the data folder, or downloaded. A `.keras` file is used as it is.

    Args:
        features: what it is to give of a picture, one of `FEATURES`.

    Raises:
        CourseError: if the encoder is unknown or its weights are missing, unreachable or of another model,
            or if it cannot give these features.
    """
    if features == "fc2":
        return vgg16_fc2(settings)
    return with_features(_encoder_of_means(settings), features)


def _encoder_of_means(settings: Settings) -> EncoderInfo:
    """The encoder that goes with the settings, up to the mean over the regions."""
    if settings.encoder.endswith(".keras"):
        path = Path(settings.encoder)
        model, input_shape = load_encoder_file(path)
        return EncoderInfo(model, _as_floats, input_shape, settings.encoder_name, path.name, weights_checksum(model))
    application = find_application(settings.encoder)
    weights, in_words = weights_for(application.name, settings)
    try:
        model, preprocess = get_cnn_encoder(application.name, weights)
    except CourseError as error:
        if weights != "imagenet":
            raise
        raise CourseError(f"{error} The data folder is {settings.data_folder}.") from error
    checksum = weights_checksum(model)
    return EncoderInfo(model, preprocess, application.input_shape, settings.encoder_name, in_words, checksum)


def with_features(encoder: EncoderInfo, features: str) -> EncoderInfo:
    """The same encoder, with the same weights in memory, giving "mean" or "grid" of a picture.

    Raises:
        CourseError: if it has no grid to give.
    """
    if features == encoder.features:
        return encoder
    if features == "grid":
        return replace(encoder, model=without_mean(encoder.model), features="grid")
    grid = encoder.model.layers[-1].input  # before the regions were put in a row
    mean = keras.layers.GlobalAveragePooling2D()(grid)
    return replace(encoder, model=keras.Model(encoder.model.input, mean, name=encoder.model.name), features="mean")


def without_mean(encoder: keras.Model) -> keras.Model:
    """An encoder without its last step: from a picture to (regions, features), the regions row by row.

    Raises:
        CourseError: if the encoder does not end with the mean over regions.
    """
    if not isinstance(encoder.layers[-1], keras.layers.GlobalAveragePooling2D):
        raise CourseError(
            f"The encoder {encoder.name} gives one list of numbers a picture and no grid of regions, which attention "
            "needs. Take InceptionV3, or a .keras file that ends with a feature map."
        )
    grid = encoder.layers[-1].input
    regions = keras.layers.Reshape((-1, grid.shape[-1]), name="regions")(grid)
    return keras.Model(encoder.input, regions, name=f"{encoder.name}_grid")


def vgg16_fc2(settings: Settings) -> EncoderInfo:
    """VGG-16 with its classifier, cut at the last hidden layer: 4,096 numbers, for which it needs weights of its own.

    Raises:
        CourseError: if the weights are not in the data folder and cannot be downloaded.
    """
    application = find_application("vgg16")
    weights = _imagenet_weights("vgg16", settings, with_classifier=True)
    with explained_errors("vgg16", weights):
        cnn = application.build(include_top=True, weights=str(weights))
    model = keras.Model(cnn.input, cnn.get_layer("fc2").output, name="vgg16_fc2_encoder")
    in_words = f"ImageNet ({weights.name})"
    preprocess, shape = on_a_copy(application.preprocess_input), application.input_shape
    return EncoderInfo(model, preprocess, shape, "vgg16", in_words, weights_checksum(model), "fc2")


def load_encoder_file(path: Path) -> tuple[keras.Model, tuple[int, int]]:
    """Load a `.keras` file that maps RGB 0..255 to a feature map or to features.

    Returns:
        The encoder, with the feature map averaged to (n, features), and the height and width of its input.

    Raises:
        CourseError: if the file is no Keras model, carries Python code, or is a model of another shape.
    """
    try:
        model = load_keras_file(path)
    except Exception as error:  # a damaged model can raise nearly anything
        raise CourseError(f"{path} cannot be used as an encoder: {_why_not_loaded(path, error)}.") from error
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if [len(x.shape) for x in inputs] != [4] or inputs[0].shape[3] != 3:
        raise CourseError(f"{path} takes no batch of RGB pictures, (n, height, width, 3), so it is no encoder.")
    if len(outputs) != 1 or len(outputs[0].shape) not in (2, 4) or outputs[0].shape[-1] is None:
        shapes = ", ".join(str(tuple(x.shape)) for x in outputs)
        raise CourseError(f"{path} gives {shapes}. An encoder gives (n, height, width, features) or (n, features).")
    features, name = outputs[0], model.name
    if len(features.shape) == 4:
        features, name = keras.layers.GlobalAveragePooling2D()(features), f"{name}_encoder"
    model = keras.Model(inputs[0], features, name=name)
    height, width = (size or _ANY_SIZE_SIDE for size in inputs[0].shape[1:3])
    return model, (height, width)


def weights_checksum(model: keras.Model) -> str:
    """The SHA-256 checksum of a model's weights in their order, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()


class Application(NamedTuple):
    """A model of keras.applications: its name as we spell it, and what is needed to use it."""

    name: str
    build: Callable[..., keras.Model]
    preprocess_input: Preprocess
    input_shape: tuple[int, int]


def find_application(name: str) -> Application:
    """Find a model of keras.applications by its name, in any spelling.

    Raises:
        CourseError: if there is none of that name; the message lists those that there are.
    """
    titles = {_plain(title): title for title in _application_titles()}
    if _plain(name) not in titles:
        known = ", ".join(sorted(_spelled(title) for title in titles.values()))
        raise CourseError(f"There is no encoder {name!r}. Possible are the path of a .keras file, or one of: {known}.")
    title = titles[_plain(name)]
    build = getattr(keras.applications, title)
    module = getattr(keras.applications, build.__module__.rpartition(".")[2])
    side = _INPUT_SIDES.get(_spelled(title), _USUAL_INPUT_SIDE)
    return Application(_spelled(title), build, module.preprocess_input, (side, side))


def _application_titles() -> list[str]:
    return [title for title, _ in inspect.getmembers(keras.applications, inspect.isfunction)]


def _spelled(title: str) -> str:
    """A name as people type it: "InceptionV3" as "inception_v3", "MobileNetV2" as "mobilenet_v2"."""
    words = title.replace("NeXt", "next").replace("Net", "net")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()


def _plain(text: str) -> str:
    """Letters and digits only, so that "InceptionV3" and "inception_v3" are the same name."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _as_floats(images: np.ndarray) -> np.ndarray:
    """The preprocessing of an encoder that brings its own: pixels stay 0..255."""
    return np.array(images, dtype="float32")


def affine_preprocessing(preprocess: Preprocess) -> tuple[list[float], list[float], bool]:
    """What an encoder's preprocessing does to RGB 0..255: scale and shift of each channel, and whether the order of
    the channels was turned around before.

    All preprocessing of keras.applications is of this kind; what it makes of black, white and red tells the numbers.
    """
    black, white, red = (
        np.array(preprocess(np.array(colour, dtype="float32").reshape(1, 1, 1, 3))).reshape(3)
        for colour in ((0, 0, 0), (255, 255, 255), (255, 0, 0))
    )
    return ((white - black) / 255).tolist(), black.tolist(), bool(red[2] != black[2])


def on_a_copy(preprocess_input: Preprocess) -> Preprocess:
    """Keras' own preprocessing would overwrite the array that it is given."""

    @functools.wraps(preprocess_input)
    def preprocess_for_model(images: np.ndarray) -> np.ndarray:
        return preprocess_input(_as_floats(images))

    return preprocess_for_model


def weights_for(name: str, settings: Settings) -> tuple[str | Path, str]:
    """What `get_cnn_encoder` takes as weights, and the same in words."""
    if settings.pictures_kind == "scenes" and name == "inception_v3":
        return SCENE_WEIGHTS, f"trained on drawn scenes ({SCENE_WEIGHTS.name})"
    weights = _imagenet_weights(name, settings)
    return (weights, f"ImageNet ({weights.name})") if weights else ("imagenet", "ImageNet (downloaded by Keras)")


def _imagenet_weights(name: str, settings: Settings, with_classifier: bool = False) -> Path | None:
    """A file of ImageNet weights: from the data folder, or what Keras keeps, or downloaded; None leaves it to Keras.

    Raises:
        CourseError: if it has to be downloaded and cannot be had.
    """
    if by_hand := imagenet_file(name, settings.data_folder, with_classifier):
        if by_hand.name in DOWNLOADED_WEIGHTS.values():
            return fetch_resource(by_hand.name, settings.data_folder)  # which checks it, once
        return by_hand
    file_name = DOWNLOADED_WEIGHTS.get((name, with_classifier))
    if file_name is None:
        return None
    kept, published = keras_downloads() / file_name, find_resource(file_name).checksum
    if kept.is_file() and hash_file(kept, "md5").hexdigest() == published.removeprefix("md5:"):
        return kept
    return fetch_resource(file_name, settings.data_folder)


def keras_downloads() -> Path:
    """The folder where Keras keeps the weights that it has downloaded."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def imagenet_file(name: str, folder: Path, with_classifier: bool = False) -> Path | None:
    """A file of ImageNet weights in a folder, under the name that Keras gave it."""
    names = [_plain(title) for title in _application_titles()]
    for path in sorted(folder.glob("*.h5")):
        stem = _plain(path.stem)
        owner = max((known for known in names if known in stem), key=len, default="")  # resnet50v2, not resnet50
        if ("notop" not in stem) == with_classifier and owner == _plain(name):
            return path
    return None


@contextmanager
def explained_errors(name: str, weights: str | Path | None) -> Iterator[None]:
    """Turn what goes wrong with weights into words."""
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        hint = " It comes with the course: fetch the repository again." if Path(weights) == SCENE_WEIGHTS else ""
        raise CourseError(f"The weights file {weights} is missing.{hint}")
    if weights not in (None, "imagenet"):
        try:
            check_weights_file(weights)
        except CourseError as error:
            raise CourseError(f"The weights in {weights} cannot be used: {error}. Bring a whole copy.") from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipping nested container")  # Keras says it of each layer, then fails
            yield
    except Exception as error:
        if weights is None:
            raise
        if weights != "imagenet":
            raise CourseError(f"The weights in {weights} do not fit {name}, or the file is damaged.") from error
        url = re.search(r"https?://\S+\.h5", str(error))
        where = f"{url[0].rpartition('/')[2]} from {url[0]}" if url else "them"
        reason = str(error).rpartition("--")[2].strip()
        raise CourseError(
            f"The ImageNet weights of {name} could not be downloaded ({reason}). Without a network, bring {where} "
            "by hand and put the file into the data folder, or give its path as the weights."
        ) from error


def _why_not_loaded(path: Path, error: Exception) -> str:
    """Why Keras could not load a model, in a few words."""
    if not path.is_file():
        return "there is no such file"
    text = str(error)
    if isinstance(error, CourseError):
        return text
    if "Lambda" in text or "safe_mode" in text:
        return "it carries Python code (a Lambda layer), which is not run"
    if "Could not locate" in text:
        return "it has a layer that Keras does not know"
    return "it is no whole Keras model"
