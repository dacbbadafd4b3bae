"""Captions word by word: temperature, sampling, and agreement with the decoder that was trained."""

from __future__ import annotations

import numpy as np
import pytest
from caption_samples import FEATURES, VOCAB, opinionated_decoder

from utils.captions import END, PAD, START, UNK, indices_to_sentence
from utils.generation import (
    WordByWord,
    apply_temperature,
    generate_indices,
    generate_sentences,
    most_common_caption,
    sample_rows,
)

TABLE = [0.5, 0.4, 0.1]
STEPS = 8

NEVER_SAID = [VOCAB[token] for token in (PAD, UNK, START)]


@pytest.fixture(scope="module")
def decoder():
    return opinionated_decoder(seed=3)


@pytest.fixture(scope="module")
def model(decoder) -> WordByWord:
    return WordByWord(decoder)


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(9, FEATURES)).astype(np.float32)


class Script:
    """Stands in for a model: its next words and their probabilities are written down."""

    def __init__(self, sentences: list[list[str]]):
        self.indices = np.array([[VOCAB[word] for word in sentence] for sentence in sentences])
        self.seen: list[np.ndarray] = []

    def initial_state(self, image_embeds: np.ndarray) -> list:
        return []

    def next_word(self, words: np.ndarray, state: list) -> tuple[np.ndarray, list]:
        step = len(self.seen)
        self.seen.append(np.array(words))
        return np.eye(len(VOCAB))[self.indices[:, step]], state


# Temperature


@pytest.mark.parametrize(("t", "expected"), [
    (0.01, [1.0, 0.0, 0.0]),
    (0.5, np.array([25, 16, 1]) / 42),
    (1, TABLE),
    (2, np.sqrt(TABLE) / np.sqrt(TABLE).sum()),
    (100, [0.335, 0.334, 0.330]),
])  # fmt: skip
def test_the_table_of_temperatures(t, expected):
    assert apply_temperature(np.array(TABLE), t) == pytest.approx(np.array(expected), abs=1e-3)


