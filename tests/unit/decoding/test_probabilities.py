"""From logits to a word: softmax, temperature, top-k, top-p, and the draw itself."""

import numpy as np
import pytest

from say_what_you_see.decoding.probabilities import (
    apply_temperature,
    keep_top_k,
    keep_top_p,
    log_softmax,
    sample_rows,
    softmax,
)

THREE = [0.5, 0.4, 0.1]


@pytest.mark.parametrize("shift", [0, 100, -100, 3e4])
def test_log_probabilities_of_any_logits(shift):
    logits = np.random.default_rng(0).normal(size=(40, 50)) * 3
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    found = log_softmax((logits + shift).astype("float32"))
    np.testing.assert_allclose(found, expected, atol=1e-5 + 2e-7 * abs(shift))
    np.testing.assert_allclose(softmax(logits).sum(axis=1), np.ones(40), rtol=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("t", [1e-300, 1e-3, 0.3, 1, 3, 1e3, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_temperature_gives_a_distribution(t, dtype):
    rows = np.random.default_rng(0).dirichlet(np.full(6, 0.3), size=20).astype(dtype)
    rows[0] = [0, 0, 0.25, 0.75, 0, 0]
    tempered = apply_temperature(rows, t)
    assert tempered.shape == rows.shape and tempered.dtype == dtype and (tempered >= 0).all()
    assert tempered.sum(axis=-1) == pytest.approx(np.ones(20))
    if t < 100:  # later they are even as far as numbers go
        np.testing.assert_array_equal(tempered.argmax(axis=-1), rows.argmax(axis=-1))
    assert (tempered[0, [0, 1, 4, 5]] == 0).all(), "what is impossible stays impossible"


@pytest.mark.parametrize(("keep", "limit", "kept"), [
    (keep_top_k, 1, [1]), (keep_top_k, 2, [1, 3]), (keep_top_k, 3, [1, 2, 3]), (keep_top_k, 99, [0, 1, 2, 3]),
    (keep_top_p, 0.01, [1]), (keep_top_p, 0.5, [1]), (keep_top_p, 0.51, [1, 3]), (keep_top_p, 0.9, [1, 2, 3]),
    (keep_top_p, 1.0, [0, 1, 2, 3]),
])  # fmt: skip
def test_the_most_probable_words_are_kept_as_they_are(keep, limit, kept):
    row = np.array([[0.05, 0.5, 0.15, 0.3]], dtype="float32")
    found = keep(row, limit)
    assert np.flatnonzero(found[0]).tolist() == kept
    np.testing.assert_array_equal(found[0, kept], row[0, kept])


@pytest.mark.parametrize("number", [0.0, np.nextafter(np.float32(1), np.float32(0))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_impossible_words_are_never_drawn(number, dtype):
    rows = np.array([[0, 0.3, 0, 0.7, 0], [0, 0, 1, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3, 0]], dtype)
    drawn = sample_rows(rows, np.full(3, number, dtype="float32"))
    assert (rows[np.arange(3), drawn] > 0).all()
