"""Model files from elsewhere: what carries code, points elsewhere or claims too much is refused, and nothing runs."""

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from caption_samples import ENCODER, VOCAB, fit_checksums, tiny_decoder, write_tiny_encoder
from hostile_files import write_zip

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.keras_files import check_keras_file, count_weights
from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model, save_caption_model
from say_what_you_see.training.scale.folder import CNN_FILE, read_cnn
from say_what_you_see.vision.applications import explained_errors
from say_what_you_see.vision.encoders import load_encoder_file

layers = keras.layers


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[str, bytes]:
    """The parts of a sound encoder."""
    path = write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "encoder.keras")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_layer(sound: dict[str, bytes], layer: dict[str, Any]) -> dict[str, bytes]:
    """The encoder with one more layer in its description."""
    config = json.loads(sound["config.json"])
    config["config"]["layers"].append(layer)
    return {**sound, "config.json": json.dumps(config).encode()}


# Canaries: a module that notes that it was imported, and a function that notes that it was called


@pytest.fixture
def canary(tmp_path, monkeypatch) -> Path:
    """A file that is there once `evil_layers` was imported, or one of the hostile descriptions had its way."""
    path, folder = tmp_path / "canary", tmp_path / "importable"
    folder.mkdir()
    (folder / "evil_layers.py").write_text(
        f"open({str(path)!r}, 'w').close()\nfrom keras.layers import Layer\nclass Evil(Layer): pass\n"
    )
    monkeypatch.syspath_prepend(folder)
    yield path
    sys.modules.pop("evil_layers", None)


def layer(module: str | None, name: str, config: Any = None, registered: str | None = None) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config or {}, "registered_name": registered}


def dense(**options: Any) -> dict[str, Any]:
    return layer("keras.layers", "Dense", {"units": 3, **options})


HOSTILE_LAYERS = {
    "a class of a module": layer("evil_layers", "Evil", {}, "Evil"),
    "a layer that claims to be ours": layer("evil_layers", "Evil", {}, "say_what_you_see>Evil"),
    "os.system": layer("os", "system", {"command": "touch CANARY"}),
    "eval as an activation": dense(activation=layer("builtins", "function", "eval", "eval")),
    "os.system as a constraint": dense(kernel_constraint=layer("os", "system", {"command": "touch CANARY"})),
    "a lambda as an activation": dense(activation={"class_name": "__lambda__", "config": {"value": "4wEA"}}),
    "Lambda": layer("keras.layers", "Lambda", {"function": {"class_name": "__lambda__", "config": {"code": "4wEA"}}}),
    "Lambda as it was": layer(None, "Lambda", {"function": ["4wEA", None, None], "function_type": "lambda"}),
    "Lambda within": layer("keras.layers", "TimeDistributed", {"layer": layer("keras.layers", "Lambda")}),
    "get_file": layer("keras.utils", "get_file", {"fname": "x", "origin": "file:///etc/passwd"}),
    "unsafe mode": layer("keras.config", "enable_unsafe_deserialization"),
    "an application, which downloads": layer("keras.applications", "VGG16", {"weights": "imagenet"}),
    "a vocabulary file": layer("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
    "a dotted class": layer("keras.layers", "Layer.__init__.__globals__"),
    "a module of Keras' inside": layer("keras.src.saving.serialization_lib", "deserialize_keras_object"),
    "a module that is a number": layer(5, "Dense"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_LAYERS)
def test_descriptions_that_name_more_than_layers_are_refused(name, sound, tmp_path, canary, monkeypatch):
    monkeypatch.chdir(tmp_path)
    description = json.loads(json.dumps(HOSTILE_LAYERS[name]).replace("CANARY", str(canary)))
    path = write_zip(tmp_path / "hostile.keras", with_layer(sound, description))
    with pytest.raises(CourseError, match=r"hostile\.keras cannot be used as an encoder: it "):
        load_encoder_file(path)
    with pytest.raises(CourseError):  # the course's own look suffices, whatever the version of Keras lets through
        check_keras_file(path)
    assert not canary.exists() and "evil_layers" not in sys.modules


@pytest.mark.parametrize("last", [
    [dense(units=40_000), dense(units=40_000)],
    [layer("keras.layers", "Reshape", {"target_shape": [4, 8]}), layer("keras.layers", "LSTM", {"units": 40_000})],
    [dense(units=10**12)],
], ids=["dense", "recurrent", "huge"])  # fmt: skip
def test_a_description_of_more_weights_than_the_file_has_is_refused(last, sound, tmp_path):
    """The sizes may be small one by one: it is their product that counts."""
    config = json.loads(sound["config.json"])
    config.pop("build_config", None)
    config["config"].pop("build_input_shape", None)
    config["config"]["layers"] += [layer("keras.layers", "GlobalAveragePooling2D"), dense(units=32), *last]
    for number, part in enumerate(config["config"]["layers"]):
        part["config"] = {**part["config"], "name": f"layer_{number}"}
        part.pop("build_config", None)
    path = write_zip(tmp_path / "large.keras", {**sound, "config.json": json.dumps(config).encode()})
    with pytest.raises(CourseError, match=r"large\.keras cannot be used as an encoder: it describes [\d,]+ weights"):
        load_encoder_file(path)


@pytest.mark.parametrize("kind", ["Lambda", "registered"])
def test_real_models_with_code_are_refused(kind, tmp_path):
    @keras.saving.register_keras_serializable("of_somebody_else")
    class Harmless(layers.Layer):
        pass

    extra = layers.Lambda(lambda x: x * 2) if kind == "Lambda" else Harmless()
    keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(2, 3), extra]).save(tmp_path / "code.keras")
    with pytest.raises(CourseError, match="Python code" if kind == "Lambda" else "does not know"):
        load_encoder_file(tmp_path / "code.keras")