@pytest.mark.parametrize("t", [1e-300, 1e-3, 0.3, 1, 3, 1e3, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_temperature_gives_a_distribution(t, dtype):
    rows = np.random.default_rng(0).dirichlet(np.full(6, 0.3), size=20).astype(dtype)
    rows[0] = [0, 0, 0.25, 0.75, 0, 0]
    tempered = apply_temperature(rows, t)
    assert tempered.shape == rows.shape and (tempered >= 0).all()
    assert tempered.sum(axis=-1) == pytest.approx(np.ones(20))
    if t < 100:  # later they are even as far as numbers go
        np.testing.assert_array_equal(tempered.argmax(axis=-1), rows.argmax(axis=-1))
    assert (tempered[0, [0, 1, 4, 5]] == 0).all(), "what is impossible stays impossible"


def test_temperature_moves_between_certain_and_even():
    rows = np.random.default_rng(0).dirichlet(np.ones(5), size=10)
    assert apply_temperature(rows, 1) == pytest.approx(rows)
    assert apply_temperature(rows, 1e-6) == pytest.approx(np.eye(5)[rows.argmax(axis=1)])
    assert apply_temperature(rows, 1e6) == pytest.approx(np.full((10, 5), 0.2), abs=1e-4)
    largest = [apply_temperature(rows, t).max(axis=1) for t in (0.2, 0.5, 1, 2, 5)]
    assert (np.diff(largest, axis=0) < 0).all()


@pytest.mark.parametrize("t", [0, -1, float("nan")])
def test_a_temperature_must_be_above_zero(t):
    with pytest.raises(ValueError, match="greater than 0"):
        apply_temperature(np.array(TABLE), t)


# Sampling


def test_words_are_drawn_by_their_probability():
    rows = np.tile(TABLE, (20_000, 1))
    drawn = np.bincount(sample_rows(rows, np.random.default_rng(0)), minlength=3) / len(rows)
    assert drawn == pytest.approx(np.array(TABLE), abs=0.02)


def test_each_row_has_its_own_distribution():
    rows = np.eye(5)[[3, 0, 4, 1, 2, 2]]
    np.testing.assert_array_equal(sample_rows(rows, np.random.default_rng(0)), [3, 0, 4, 1, 2, 2])


@pytest.mark.parametrize("number", [0.0, np.nextafter(1, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_impossible_words_are_never_drawn(number, dtype):
    class Extreme:
        def random(self, shape):
            return np.full(shape, number)

    rows = np.array([[0, 0.3, 0, 0.7, 0], [0, 0, 1, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3, 0]], dtype)
    drawn = sample_rows(rows, Extreme())
    assert (rows[np.arange(3), drawn] > 0).all()


# One word after another


def test_the_step_model_agrees_with_the_decoder(model, decoder, features):
    """The same words, given one at a time or all at once, lead to the same predictions."""
    words = np.random.default_rng(1).integers(len(VOCAB), size=(len(features), STEPS))
    logits = decoder.predict_on_batch([features, words])
    at_once = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    state = model.initial_state(features)
    for step in range(STEPS):
        probabilities, state = model.next_word(words[:, step], state)
        np.testing.assert_allclose(probabilities, at_once[:, step], atol=1e-5)
    assert np.ptp(at_once, axis=0).max() > 0.3, "the pictures make a difference"


def test_the_state_starts_as_the_picture_twice(model, decoder, features):
    h, c = model.initial_state(features)
    np.testing.assert_array_equal(h, c)
    assert h.shape == (len(features), decoder.get_layer("lstm").units)


def test_greedy_captions_are_the_most_probable_words_of_the_decoder(model, decoder, features):
    captions = generate_indices(model, features, VOCAB, max_len=STEPS)
    assert captions.shape == (len(features), STEPS)
    for caption, picture in zip(captions, features, strict=True):
        words = [VOCAB[START]]
        for index in caption:
            logits = decoder.predict_on_batch([picture[None], np.array([words])])[0, -1]
            logits[NEVER_SAID] = -np.inf
            assert logits[index] >= logits.max() - 1e-4
            words.append(int(index))
            if index == VOCAB[END]:
                break
        assert (caption[len(words) - 1 :] == VOCAB[END]).all()
    assert len(np.unique(captions, axis=0)) > 2


def test_tokens_that_are_no_words_are_never_said(model, features):
    rng = np.random.default_rng(0)
    for options in ({}, {"sample": True, "t": 5.0, "rng": rng}):
        captions = generate_indices(model, np.repeat(features, 50, axis=0), VOCAB, max_len=STEPS, **options)
        assert not np.isin(captions, NEVER_SAID).any()


def test_a_batch_gives_the_same_captions_as_one_picture_after_the_other(model, features):
    together = generate_indices(model, features, VOCAB, max_len=STEPS)
    alone = [generate_indices(model, picture[None], VOCAB, max_len=STEPS)[0] for picture in features]
    np.testing.assert_array_equal(together, alone)
    sentences = [indices_to_sentence(row, VOCAB) for row in together]
    for batch_size in (1, 4, 100):
        assert generate_sentences(model, features, VOCAB, batch_size, max_len=STEPS) == sentences


def test_no_pictures_have_no_captions(model, features):
    assert generate_sentences(model, features[:0], VOCAB) == []


def test_a_caption_ends_where_its_end_is_predicted():
    script = Script(
        [["a", "red", "kite", END, "fish"], ["a", END, "ball", "ball", "ball"], [END, "ball", END, "a", "a"]]
    )
    captions = generate_indices(script, np.zeros((3, 2)), VOCAB, max_len=5)
    words = [[list(VOCAB)[index] for index in row] for row in captions]
    assert words == [["a", "red", "kite", END, END], ["a", END, END, END, END], [END] * 5]
    assert len(script.seen) == 4, "it stops when all have ended"
    assert [list(VOCAB)[index] for index in script.seen[0]] == [START] * 3
    assert [list(VOCAB)[seen[0]] for seen in script.seen] == [START, "a", "red", "kite"]


@pytest.mark.parametrize("max_len", [1, 3])
def test_a_caption_without_end_is_cut(max_len):
    script = Script([["a", "red", "kite", "fish", "fish"]])
    assert generate_sentences(script, np.zeros((1, 2)), VOCAB, max_len=max_len) == [
        " ".join(["a", "red", "kite"][:max_len])
    ]
    assert len(script.seen) == max_len


def test_sampling_follows_the_seed_and_the_temperature(model, features):
    def sampled(seed: int, t: float) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return generate_indices(model, features, VOCAB, t=t, sample=True, max_len=STEPS, rng=rng)

    greedy = generate_indices(model, features, VOCAB, max_len=STEPS)
    np.testing.assert_array_equal(sampled(1, 1.0), sampled(1, 1.0))
    assert (sampled(1, 1.0) != sampled(2, 1.0)).any()
    np.testing.assert_array_equal(sampled(1, 1e-4), greedy)
    agreement = [np.mean([(sampled(seed, t) == greedy).mean() for seed in range(5)]) for t in (0.1, 1.0, 100.0)]
    assert agreement[0] > agreement[1] > agreement[2]


def test_first_words_are_sampled_by_the_models_probabilities(model, features):
    probabilities, _ = model.next_word(np.full(len(features), VOCAB[START]), model.initial_state(features))
    probabilities[:, NEVER_SAID] = 0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    undecided = probabilities.max(axis=1).argmin()
    pictures = np.repeat(features[undecided][None], 4_000, axis=0)
    drawn = generate_indices(model, pictures, VOCAB, sample=True, max_len=1, rng=np.random.default_rng(0))[:, 0]
    shares = np.bincount(drawn, minlength=len(VOCAB)) / len(drawn)
    assert shares == pytest.approx(probabilities[undecided], abs=0.03)
    assert (shares > 0.05).sum() > 1


# The baseline


@pytest.mark.parametrize(("captions", "expected"), [
    ([["A ball.", "a kite"], ["a Ball"]], "a ball"),
    ([["The kite"], ["a fish"], ["a ball"]], "a ball"),
    ([["b", "b"], ["a", "c"]], "b"),
])  # fmt: skip
def test_the_most_common_caption(captions, expected):
    assert most_common_caption(captions) == expected
