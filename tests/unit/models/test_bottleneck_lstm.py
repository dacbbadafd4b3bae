"""The decoder's shape, its loss over real words only, and a file that needs no code of ours."""

import re
import zipfile

import numpy as np
import pytest
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


def test_a_saved_decoder_needs_no_code_of_ours(tmp_path):
    opinionated_decoder().save(tmp_path / "decoder.keras")
    with zipfile.ZipFile(tmp_path / "decoder.keras") as archive:
        config = archive.read("config.json").decode()
    assert {module.partition(".")[0] for module in re.findall(r'"module": "([^"]*)"', config)} == {"keras"}
    assert set(re.findall(r'"registered_name": ([^,}]*)', config)) <= {"null", '"Functional"'}
