"""Encoders are found, built, loaded and refused as they should be."""

import urllib.error
from pathlib import Path
from unittest.mock import Mock

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.vision import applications, encoders
from say_what_you_see.vision.applications import find_application, imagenet_file
from say_what_you_see.vision.encoders import encoder_for, get_cnn_encoder, load_encoder_file, weights_checksum

MOBILENET_FILE = "mobilenet_1_0_224_tf_no_top.h5"


def settings_for(tmp_path: Path, dataset: str = "flickr8k", encoder: str = "mobilenet") -> Settings:
    return Settings(dataset=dataset, encoder=encoder, size="small", seed=0, data_folder=tmp_path)


def save_model(path: Path, input_shape: tuple, *steps: layers.Layer) -> Path:
    keras.Sequential([layers.Input(input_shape), *steps]).save(path)
    return path


@pytest.fixture(scope="module")
def mobilenet():
    return get_cnn_encoder("mobilenet", weights=None)


def test_every_model_of_keras_is_found_by_its_name():
    for title in ("InceptionV3", "VGG16", "MobileNetV2", "ConvNeXtTiny", "EfficientNetV2B0", "MobileNetV3Small"):
        application = find_application(title)
        assert application.build is getattr(keras.applications, title)
        assert find_application(application.name) == application and application.name.islower()
    with pytest.raises(CourseError, match=r"inception_v4.*inception_v3.*mobilenet.*vgg16"):
        find_application("inception_v4")


def test_an_encoder_gives_one_row_of_features_a_picture(mobilenet):
    encoder, preprocess_for_model = mobilenet
    pictures = np.random.default_rng(0).integers(256, size=(3, 224, 224, 3), dtype="uint8")
    as_they_were = pictures.copy()
    embeddings = encoder.predict_on_batch(preprocess_for_model(pictures))
    assert (pictures == as_they_were).all() and preprocess_for_model(np.full((2, 2, 3), 255.0)).max() == 1
    assert embeddings.shape == (3, 1024) and embeddings.dtype == np.float32
    assert embeddings.shape == encoder.compute_output_shape(pictures.shape)


def test_weights_come_from_a_file_and_are_named_where_that_is_missing_damaged_or_of_another_model(mobilenet, tmp_path):
    encoder, _ = mobilenet
    path = tmp_path / "own.weights.h5"
    encoder.save_weights(path)
    loaded, _ = get_cnn_encoder("mobilenet", weights=path)
    assert weights_checksum(loaded) == weights_checksum(encoder)
    loaded.weights[0].assign_add(keras.ops.ones(loaded.weights[0].shape))
    assert weights_checksum(loaded) != weights_checksum(encoder)
    (tmp_path / "damaged.weights.h5").write_bytes(b"no weights")
    keras.Sequential([layers.Input((4,)), layers.Dense(2)]).save_weights(tmp_path / "other.weights.h5")
    for name in ("missing.weights.h5", "damaged.weights.h5", "other.weights.h5"):
        with pytest.raises(CourseError, match=name):
            get_cnn_encoder("mobilenet", weights=tmp_path / name)


def test_a_failed_download_says_which_file_to_bring_and_where_to_put_it(tmp_path, monkeypatch):
    file_utils = pytest.importorskip("keras.src.utils.file_utils")
    monkeypatch.setattr(file_utils, "urlretrieve", Mock(side_effect=urllib.error.URLError("no network")))
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path / "home"))
    with pytest.raises(CourseError) as caught:
        encoder_for(settings_for(tmp_path))
    for part in ("mobilenet", "no network", MOBILENET_FILE, "https://", str(tmp_path), "ENCODER=efficientnet_lite2"):
        assert part in str(caught.value)


def test_imagenet_weights_in_the_data_folder_are_used(tmp_path):
    cnn = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(224, 224, 3))
    cnn.save(tmp_path / MOBILENET_FILE)
    with h5py.File(tmp_path / MOBILENET_FILE, "a") as file:
        del file.attrs["model_config"]  # published files hold weights only
    info = encoder_for(settings_for(tmp_path))
    assert info.weights_checksum == weights_checksum(info.model) == weights_checksum(cnn)
    assert MOBILENET_FILE in info.weights and info.input_shape == (224, 224) and info.name == "mobilenet"