def test_models_of_many_layers_are_let_through(tmp_path):
    image = layers.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", kernel_initializer="he_normal")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation(keras.activations.gelu)(x)
    x = layers.SeparableConv2D(4, 3, padding="same", depthwise_constraint=keras.constraints.MaxNorm(2))(x) + x
    x = keras.ops.relu(layers.RandomFlip()(x)) * 2
    within = keras.Sequential([layers.Conv2D(5, 3), layers.LeakyReLU()])
    model = keras.Model(image, layers.Dropout(0.1)(within(x)))
    model.compile("adam", loss=lambda y, p: keras.ops.mean(p))  # how it was trained is not loaded
    model.save(tmp_path / "many.keras")
    loaded = load_encoder_file(tmp_path / "many.keras")[0]
    assert loaded.output_shape == (None, 5)
    assert count_weights(json.loads(loaded.to_json())) == sum(np.prod(table.shape) for table in loaded.variables)


# The zip around a model


@pytest.mark.parametrize("name", ["../evil.py", "/tmp/evil.py", "assets/vocabulary.txt", "a/config.json"])
def test_files_that_are_no_part_of_a_model_are_refused(name, sound, tmp_path):
    path = write_zip(tmp_path / "more.keras", {**sound, name: b"print()"})
    with pytest.raises(CourseError, match=r"more\.keras cannot be used as an encoder: it holds .*not part of a model"):
        load_encoder_file(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["more.keras"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_part_that_is_missing_or_twice_there_or_a_bomb_is_refused(name, sound, tmp_path):
    few = write_zip(tmp_path / "few.keras", {key: data for key, data in sound.items() if key != name})
    twice = write_zip(tmp_path / "twice.keras", sound)
    with zipfile.ZipFile(twice, "a") as archive:
        archive.writestr(name, sound[name])
    bomb = write_zip(tmp_path / "bomb.keras", {**sound, name: bytes(100_000_000)}, packed=True)
    complaints = ["not a complete Keras model", "a part twice", f"its {name} is unreasonably large"]
    for path, complaint in zip((few, twice, bomb), complaints, strict=True):
        with pytest.raises(CourseError, match=complaint):
            load_encoder_file(path)


# Weights


def _virtual_data(root: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "uint8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "data", (4,), "uint8")
    root.create_virtual_dataset("data", layout)


MANY = (10**6, 10**6)
HOSTILE_WEIGHTS = {
    "a link to another file": lambda root: root.update({"there": h5py.ExternalLink("/etc/passwd", "/")}),
    "a soft link": lambda root: root.update({"there": h5py.SoftLink("/layers")}),
    "data of another file": lambda root: root.create_dataset("x", (4,), "uint8", external=[("/etc/passwd", 0, 4)]),
    "virtual data": _virtual_data,
    "more than there is": lambda root: root.create_dataset("data", MANY, "float32"),
    "chunks that are not there": lambda root: root.create_dataset("data", MANY, "float32", chunks=(10, 10)),
    "a bomb": lambda root: root.create_dataset("data", data=np.zeros(30_000_000, "uint8"), compression="gzip"),
    "texts": lambda root: root.create_dataset("texts", data=np.array([b"import os"])),
    "references": lambda root: root.create_dataset("data", data=root.ref, dtype=h5py.ref_dtype),
}


@pytest.mark.parametrize("name", HOSTILE_WEIGHTS)
def test_weights_that_are_more_than_numbers_are_refused(name, sound, tmp_path):
    data = io.BytesIO(sound["model.weights.h5"])
    with h5py.File(data, "a") as root:
        HOSTILE_WEIGHTS[name](root)
    path = write_zip(tmp_path / "weights.keras", {**sound, "model.weights.h5": data.getvalue()})
    with pytest.raises(CourseError, match=r"weights\.keras cannot be used as an encoder: it"):
        load_encoder_file(path)
    (tmp_path / "spoilt.h5").write_bytes(data.getvalue())
    refused = pytest.raises(CourseError, match=r"The weights in .*spoilt\.h5 cannot be used")
    with refused, explained_errors("vgg16", tmp_path / "spoilt.h5"):
        pytest.fail("the weights would have been read")


# Model folders, and models at scale


@pytest.mark.parametrize(
    "name", ["a class of a module", "Lambda", "os.system as a constraint", "eval as an activation"]
)
def test_a_decoder_and_a_cnn_at_scale_with_code_are_refused(name, sound, tmp_path, canary):
    hostile = with_layer(sound, HOSTILE_LAYERS[name])
    save_caption_model(CaptionModel(tiny_decoder(), VOCAB, ENCODER), tmp_path / "model")
    write_zip(tmp_path / "model" / "decoder.keras", hostile)
    fit_checksums(tmp_path / "model")
    (tmp_path / CNN_FILE).write_bytes(hostile["config.json"])
    with pytest.raises(CourseError, match=r"decoder\.keras cannot be used: it"):
        load_caption_model(tmp_path / "model")
    with pytest.raises(CourseError, match=CNN_FILE):
        read_cnn(tmp_path)
    assert not canary.exists()
