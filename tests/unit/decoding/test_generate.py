"""Captions word by word: greedy and drawn at random, for one image and for many."""

import numpy as np
import pytest
from step_samples import SUPPRESSED, VOCAB, log_probabilities, random_features, random_model

from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import CAPTIONS_IN_CACHE, generate, generate_sentences
from say_what_you_see.decoding.probabilities import softmax
from say_what_you_see.decoding.samplers import Greedy, Sampling

STEPS = 8
SAMPLERS = [
    Greedy(STEPS), Sampling(5.0, max_len=STEPS), Sampling(2.0, top_k=4, top_p=0.99, max_len=STEPS),
    Sampling(max_len=STEPS, k=3), BeamSearch(3, 0.5, STEPS),
]  # fmt: skip


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_many_images_are_captioned_as_one_after_the_other(sampler):
    """Whatever the batches, and with as many threads as there are."""
    model, features = random_model(), random_features(2 * CAPTIONS_IN_CACHE + 9)
    together = generate(model, features, VOCAB, sampler, np.random.default_rng(7))
    one_thread = random_model()
    one_thread.is_thread_safe = False
    for other, batch_size in ((model, 50), (one_thread, 256)):
        found = generate(other, features, VOCAB, sampler, np.random.default_rng(7), batch_size)
        np.testing.assert_array_equal(found.indices, together.indices)
        np.testing.assert_allclose(found.log_probabilities, together.log_probabilities, atol=1e-4)
    rng = np.random.default_rng(7)
    sentences = [generate_sentences(model, features[i : i + 1], VOCAB, sampler, rng)[0] for i in range(20)]
    assert sentences == together.sentences(VOCAB)[:20]


def test_sampling_follows_the_seed_and_the_temperature():
    model, features = random_model(), random_features(30)

    def sampled(seed: int, t: float, **options) -> np.ndarray:
        sampler = Sampling(t, max_len=STEPS, **options)
        return generate(model, features, VOCAB, sampler, np.random.default_rng(seed)).indices

    greedy = generate(model, features, VOCAB, Greedy(STEPS)).indices
    np.testing.assert_array_equal(sampled(1, 1.0), sampled(1, 1.0))
    assert (sampled(1, 1.0) != sampled(2, 1.0)).any()
    for cautious in (sampled(1, 1e-4), sampled(1, 5.0, top_k=1), sampled(1, 5.0, top_p=1e-6)):
        np.testing.assert_array_equal(cautious, greedy)
    agreement = [np.mean([(sampled(seed, t) == greedy).mean() for seed in range(5)]) for t in (0.1, 1.0, 100.0)]
    assert agreement[0] > agreement[1] > agreement[2]


@pytest.mark.parametrize("k", [1, 4])
def test_words_are_drawn_by_the_models_probabilities(k):
    model, image = random_model(), random_features(1)
    probabilities = softmax(log_probabilities(model, image[0], ())[None])[0]
    probabilities[SUPPRESSED] = 0
    images = np.repeat(image, 4_000 // k, axis=0)
    drawn = generate(model, images, VOCAB, Sampling(max_len=1, k=k), np.random.default_rng(0)).indices
    assert drawn.shape == (4_000 // k, k, 1) and (k == 1 or (drawn[:, 0] != drawn[:, 1]).any())
    drawn = drawn.ravel()
    shares = np.bincount(drawn, minlength=len(VOCAB)) / len(drawn)
    assert shares == pytest.approx(probabilities / probabilities.sum(), abs=0.03) and (shares > 0.05).sum() > 1


@pytest.mark.parametrize(("sampler", "options"), [
    (Sampling, {"temperature": 0}), (Sampling, {"temperature": -1}), (Sampling, {"top_k": 0}), (Sampling, {"top_p": 0}),
    (Sampling, {"top_p": 1.1}), (BeamSearch, {"k": 0}), (Sampling, {"k": 0}),
])  # fmt: skip
def test_a_sampler_that_makes_no_sense_is_refused(sampler, options):
    with pytest.raises(ValueError, match="1 caption or more, not 0" if "k" in options else next(iter(options))):
        sampler(**options)
