"""What every decoder has in common: whole captions and single words lead to the same predictions, in all samplers.

The course's own decoder standardises its features, and its file needs no code of ours.
"""

import re
import zipfile

import numpy as np
import pytest
from attention_samples import opinionated_attention
from caption_samples import FEATURES, VOCAB, opinionated, opinionated_decoder, tiny_decoder, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.probabilities import softmax
from say_what_you_see.decoding.samplers import Greedy, Sampling
from say_what_you_see.language.captions import END, PAD, START, UNK
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.bottleneck_lstm import fit_standardisation
from say_what_you_see.models.show_and_tell import build_show_and_tell
from say_what_you_see.models.transformer import build_transformer

pytestmark = pytest.mark.backends


MODELS = {
    "decoder": opinionated_decoder,
    "show and tell": lambda: opinionated(build_show_and_tell(len(VOCAB), FEATURES, 10, 14), spread=1),
    "attention": opinionated_attention,
    "transformer": lambda: opinionated(build_transformer(len(VOCAB), 9, FEATURES, 8, blocks=2, heads=2), spread=1),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request) -> keras.Model:
    return MODELS[request.param]()


@pytest.fixture
def features(model) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(5, *model.inputs[0].shape[1:])).astype(np.float32)


@pytest.fixture
def words() -> np.ndarray:
    return np.random.default_rng(1).integers(len(VOCAB), size=(5, 6)).astype(np.int32)


def test_logits_depend_on_the_image_and_the_words_so_far_only(model, features, words):
    logits = model.predict_on_batch([features, words])
    assert logits.shape == (5, 6, len(VOCAB))
    later = words.copy()
    later[:, 3:] = (later[:, 3:] + 1) % len(VOCAB)
    changed = model.predict_on_batch([features, later])
    np.testing.assert_allclose(changed[:, :3], logits[:, :3], atol=1e-5)
    assert np.abs(changed[:, 3:] - logits[:, 3:]).max(axis=(1, 2)).min() > 1e-2
    other_images = model.predict_on_batch([np.roll(features, 1, axis=0), words])
    assert np.abs(other_images[:, 0] - logits[:, 0]).max() > 1e-2, "from the first word on"
    np.testing.assert_allclose(model.predict_on_batch([features, words[:, :2]]), logits[:, :2], atol=1e-4)


def test_one_word_at_a_time_gives_what_all_at_once_gives(model, features, words):
    """Also when captions leave the batch, change places, or are continued twice."""
    expected = softmax(model.predict_on_batch([features, words]).reshape(30, -1)).reshape(5, 6, -1)
    step_model, captions = step_model_of(model), np.arange(5)
    state = step_model.start(features)
    for step in range(6):
        logits, state = step_model.step(words[captions, step], state)
        np.testing.assert_allclose(softmax(logits), expected[captions, step], atol=1e-5)
        chosen = np.random.default_rng(step).integers(len(captions), size=7 - step)
        captions, state = captions[chosen], state.take(chosen)


@pytest.mark.parametrize("sampler", [Greedy(6), BeamSearch(3, max_len=6), Sampling(1.2, top_k=4, max_len=6)], ids=str)
def test_captions_come_with_their_probability(model, features, sampler):
    found = generate(step_model_of(model), features, VOCAB, sampler, np.random.default_rng(0))
    best = found.indices[:, 0]
    read = np.insert(best[:, :-1], 0, VOCAB[START], axis=1)
    shares = softmax(model.predict_on_batch([features, read]).reshape(30, -1)).reshape(5, 6, -1)
    of_words = np.log(np.take_along_axis(shares, best[..., None], axis=-1)[..., 0])
    of_words[np.cumsum(read == VOCAB[END], axis=1) > 0] = 0  # behind END
    assert found.log_probabilities[:, 0] == pytest.approx(of_words.sum(axis=1), abs=1e-3)
    assert not np.isin(found.indices, [VOCAB[token] for token in (PAD, UNK, START)]).any()


def test_a_saved_model_says_the_same(model, features, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    before, after = (generate(step_model_of(each), features, VOCAB, BeamSearch(3)) for each in (model, loaded))
    np.testing.assert_array_equal(after.indices, before.indices)
    np.testing.assert_allclose(after.log_probabilities, before.log_probabilities, rtol=1e-4)


# The course's own decoder


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