@pytest.mark.parametrize(("name", "file"), [
    ("mobilenet", MOBILENET_FILE),
    ("mobilenet_v3_small", "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"),
    ("resnet50", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    ("resnet50_v2", "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    ("nasnet_large", "NASNet-large-no-top.h5"),
])  # fmt: skip
def test_a_weights_file_belongs_to_one_model(name, file, tmp_path):
    (tmp_path / "inception_v3_scenes.weights.h5").touch()
    (tmp_path / file.replace("no", "").replace("top", "").replace("-", "_")).touch()  # with the classifier
    assert imagenet_file(name, tmp_path) is None
    (tmp_path / file).touch()
    found = {known: imagenet_file(known, tmp_path) for known in (name, "vgg16", "mobilenet", "resnet50")}
    assert {known for known, path in found.items() if path} == {name}
    assert found[name].name == file


def test_drawn_scenes_have_an_inception_of_their_own(tmp_path, monkeypatch):
    info = encoder_for(settings_for(tmp_path, "scenes", "inception_v3"))
    assert info.model.compute_output_shape((5, *info.input_shape, 3)) == (5, 2048)
    assert encoders.SCENE_WEIGHTS.name in info.weights and len(info.weights_checksum) == 64
    monkeypatch.setattr(encoders, "SCENE_WEIGHTS", tmp_path / "inception_v3_scenes.weights.h5")
    with pytest.raises(CourseError, match=r"inception_v3_scenes\.weights\.h5 cannot be used: there is no such file"):
        encoder_for(settings_for(tmp_path, "scenes", "inception_v3"))


@pytest.mark.parametrize("input_shape", [(None, None, 3), (40, 50, 3)])
def test_a_keras_file_with_a_feature_map_is_averaged_or_gives_its_grid(input_shape, tmp_path, capsys):
    path = save_model(tmp_path / "cnn.keras", input_shape, layers.Conv2D(6, 3, strides=2))
    settings = settings_for(tmp_path, encoder=str(path))
    info = encoder_for(settings)
    assert info.input_shape == ((299, 299) if None in input_shape else (40, 50))
    assert ("299 x 299" in capsys.readouterr().err) == (None in input_shape)
    pictures = np.random.default_rng(0).integers(256, size=(2, *info.input_shape, 3), dtype="uint8")
    pixels = info.preprocess_for_model(pictures)
    assert pixels.dtype == np.float32 and (pixels == pictures).all()
    feature_map = keras.saving.load_model(path).predict_on_batch(pixels)
    assert info.model.predict_on_batch(pixels) == pytest.approx(feature_map.mean(axis=(1, 2)), rel=1e-3, abs=1e-3)
    grid = encoder_for(settings, "grid")
    assert (info.features, grid.features) == ("mean", "grid") and info.weights_checksum == grid.weights_checksum
    assert grid.model.predict_on_batch(pixels) == pytest.approx(feature_map.reshape(2, -1, 6), rel=1e-3, abs=1e-3)
    assert "cnn.keras" in info.weights


def test_a_keras_file_with_features_is_used_as_it_is_and_has_no_grid(tmp_path):
    path = save_model(tmp_path / "cnn.keras", (8, 8, 3), layers.Flatten(), layers.Dense(5))
    model, input_shape = load_encoder_file(path)
    assert model.compute_output_shape((2, 8, 8, 3)) == (2, 5) and input_shape == (8, 8)
    with pytest.raises(CourseError, match="no grid of regions"):
        encoder_for(settings_for(tmp_path, encoder=str(path)), "grid")


def test_a_keras_file_of_another_shape_or_that_is_none_is_refused(tmp_path):
    save_model(tmp_path / "grey.keras", (8, 8, 1), layers.Conv2D(2, 3))
    save_model(tmp_path / "words.keras", (8,), layers.Dense(2))
    save_model(tmp_path / "steps.keras", (8, 8, 3), layers.Reshape((8, 24)))
    image = layers.Input((8, 8, 3))
    keras.Model(image, [image, layers.Flatten()(image)]).save(tmp_path / "two.keras")
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "empty.keras").touch()
    for name in ("grey", "words", "steps", "two", "text", "empty", "missing"):
        with pytest.raises(CourseError, match=f"{name}.keras"):
            load_encoder_file(tmp_path / f"{name}.keras")


@pytest.fixture
def server(publish, monkeypatch, tmp_path) -> Path:
    """A folder from which small files are served in place of ImageNet weights; Keras' own are in `keras_home`."""
    folder, publish_files = publish
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras_home"))
    keras.Sequential([layers.Input((2,)), layers.Dense(1)]).save_weights(folder / "any.weights.h5")
    weights = (folder / "any.weights.h5").read_bytes()
    for name in applications.DOWNLOADED_WEIGHTS.values():
        (folder / name).write_bytes(weights)
    publish_files()
    return folder


def test_the_last_hidden_layer_of_vgg16_needs_the_weights_of_its_classifier(server, tmp_path, monkeypatch):
    asked = []

    def build(include_top: bool, weights: str) -> keras.Model:
        asked.append((include_top, Path(weights)))
        image = layers.Input((224, 224, 3))
        hidden = layers.Dense(7, name="fc2")(layers.GlobalAveragePooling2D()(image))
        return keras.Model(image, layers.Dense(3, activation="softmax")(hidden))

    application = find_application("vgg16")._replace(build=build)
    monkeypatch.setattr(encoders, "find_application", lambda name: application)
    with_classifier = "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    (tmp_path / with_classifier.replace(".h5", "_notop.h5")).touch()
    for _ in range(2):  # downloaded, then found
        info = encoder_for(settings_for(tmp_path), "fc2")
        (server / with_classifier).unlink(missing_ok=True)
    assert asked == [(True, tmp_path / with_classifier)] * 2
    assert info.features == "fc2" and with_classifier in info.weights
    assert info.model.predict_on_batch(np.zeros((2, 224, 224, 3))).shape == (2, 7)


@pytest.mark.parametrize("kept", ["nothing", "the file", "half of it"])
def test_imagenet_weights_come_by_the_downloads_of_the_course(server, tmp_path, monkeypatch, kept):
    name = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
    content = (server / name).read_bytes()
    folder = tmp_path / "keras_home" / "models"
    folder.mkdir(parents=True)
    if kept != "nothing":
        (folder / name).write_bytes(content if kept == "the file" else content[:9])
    if kept == "the file":
        (server / name).unlink()
    monkeypatch.setattr(encoders, "get_cnn_encoder", build := Mock(return_value=(None, None)))
    monkeypatch.setattr(encoders, "weights_checksum", lambda model: "")
    info = encoder_for(settings_for(tmp_path, encoder="inception_v3"))
    path = (folder if kept == "the file" else tmp_path) / name
    build.assert_called_once_with("inception_v3", path)
    assert path.read_bytes() == content and name in info.weights
