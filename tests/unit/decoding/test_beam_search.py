"""Beam search finds what trying every caption finds, and what the same search written with lists finds.

The search with lists is the lesson's.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from step_samples import (
    ONE_IMAGE,
    SUPPRESSED,
    TOKENS,
    VOCAB,
    TableModel,
    log_probabilities,
    random_features,
    random_model,
    scripted,
)

from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.beam_tree import best_path, grow_beam_tree
from say_what_you_see.decoding.by_hand import beam_search, greedy_search
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import Greedy, next_word_of
from say_what_you_see.language.captions import END, START

WORDS = [index for index in VOCAB.values() if index not in SUPPRESSED]
Scored = list[tuple[tuple[int, ...], float]]


def ranked(captions: Scored, length_penalty: float) -> Scored:
    return sorted(captions, key=lambda caption: -caption[1] / len(caption[0]) ** length_penalty)


def every_caption(model: TableModel, image: np.ndarray, max_len: int) -> Scored:
    """Each caption that there can be, with its log-probability."""
    said = [word for word in WORDS if word != VOCAB[END]]
    captions = [(*words, VOCAB[END]) for n in range(max_len) for words in itertools.product(said, repeat=n)]
    captions += itertools.product(said, repeat=max_len)
    steps = {
        words: log_probabilities(model, image, words) for words in {c[:i] for c in captions for i in range(len(c))}
    }
    return [(caption, sum(steps[caption[:i]][word] for i, word in enumerate(caption))) for caption in captions]


def beams_by_hand(model: TableModel, image: np.ndarray, sampler: BeamSearch) -> Scored:
    state = model.start(image[None])
    return beam_search(next_word_of(model, TOKENS), state, TOKENS, sampler.k, sampler.length_penalty, sampler.max_len)


def in_full(words: tuple[int, ...], max_len: int) -> tuple[int, ...]:
    """A caption with END behind it, to its greatest length."""
    return (words + (VOCAB[END],) * max_len)[:max_len]


def assert_found(indices: np.ndarray, totals: np.ndarray, expected: Scored) -> None:
    np.testing.assert_allclose(totals, [total for _, total in expected], atol=1e-4)
    for caption, (words, total) in zip(indices, expected, strict=True):
        alike = np.isclose(totals, total, atol=1e-5).sum() > 1  # equals may stand in any order
        assert alike or tuple(caption) == in_full(words, len(caption))


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0])
def test_wide_beams_find_what_trying_every_caption_finds(length_penalty):
    model, max_len = random_model(1), 3
    for image in random_features(2):
        expected = ranked(every_caption(model, image, max_len), length_penalty)
        sampler = BeamSearch(len(expected), length_penalty, max_len)
        by_hand, totals = zip(*beams_by_hand(model, image, sampler), strict=True)
        assert_found(np.array([in_full(words, max_len) for words in by_hand]), np.array(totals), expected)
        found = generate(model, image[None], VOCAB, sampler)
        assert_found(found.indices[0], found.log_probabilities[0], expected)
        assert found.finished.sum() == sum(words[-1] == VOCAB[END] for words, _ in expected)


def says_twice(words: tuple[int, ...], n: int) -> bool:
    said = [word for word in words if word != VOCAB[END]]
    runs = [tuple(said[i : i + n]) for i in range(len(said) - n + 1)]
    return len({*runs}) < len(runs) or any(first == second for first, second in itertools.pairwise(said))


@pytest.mark.parametrize(("no_repeat_ngram_size", "max_len"), [(1, 3), (2, 4)])
def test_wide_beams_say_nothing_twice_and_miss_nothing_else(no_repeat_ngram_size, max_len):
    model, image = random_model(1), random_features(1)[0]
    expected = [one for one in every_caption(model, image, max_len) if not says_twice(one[0], no_repeat_ngram_size)]
    sampler = BeamSearch(len(expected), 0.0, max_len, no_repeat_ngram_size)
    found = generate(model, image[None], VOCAB, sampler)
    assert_found(found.indices[0], found.log_probabilities[0], ranked(expected, 0.0))


@pytest.mark.parametrize("sampler", [Greedy(15, 2), BeamSearch(2, 0.0, 15, 2)], ids=str)
def test_other_captions_stay_as_they_were_where_nothing_is_said_twice(sampler):
    model, features = random_model(), random_features(200)
    samplers = replace(sampler, no_repeat_ngram_size=0), sampler
    free, found = (generate(model, features, VOCAB, each).indices[:, 0] for each in samplers)
    repeated = np.array([says_twice(tuple(caption), 2) for caption in free])
    assert 10 < repeated.sum() < 190 and not any(says_twice(tuple(caption), 2) for caption in found)
    if isinstance(sampler, Greedy):  # among two beams another one may have repeated itself
        np.testing.assert_array_equal(free[~repeated], found[~repeated])


@pytest.mark.parametrize(("k", "length_penalty", "max_len"), [(2, 0, 5), (3, 1, 5), (3, 0.7, 8), (5, -0.5, 6)])
def test_it_finds_what_the_search_with_lists_finds(k, length_penalty, max_len):
    sampler = BeamSearch(k, length_penalty, max_len)
    model, features = random_model(), random_features(60)
    found = generate(model, features, VOCAB, sampler)
    for image, captions, totals in zip(features, found.indices, found.log_probabilities, strict=True):
        assert_found(captions, totals, beams_by_hand(model, image, sampler))


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_one_beam_is_greedy(length_penalty):
    model, features = random_model(), random_features(200)
    one, greedy = (generate(model, features, VOCAB, s) for s in (BeamSearch(1, length_penalty, 8), Greedy(8)))
    np.testing.assert_array_equal(one.indices, greedy.indices)
    np.testing.assert_array_equal(one.finished, greedy.finished)
    np.testing.assert_allclose(one.log_probabilities, greedy.log_probabilities, atol=1e-4)


@pytest.mark.parametrize("max_len", [1, 4, 8])
def test_the_greedy_loop_of_the_lesson_writes_what_greedy_writes(max_len):
    model, features = random_model(), random_features(40)
    found = generate(model, features, VOCAB, Greedy(max_len)).indices[:, 0]
    for image, caption in zip(features, found, strict=True):
        words = greedy_search(next_word_of(model, TOKENS), model.start(image[None]), TOKENS, max_len)
        assert in_full(tuple(words), max_len) == tuple(caption) and VOCAB[END] not in words[:-1]


def test_what_has_ended_is_kept_when_nothing_else_ever_ends():
    model = scripted({START: {"a": 0.7, END: 0.3}, "a": {"red": 0.5, "kite": 0.5}, "red": {"kite": 0.5, "red": 0.5},
                      "kite": {"kite": 0.5, "red": 0.5}})  # fmt: skip
    found = generate(model, ONE_IMAGE, VOCAB, BeamSearch(2, max_len=10))
    assert found.sentences(VOCAB) == [""] and found.finished[0].tolist() == [True, False]
    assert np.exp(found.log_probabilities[0, 0]) == pytest.approx(0.3, abs=1e-4)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_tree_that_is_drawn_is_the_search_that_is_done(k):
    model = random_model()
    for image in random_features(6):
        tree = grow_beam_tree(model, image[None], VOCAB, k, max_len=6)
        found = generate(model, image[None], VOCAB, BeamSearch(k, max_len=6))
        path = best_path(tree)
        assert path[0] == 0 and [tree[number].step for number in path] == list(range(len(path)))
        words = [tree[number].word for number in path[1:] if tree[number].word != END]
        assert [" ".join(words)] == found.sentences(VOCAB)
        assert tree[path[-1]].log_probability == pytest.approx(found.log_probabilities[0, 0], abs=1e-3)
