"""Comparing results: the first difference is found and named, and what is the same is the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from say_what_you_see.exercises.compare import copy_of, first_difference

pytestmark = pytest.mark.backends

SAME = [
    ([[1, 2], []], [[1, 2], []]),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"a": 2}, Counter("aa")),
    (1, np.int64(1)),
    (0.5, np.float32(0.5)),
    (1.0, 1.0 + 1e-7),
    (float("nan"), float("nan")),
    (np.array([1.0, np.nan, np.inf]), np.array([1.0 + 1e-7, np.nan, np.inf])),
    (np.zeros((0, 3)), np.zeros((0, 3))),
    ({1, 2}, {2, 1}),
    (None, None),
    ("text", "text"),
]


@pytest.mark.parametrize(("expected", "received"), SAME)
def test_the_same(expected, received):
    assert first_difference(expected, received) is None


DIFFERENT = [
    ([[1, 2], [3, 4]], [[1, 2], [3, 5]], "[1][1]", "4", "5"),
    ([1, 2, 3], [1, 2], "", "a list of 3", "a list of 2"),
    ([[1], [2]], [[1]], "", "a list of 2", "a list of 1"),
    ([1, 2], (1, 2), "", "a list", "a tuple"),
    ({"a": 1}, {}, "['a']", "1", "no key 'a'"),
    ({}, {"a": 1}, "['a']", "no key 'a'", "1"),
    ({"a": {"b": 1}}, {"a": {"b": 2}}, "['a']['b']", "1", "2"),
    (1, 1.0, "", "a whole number", "a number with a point"),
    (1, True, "", "a whole number", "a truth value"),
    (0.5, 0.6, "", "0.5", "0.6"),
    ("red", "Red", "", "'red'", "'Red'"),
    ([1], None, "", "a list", "None"),
    ({1, 2}, {1}, "", "{1, 2}", "{1}"),
    ([1, 2], np.array([1, 2]), "", "a list", "a NumPy array"),
    (np.zeros((2, 3)), np.zeros((3, 2)), "", "shape (2, 3)", "shape (3, 2)"),
    (np.zeros(2, np.int32), np.zeros(2, np.int64), "", "dtype int32", "dtype int64"),
    (np.arange(6).reshape(2, 3), np.array([[0, 1, 2], [3, 9, 5]]), "[1, 1]", "4", "9"),
    (np.array([0.1, 0.2]), np.array([0.1, np.nan]), "[1]", "0.2", "nan"),
]


@pytest.mark.parametrize(("expected", "received", "where", "wanted", "found"), DIFFERENT)
def test_the_first_difference(expected, received, where, wanted, found):
    difference = first_difference(expected, received)
    assert difference is not None and difference.where == where
    assert wanted in difference.expected and found in difference.received


def test_tensors_of_keras():
    from say_what_you_see.core.backend import keras

    ops = keras.ops
    ones, tensor = np.ones((2, 2), np.float32), ops.ones((2, 2))
    assert first_difference(tensor, ops.ones((2, 2))) is None
    assert first_difference(tensor, ops.zeros((2, 2))).where == "[0, 0]"
    assert "dtype int32" in first_difference(tensor, ops.ones((2, 2), "int32")).received
    assert first_difference(tensor, ones).received.startswith("a NumPy array")
    symbolic = keras.Input((3,))
    assert first_difference(symbolic, keras.Input((3,))) is None
    assert "(None, 4)" in first_difference(symbolic, keras.Input((4,))).received
    half = ops.cast(tensor, "bfloat16")
    assert first_difference(half, ops.cast(ops.ones((2, 2)), "bfloat16")) is None


@dataclass(frozen=True)
class Pair:
    words: list
    numbers: np.ndarray


def test_copies_share_nothing_that_can_change_but_models():
    class Model:
        def get_weights(self):
            return []

    values = [[[1], (2, {3})], np.zeros(2), Pair(["x"], np.ones(1)), Model()]
    lists, array, pair, model = copy_of(values)
    lists[0].append(9)
    array[0] = 9
    pair.words.append("y")
    assert values[0] == [[1], (2, {3})] and values[1][0] == 0 and values[2].words == ["x"]
    assert model is values[3]
