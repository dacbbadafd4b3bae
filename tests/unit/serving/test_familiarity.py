"""Captions that are not to be believed are told from others, and the description of what a model knows is whole."""

import numpy as np
import pytest
from caption_samples import ENCODER, FEATURES, VOCAB, opinionated_decoder

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import read_settings
from say_what_you_see.decoding.generate import generate
from say_what_you_see.language.captions import END
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.serving.familiarity import (
    FAMILIARITY_FILE,
    UNFAMILIAR,
    UNLIKELY,
    Familiarity,
    learn_familiarity,
    log_probability_of_a_word,
    read_familiarity,
)
from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model, save_caption_model
from say_what_you_see.serving.model_install import install_model, pack_model


def photographs(count: int, seed: int, axis: int = 0) -> np.ndarray:
    """Embeddings about one direction."""
    noise = np.random.default_rng(seed).normal(0, 0.1, (count, FEATURES))
    return (np.eye(FEATURES)[axis] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def familiarity() -> Familiarity:
    return learn_familiarity(photographs(500, 0), photographs(200, 1), np.linspace(-2, -1, 200))


def test_one_photograph_in_twenty_of_the_validation_split_is_doubted(familiarity):
    assert sum(map(bool, familiarity.doubts(photographs(200, 1)))) == 10
    assert sum(map(bool, familiarity.doubts(photographs(200, 1), np.linspace(-2, -1, 200)))) in range(10, 21)


@pytest.mark.parametrize("shape", ["mean", "grid"])
def test_what_is_unlike_and_what_is_unlikely_is_said(shape, familiarity):
    features = np.concatenate([photographs(1, 2), photographs(1, 2), photographs(1, 2, axis=3)])
    features = np.repeat(features[:, None], 4, axis=1) if shape == "grid" else features
    found = familiarity.doubts(features, np.array([-1.5, -9, -9]))
    assert found == [[], [UNLIKELY], [UNFAMILIAR, UNLIKELY]]
    assert familiarity.doubts(features) == [[], [], [UNFAMILIAR]], "drawn words may be unlikely"


def test_the_log_probability_of_a_word_counts_the_end():
    features = np.random.default_rng(0).normal(size=(20, FEATURES)).astype(np.float32)
    captions = generate(step_model_of(opinionated_decoder()), features, VOCAB)
    words = [len(sentence.split()) for sentence in captions.sentences(VOCAB)]
    expected = captions.log_probabilities[:, 0] / (np.array(words) + captions.finished[:, 0])
    np.testing.assert_allclose(log_probability_of_a_word(captions, VOCAB[END]), expected, rtol=1e-5)


def test_it_goes_with_the_model_and_is_named_where_it_is_missing_or_that_of_another_encoder(familiarity, tmp_path):
    folder, settings = tmp_path / "model", read_settings({"COURSE_DATA": str(tmp_path / "data")})
    save_caption_model(CaptionModel(opinionated_decoder(), VOCAB, ENCODER, familiarity=familiarity), folder)
    pack_model(folder, tmp_path / "packed.zip")
    loaded = load_caption_model(install_model(str(tmp_path / "packed.zip"), settings)).familiarity
    np.testing.assert_array_equal(loaded.centroids, familiarity.centroids)
    assert loaded.greatest_distance == familiarity.greatest_distance
    assert loaded.least_log_probability == familiarity.least_log_probability
    (folder / FAMILIARITY_FILE).unlink()
    with pytest.raises(CourseError, match=FAMILIARITY_FILE):
        load_caption_model(folder)
    other = Familiarity(familiarity.centroids[:, 1:], 0.1, -1.0)
    save_caption_model(CaptionModel(opinionated_decoder(), VOCAB, ENCODER, familiarity=other), folder)
    with pytest.raises(CourseError, match=FAMILIARITY_FILE):
        load_caption_model(folder)


def test_a_file_of_earlier_versions_counts_features_as_they_are(familiarity, tmp_path):
    np.savez(tmp_path / "old.npz", centroids=familiarity.centroids, limits=np.array([0.5, -2.0]))
    assert read_familiarity(tmp_path / "old.npz").exponent == 1
    familiarity.save(tmp_path / "new.npz")
    assert read_familiarity(tmp_path / "new.npz").exponent == familiarity.exponent == 0.5
