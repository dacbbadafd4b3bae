"""im2txt's model: its shapes, what is trained in which phase, the CNN on pictures of another size or range."""

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from caption_samples import write_tiny_encoder
from scale_samples import SIDE, tiny_cnn

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import read_settings
from say_what_you_see.models.image_to_text import ScaleModelConfig, build_scale_model
from say_what_you_see.vision.cnn import cnn_for, encoder_side_length

CONFIG = ScaleModelConfig(11, "0" * 64, "tiny", SIDE, 12, 16, 0.5)


def test_a_word_depends_on_the_picture_and_the_words_before_and_on_no_later_one():
    keras.utils.set_random_seed(0)
    model = build_scale_model(CONFIG, tiny_cnn())
    rng = np.random.default_rng(1)
    pictures = rng.uniform(-1, 1, (3, SIDE, SIDE, 3)).astype("float32")
    words = rng.integers(11, size=(3, 5)).astype("int32")
    logits = np.array(model([pictures, words]))
    later = words.copy()
    later[:, 3] = (later[:, 3] + 1) % 11
    changed = np.array(model([pictures, later]))
    np.testing.assert_allclose(changed[:, :3], logits[:, :3], atol=1e-6)
    assert (np.abs(changed[:, 3:] - logits[:, 3:]).max(axis=(1, 2)) > 1e-4).all()
    assert (np.abs(np.array(model([pictures[::-1], words]))[0] - logits[0]).max(axis=-1) > 1e-5).all()


@pytest.mark.parametrize("side", [None, 36])
def test_the_settings_encoder_at_its_own_and_another_size(side, tmp_path):
    settings = read_settings({"ENCODER": str(write_tiny_encoder(tmp_path / "tiny.keras"))})
    assert encoder_side_length(settings) == 24
    cnn, encoder = cnn_for(settings, side), keras.saving.load_model(tmp_path / "tiny.keras")
    kernel, bias = encoder.layers[-1].get_weights()
    pixels = np.random.default_rng(0).integers(256, size=(2, side or 24, side or 24, 3)).astype("float32")
    maps = np.array(keras.ops.relu(keras.ops.conv(pixels / 255, kernel, 3) + bias))
    again = keras.models.model_from_json(cnn.to_json())
    again.set_weights(cnn.get_weights())
    for model in (cnn, again):
        np.testing.assert_allclose(model(pixels / 127.5 - 1), maps.mean(axis=(1, 2)), atol=1e-5)


def test_an_encoder_that_takes_one_size_only_says_so(tmp_path):
    layers = keras.layers
    keras.Sequential([layers.Input((12, 12, 3)), layers.Flatten(), layers.Dense(4)]).save(tmp_path / "flat.keras")
    settings = read_settings({"ENCODER": str(tmp_path / "flat.keras")})
    assert cnn_for(settings).output_shape == (None, 4)
    with pytest.raises(CourseError, match="flat.*20 x 20.*12 x 12"):
        cnn_for(settings, 20)
