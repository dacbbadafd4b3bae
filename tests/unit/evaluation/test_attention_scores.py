"""Attention's peak is compared with the box of the thing that is named, and chance is what a random cell would give."""

import numpy as np
import pytest
from scene_samples import thing_at, truth_of

from say_what_you_see.data.scenes.scene import Scene
from say_what_you_see.evaluation.attention import MentionAttention, cells_in_box, measure_attention

THINGS = thing_at("tree", "red", 0, 150, 150, 150), thing_at("ball", "blue", 225, 0, 75, 75, size="small")
TRUTH = truth_of(Scene("meadow", THINGS, False, 1), ["A tree."] * 5)
"""A picture of 300 pixels: the tree is its lower left quarter, the ball its upper right sixteenth."""


def evenly(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The centres of a grid that divides the picture evenly."""
    return (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns


CENTRES = evenly(4, 4)


def peaked(row: int, column: int) -> np.ndarray:
    weights = np.full((4, 4), 0.02)
    weights[row, column] = 0.7
    return weights


def attention_at(*cells: tuple[int, int], sentence: str = "tree") -> list[MentionAttention]:
    """Of captions of the scene, of one word each, with the peak at each cell."""
    attention = [peaked(*cell)[None] for cell in cells]
    return measure_attention([sentence] * len(cells), attention, [TRUTH] * len(cells), CENTRES)


def test_a_cell_is_in_a_box_when_its_centre_is():
    inside = cells_in_box((0.0, 0.5, 0.5, 0.5), CENTRES)
    assert np.argwhere(inside).tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    assert np.argwhere(cells_in_box((0.26, 0.1, 0.12, 0.03), CENTRES)).tolist() == [[0, 1]]  # centre (0.125, 0.375)
    assert cells_in_box((0.0, 0.0, 1.0, 0.3), evenly(2, 5)).tolist() == [[True] * 5, [False] * 5]
    assert not cells_in_box((0.15, 0.15, 0.2, 0.2), CENTRES).any(), "a box between the centres holds no cell"


def test_attention_on_the_thing_and_beside_it():
    [on_tree] = attention_at((2, 1))
    assert on_tree.hit and on_tree.chance == 4 / 16 and on_tree.size == "large" and on_tree.distance == 0
    assert on_tree.mass == pytest.approx(0.7 + 3 * 0.02)
    assert on_tree.offset == pytest.approx((0.625 - 0.75, 0.375 - 0.25))
    [beside] = attention_at((0, 2), sentence="ball")
    assert not beside.hit and beside.chance == 1 / 16 and beside.size == "small"
    assert beside.distance == pytest.approx(0.75 - 0.625)
    assert beside.offset == pytest.approx((0.125 - 0.125, 0.625 - 0.875))
    [_, far] = attention_at((0, 3), (0, 2))
    assert far.scene == 1 and far.distance == pytest.approx(np.hypot(0.625 - 0.5, 0.5 - 0.125))


def test_the_weights_of_the_word_that_names_the_thing_count():
    attention = np.stack([peaked(0, 0), peaked(0, 1), peaked(3, 0), peaked(1, 1), peaked(2, 2), peaked(0, 3)])
    measured = measure_attention(["a red tree above blue ball"], [attention], [TRUTH], CENTRES)
    assert [(one.kind, one.hit) for one in measured] == [("tree", True), ("ball", True)]
    shifted = measure_attention(["a red tree above blue ball"], [np.roll(attention, 1, axis=0)], [TRUTH], CENTRES)
    assert not any(one.hit for one in shifted)
