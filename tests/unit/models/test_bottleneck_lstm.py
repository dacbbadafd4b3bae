"""The decoder's shape, its loss over real words only, and a file that needs no code of ours."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from backend_marks import tensorflow_suffices
from caption_samples import FEATURES, opinionated_decoder, tiny_decoder, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.models.bottleneck_lstm import fit_standardisation

pytestmark = pytest.mark.backends


def standardised(decoder: keras.Model, features: np.ndarray) -> np.ndarray:
    return np.asarray(decoder.get_layer("standardise")(features))


@pytest.mark.parametrize("rows", [5_000, 300])
def test_features_are_standardised(rows):
    features = toy_examples(900, scale=30, offset=-500).image_embeds
    decoder = tiny_decoder()
    fit_standardisation(decoder, features, rows)
    scaled = standardised(decoder, features)
    assert scaled.mean(axis=0) == pytest.approx(np.zeros(FEATURES), abs=0.2 if rows < 900 else 1e-3)
    assert scaled.var(axis=0) == pytest.approx(np.ones(FEATURES), abs=0.2 if rows < 900 else 1e-3)


def test_a_feature_that_hardly_ever_varied_is_not_blown_up():
    features = toy_examples(100).image_embeds.copy()
    features[:, 0] = 0.3
    features[:, 1] = 1e-7 * features[:, 1]
    decoder = tiny_decoder()
    fit_standardisation(decoder, features)
    usual = np.abs(standardised(decoder, features)).max()
    new = features[:1] + np.array([[0.5, 0.5, 0, 0, 0, 0]], np.float32)
    assert usual < 10
    assert np.abs(standardised(decoder, new)).max() < 500
    assert np.ptp(standardised(decoder, features)[:, 2:], axis=0).min() > 1, "the others keep their spread"


LOAD = """
import sys
sys.modules["utils"] = None  # importing it would fail
import keras, numpy as np
decoder = keras.saving.load_model(sys.argv[1])
assert not getattr(decoder, "compiled", False)
arrays = np.load(sys.argv[2])
found = decoder.predict_on_batch([arrays["features"], arrays["words"]])
assert np.abs(found - arrays["logits"]).max() < 1e-4, np.abs(found - arrays["logits"]).max()
print("the same")
"""


@tensorflow_suffices
def test_a_saved_decoder_loads_without_our_code(tmp_path):
    examples, decoder = toy_examples(6, scale=40, offset=7), opinionated_decoder()
    fit_standardisation(decoder, examples.image_embeds)
    features, words = examples.image_embeds, examples.captions.matrix[:6].astype("int32")
    logits = decoder.predict_on_batch([features, words])
    assert np.ptp(logits) > 1
    np.savez(tmp_path / "expected.npz", features=features, words=words, logits=logits)
    decoder.save(tmp_path / "decoder.keras")
    command = [sys.executable, "-c", LOAD, str(tmp_path / "decoder.keras"), str(tmp_path / "expected.npz")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (result.returncode, result.stdout) == (0, "the same\n"), result.stderr
