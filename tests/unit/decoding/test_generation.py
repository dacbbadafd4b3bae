"""Captions word by word: temperature, sampling, beam search, and agreement with the decoder that was trained."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from caption_samples import FEATURES, VOCAB, opinionated_decoder

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.beam_search import best_continuations
from say_what_you_see.decoding.generate import generate, generate_sentences
from say_what_you_see.decoding.probabilities import apply_temperature, keep_top_k, keep_top_p, sample_rows, softmax
from say_what_you_see.decoding.samplers import BeamSearch, Greedy, Sampling, special_tokens
from say_what_you_see.language.captions import (
    END,
    PAD,
    START,
    UNK,
    indices_to_sentence,
    invert_vocabulary,
    most_common_caption,
)
from say_what_you_see.models.bottleneck_lstm import decoder_step_model
from say_what_you_see.models.keras_step import KerasStepModel

pytestmark = pytest.mark.backends

TABLE = [0.5, 0.4, 0.1]
STEPS = 8

NEVER_SAID = [VOCAB[token] for token in (PAD, UNK, START)]
WORDS = invert_vocabulary(VOCAB)


@pytest.fixture(scope="module")
def decoder():
    return opinionated_decoder(seed=3)


@pytest.fixture(scope="module")
def model(decoder) -> KerasStepModel:
    return decoder_step_model(decoder)


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(9, FEATURES)).astype(np.float32)


def scripted(table: dict[str, dict[str, float]], vocab: dict[str, int] = VOCAB) -> KerasStepModel:
    """A model of which the next word depends on the last one only, with the probabilities of a table."""
    size = len(vocab)
    logs = np.full((size, size), -100.0, dtype="float32")
    for word, following in table.items():
        for other, probability in following.items():
            logs[vocab[word], vocab[other]] = np.log(probability)
    picture, word, state = keras.Input((1,)), keras.Input((), dtype="int32"), keras.Input((1,))
    rows = keras.layers.Embedding(size, size, weights=[logs])(word)
    start = keras.Model(picture, keras.layers.Identity()(picture))
    return KerasStepModel(start, keras.Model([word, state], [rows, keras.layers.Identity()(state)]))


def in_words(row: np.ndarray, vocab: dict[str, int] = VOCAB) -> list[str]:
    return [invert_vocabulary(vocab)[index] for index in row]


ONE = np.zeros((1, 1), dtype="float32")


# Temperature


@pytest.mark.parametrize(("t", "expected"), [
    (0.01, [1.0, 0.0, 0.0]),
    (0.5, np.array([25, 16, 1]) / 42),
    (1, TABLE),
    (2, np.sqrt(TABLE) / np.sqrt(TABLE).sum()),
    (100, [0.335, 0.334, 0.330]),
])  # fmt: skip
def test_the_table_of_temperatures(t, expected):
    assert np.asarray(apply_temperature(np.array(TABLE), t)) == pytest.approx(np.array(expected), abs=1e-3)


@pytest.mark.parametrize("t", [1e-300, 1e-3, 0.3, 1, 3, 1e3, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_temperature_gives_a_distribution(t, dtype):
    rows = np.random.default_rng(0).dirichlet(np.full(6, 0.3), size=20).astype(dtype)
    rows[0] = [0, 0, 0.25, 0.75, 0, 0]
    tempered = np.asarray(apply_temperature(rows, t))
    assert tempered.shape == rows.shape and (tempered >= 0).all()
    assert tempered.sum(axis=-1) == pytest.approx(np.ones(20))
    if t < 100:  # later they are even as far as numbers go
        np.testing.assert_array_equal(tempered.argmax(axis=-1), rows.argmax(axis=-1))
    assert (tempered[0, [0, 1, 4, 5]] == 0).all(), "what is impossible stays impossible"


def test_temperature_moves_between_certain_and_even():
    rows = np.random.default_rng(0).dirichlet(np.ones(5), size=10)
    assert np.asarray(apply_temperature(rows, 1)) == pytest.approx(rows)
    assert np.asarray(apply_temperature(rows, 1e-6)) == pytest.approx(np.eye(5)[rows.argmax(axis=1)])
    assert np.asarray(apply_temperature(rows, 1e6)) == pytest.approx(np.full((10, 5), 0.2), abs=1e-4)
    largest = [np.asarray(apply_temperature(rows, t)).max(axis=1) for t in (0.2, 0.5, 1, 2, 5)]
    assert (np.diff(largest, axis=0) < 0).all()


@pytest.mark.parametrize("t", [0, -1, float("nan")])
def test_a_temperature_must_be_above_zero(t):
    with pytest.raises(ValueError, match="greater than 0"):
        apply_temperature(np.array(TABLE), t)


# Sampling


def test_words_are_drawn_by_their_probability():
    rows = np.tile(TABLE, (20_000, 1)).astype("float32")
    uniform = np.random.default_rng(0).random(len(rows), dtype="float32")
    drawn = np.bincount(np.asarray(sample_rows(rows, uniform)), minlength=3) / len(rows)
    assert drawn == pytest.approx(np.array(TABLE), abs=0.02)


def test_each_row_has_its_own_distribution():
    rows = np.eye(5, dtype="float32")[[3, 0, 4, 1, 2, 2]]
    uniform = np.random.default_rng(0).random(6, dtype="float32")
    np.testing.assert_array_equal(np.asarray(sample_rows(rows, uniform)), [3, 0, 4, 1, 2, 2])


@pytest.mark.parametrize("number", [0.0, np.nextafter(np.float32(1), np.float32(0))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_impossible_words_are_never_drawn(number, dtype):
    rows = np.array([[0, 0.3, 0, 0.7, 0], [0, 0, 1, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3, 0]], dtype)
    drawn = np.asarray(sample_rows(rows, np.full(3, number, dtype="float32")))
    assert (rows[np.arange(3), drawn] > 0).all()


@pytest.mark.parametrize(("k", "kept"), [(1, [1]), (2, [1, 3]), (3, [1, 2, 3]), (99, [0, 1, 2, 3])])
def test_top_k_keeps_the_k_most_probable(k, kept):
    row = np.array([[0.05, 0.5, 0.15, 0.3]], dtype="float32")
    found = np.asarray(keep_top_k(row, k))
    assert np.flatnonzero(found[0]).tolist() == kept
    np.testing.assert_array_equal(found[0, kept], row[0, kept])


@pytest.mark.parametrize(
    ("p", "kept"), [(0.01, [1]), (0.5, [1]), (0.51, [1, 3]), (0.9, [1, 2, 3]), (1.0, [0, 1, 2, 3])]
)
def test_top_p_keeps_the_fewest_words_that_have_the_probability_together(p, kept):
    row = np.array([[0.05, 0.5, 0.15, 0.3]], dtype="float32")
    assert np.flatnonzero(np.asarray(keep_top_p(row, p))[0]).tolist() == kept


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"temperature": -1}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}]
)
def test_a_way_of_sampling_that_makes_no_sense_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Sampling(**options)


# One word after another


def test_the_step_model_agrees_with_the_decoder(model, decoder, features):
    """The same words, given one at a time or all at once, lead to the same predictions."""
    words = np.random.default_rng(1).integers(len(VOCAB), size=(len(features), STEPS))
    logits = decoder.predict_on_batch([features, words])
    at_once = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    state = model.start(features)
    for step in range(STEPS):
        logits, state = model.step(words[:, step], state)
        probabilities = softmax(logits)
        np.testing.assert_allclose(probabilities, at_once[:, step], atol=1e-5)
    assert np.ptp(at_once, axis=0).max() > 0.3, "the pictures make a difference"


def test_the_state_starts_as_the_picture_twice(model, decoder, features):
    h, c = model.start(features).memory
    np.testing.assert_array_equal(h, c)
    assert h.shape == (len(features), decoder.get_layer("lstm").units)


def test_greedy_captions_are_the_most_probable_words_of_the_decoder(model, decoder, features):
    found = generate(model, features, VOCAB, Greedy(STEPS))
    assert found.indices.shape == (len(features), 1, STEPS) and found.indices.dtype == np.int32
    for caption, picture, total in zip(found.indices[:, 0], features, found.log_probabilities[:, 0], strict=True):
        words, expected = [VOCAB[START]], 0.0
        for index in caption:
            logits = decoder.predict_on_batch([picture[None], np.array([words])])[0, -1]
            expected += float(logits[index] - np.log(np.exp(logits - logits.max()).sum()) - logits.max())
            logits[NEVER_SAID] = -np.inf
            assert logits[index] >= logits.max() - 1e-4
            words.append(int(index))
            if index == VOCAB[END]:
                break
        assert (caption[len(words) - 1 :] == VOCAB[END]).all()
        assert total == pytest.approx(expected, abs=1e-3)
    assert len(np.unique(found.indices, axis=0)) > 2


WAYS = [
    Greedy(STEPS),
    Sampling(5.0, max_len=STEPS),
    Sampling(2.0, top_k=9, top_p=0.99, max_len=STEPS),
    BeamSearch(3, max_len=STEPS),
]


@pytest.mark.parametrize("sampler", WAYS)
def test_tokens_that_are_no_words_are_never_said(sampler, model, features):
    found = generate(model, np.repeat(features, 50, axis=0), VOCAB, sampler, np.random.default_rng(0))
    assert not np.isin(found.indices, NEVER_SAID).any()


@pytest.mark.parametrize("sampler", [Greedy(STEPS), BeamSearch(3, 0.5, STEPS)])
def test_a_batch_gives_the_same_captions_as_one_picture_after_the_other(sampler, model, features):
    together = generate(model, features, VOCAB, sampler)
    sentences = [indices_to_sentence(row[0], invert_vocabulary(VOCAB)) for row in together.indices]
    for batch_size in (1, 4, 100):
        found = generate(model, features, VOCAB, sampler, batch_size=batch_size)
        np.testing.assert_array_equal(found.indices, together.indices)
        np.testing.assert_allclose(found.log_probabilities, together.log_probabilities, atol=1e-4)
        assert generate_sentences(model, features, VOCAB, sampler, batch_size=batch_size) == sentences


@pytest.mark.parametrize("sampler", WAYS)
def test_no_pictures_have_no_captions(sampler, model, features):
    assert generate_sentences(model, features[:0], VOCAB, sampler) == []


def test_a_caption_ends_where_its_end_is_predicted():
    model = scripted(
        {START: {"a": 0.9, END: 0.1}, "a": {"red": 0.8}, "red": {"kite": 0.5}, "kite": {END: 0.6}, END: {"fish": 1}}
    )
    found = generate(model, ONE, VOCAB, Greedy(6))
    assert in_words(found.indices[0, 0]) == ["a", "red", "kite", END, END, END]
    assert found.finished.all()


@pytest.mark.parametrize(
    "sampler", [Greedy(3), BeamSearch(1, max_len=3), BeamSearch(4, max_len=3), Sampling(1.0, max_len=3)]
)
def test_a_caption_without_end_is_cut(sampler):
    model = scripted({START: {"a": 1}, "a": {"red": 1}, "red": {"red": 1}})
    found = generate(model, ONE, VOCAB, sampler)
    assert found.sentences(VOCAB) == ["a red red"] and not found.finished[0, 0]


def test_sampling_follows_the_seed_and_the_temperature(model, features):
    def sampled(seed: int, t: float, **options) -> np.ndarray:
        return generate(
            model, features, VOCAB, Sampling(t, max_len=STEPS, **options), np.random.default_rng(seed)
        ).indices

    greedy = generate(model, features, VOCAB, Greedy(STEPS)).indices
    np.testing.assert_array_equal(sampled(1, 1.0), sampled(1, 1.0))
    assert (sampled(1, 1.0) != sampled(2, 1.0)).any()
    np.testing.assert_array_equal(sampled(1, 1e-4), greedy)
    np.testing.assert_array_equal(sampled(1, 5.0, top_k=1), greedy)
    np.testing.assert_array_equal(sampled(1, 5.0, top_p=1e-6), greedy)
    agreement = [np.mean([(sampled(seed, t) == greedy).mean() for seed in range(5)]) for t in (0.1, 1.0, 100.0)]
    assert agreement[0] > agreement[1] > agreement[2]


def test_first_words_are_sampled_by_the_models_probabilities(model, features):
    logits, _ = model.step(np.full(len(features), VOCAB[START]), model.start(features))
    probabilities = softmax(logits)
    probabilities[:, NEVER_SAID] = 0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    undecided = probabilities.max(axis=1).argmin()
    pictures = np.repeat(features[undecided][None], 4_000, axis=0)
    drawn = generate(model, pictures, VOCAB, Sampling(max_len=1), np.random.default_rng(0)).indices[:, 0, 0]
    shares = np.bincount(drawn, minlength=len(VOCAB)) / len(drawn)
    assert shares == pytest.approx(probabilities[undecided], abs=0.03)
    assert (shares > 0.05).sum() > 1


# Beam search


def test_one_beam_is_greedy(model, features):
    many = np.random.default_rng(5).normal(size=(200, FEATURES)).astype("float32")
    for length_penalty in (0.0, 1.0):
        one = generate(model, many, VOCAB, BeamSearch(1, length_penalty, STEPS))
        greedy = generate(model, many, VOCAB, Greedy(STEPS))
        np.testing.assert_array_equal(one.indices, greedy.indices)
        np.testing.assert_array_equal(one.finished, greedy.finished)
        np.testing.assert_allclose(one.log_probabilities, greedy.log_probabilities, atol=1e-4)


SMALL = {word: index for index, word in enumerate(sorted([PAD, UNK, START, END, "a", "red", "kite"]))}


def every_caption(model: KerasStepModel, picture: np.ndarray, max_len: int) -> dict[tuple[int, ...], float]:
    """Each caption that there can be, with its log-probability: the model is asked word by word."""
    said, end, found = [SMALL[word] for word in ("a", "red", "kite")], SMALL[END], {}
    captions = [words + (end,) for n in range(max_len) for words in itertools.product(said, repeat=n)]
    for caption in captions + list(itertools.product(said, repeat=max_len)):
        state, before, total = model.start(picture), SMALL[START], 0.0
        for word in caption:
            logits, state = model.step(np.array([before]), state)
            probabilities = softmax(logits)
            total, before = total + float(np.log(probabilities[0, word])), word
        found[caption] = total
    return found


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0])
def test_wide_beams_find_what_trying_every_caption_finds(length_penalty):
    model, max_len = decoder_step_model(opinionated_decoder(1, len(SMALL))), 4
    for seed in range(2):
        picture = np.random.default_rng(seed).normal(size=(1, FEATURES)).astype("float32")
        every = every_caption(model, picture, max_len)
        ranked = sorted(every, key=lambda caption: -every[caption] / len(caption) ** length_penalty)
        found = generate(model, picture, SMALL, BeamSearch(len(every), length_penalty, max_len))
        padded = [(caption + (SMALL[END],) * max_len)[:max_len] for caption in ranked]
        expected = [every[caption] for caption in ranked]
        np.testing.assert_allclose(found.log_probabilities[0], expected, atol=1e-4)
        for caption, right, probability in zip(found.indices[0], padded, expected, strict=True):
            same = np.isclose(expected, probability, atol=1e-5).sum() > 1  # equals may stand in any order
            assert same or tuple(caption) == right
        assert found.finished.sum() == sum(caption[-1] == SMALL[END] for caption in every)


def plain_beam_search(
    model: KerasStepModel, picture: np.ndarray, sampler: BeamSearch
) -> list[tuple[tuple[int, ...], float]]:
    """Beam search as one would write it down, with lists."""
    beams, ended = [((), 0.0)], {}
    for _ in range(sampler.max_len):
        candidates = []
        for words, total in beams:
            if words and words[-1] == VOCAB[END]:
                candidates.append((words, total))
                continue
            state, before = model.start(picture), VOCAB[START]
            for word in (*words, None):
                logits, state = model.step(np.array([before]), state)
                probabilities = softmax(logits)
                before = word
            candidates += [
                ((*words, i), total + float(np.log(probabilities[0, i])))
                for i in range(len(VOCAB))
                if i not in NEVER_SAID
            ]
        beams = sorted(candidates, key=lambda beam: -beam[1] / len(beam[0]) ** sampler.length_penalty)[: sampler.k]
        ended.update((words, total) for words, total in beams if words[-1] == VOCAB[END])
    everything = [*ended.items(), *(beam for beam in beams if beam[0][-1] != VOCAB[END])]
    return sorted(everything, key=lambda beam: -beam[1] / len(beam[0]) ** sampler.length_penalty)[: sampler.k]


@pytest.mark.parametrize("sampler", [BeamSearch(2, 0.0, 5), BeamSearch(3, 1.0, 5)])
def test_it_agrees_with_a_plain_beam_search(sampler, model, features):
    found = generate(model, features[:4], VOCAB, sampler)
    for picture, captions, totals in zip(features[:4], found.indices, found.log_probabilities, strict=True):
        expected = plain_beam_search(model, picture[None], sampler)
        np.testing.assert_allclose(totals, [total for _, total in expected], atol=1e-4)
        for caption, (words, _) in zip(captions, expected, strict=True):
            assert tuple(caption[: len(words)]) == words and (caption[len(words) :] == VOCAB[END]).all()


def test_it_finds_what_greedy_misses():
    model = scripted({START: {"a": 0.6, "red": 0.4}, "a": {"kite": 0.5, "fish": 0.5}, "red": {"ball": 1.0},
                      "kite": {END: 1}, "fish": {END: 1}, "ball": {END: 1}})  # fmt: skip
    greedy, beam = (generate(model, ONE, VOCAB, sampler) for sampler in (Greedy(5), BeamSearch(2, max_len=5)))
    assert greedy.sentences(VOCAB)[0].startswith("a ") and beam.sentences(VOCAB) == ["red ball"]
    assert np.exp(beam.log_probabilities[0, 0]) == pytest.approx(0.4, abs=1e-4)


def test_what_is_finished_is_kept_when_nothing_else_ever_ends():
    model = scripted({START: {"a": 0.7, END: 0.3}, "a": {"red": 0.5, "kite": 0.5}, "red": {"kite": 0.5, "red": 0.5},
                      "kite": {"kite": 0.5, "red": 0.5}})  # fmt: skip
    found = generate(model, ONE, VOCAB, BeamSearch(2, max_len=10))
    assert in_words(found.indices[0, 0])[:2] == [END, END] and found.finished[0].tolist() == [True, False]
    assert np.exp(found.log_probabilities[0, 0]) == pytest.approx(0.3, abs=1e-4)


def test_a_length_penalty_favours_longer_captions():
    model = scripted(
        {START: {"a": 0.5, END: 0.5}, "a": {"red": 0.9, END: 0.1}, "red": {"kite": 0.9, END: 0.1}, "kite": {END: 1}}
    )
    plain, mean = (generate(model, ONE, VOCAB, BeamSearch(3, penalty, 6)).sentences(VOCAB) for penalty in (0.0, 1.0))
    assert plain == [""] and mean == ["a red kite"]


def test_more_beams_than_captions_leave_places_empty():
    model = scripted({START: {"a": 1.0}, "a": {END: 1.0}})
    found = generate(model, ONE, VOCAB, BeamSearch(5, max_len=1))
    assert in_words(found.indices[0, 0]) == ["a"] and found.log_probabilities[0, 0] == pytest.approx(0, abs=1e-4)
    assert (found.log_probabilities[0, 1:] < -50).all()


def test_the_best_continuations_name_beam_and_word():
    scores = np.array([[[1.0, 9.0, 3.0], [8.0, 2.0, 0.0]]], dtype="float32")
    parents, words = (np.asarray(part)[0].tolist() for part in best_continuations(scores, 3))
    assert (parents, words) == ([0, 1, 0], [1, 0, 2])


def test_a_beam_needs_a_width():
    with pytest.raises(ValueError, match="1 caption or more, not 0"):
        BeamSearch(0)


def test_a_vocabulary_may_lack_padding():
    tokens = special_tokens({START: 0, END: 1, UNK: 5, "a": 2})
    assert (tokens.start, tokens.end, tokens.suppressed) == (0, 1, (5, 0))


# The baseline


@pytest.mark.parametrize(("captions", "expected"), [
    ([["A ball.", "a kite"], ["a Ball"]], "a ball"),
    ([["The kite"], ["a fish"], ["a ball"]], "a ball"),
    ([["b", "b"], ["a", "c"]], "b"),
])  # fmt: skip
def test_the_most_common_caption(captions, expected):
    assert most_common_caption(captions) == expected
