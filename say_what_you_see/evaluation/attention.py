"""Does attention look at the thing that is being named? On the scenes every box is known, so this can be counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from say_what_you_see.data.scenes.claims import Mention, read_claims
from say_what_you_see.evaluation.scene_truth import SceneTruth, Score

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Look:
    """Where attention was while a thing was named.

    Attributes:
        scene: the number of the scene.
        kind: the thing.
        size: "small" or "large".
        hit: whether the peak, the cell with the largest weight, is in the thing's box.
        chance: the share of cells that are: how often a random cell would be.
        mass: the sum of the weights of these cells.
        distance: from the peak's centre to the nearest point of the box, as a share of the picture's side.
        offset: from the middle of the box to the peak's centre, down and across, as shares of the picture's sides.
    """

    scene: int
    kind: str
    size: str
    hit: bool
    chance: float
    mass: float
    distance: float
    offset: tuple[float, float]


def cell_centres(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Down and across, where the centres of the cells of a grid are, as shares of the picture's sides."""
    return (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns


def cells_in_box(box: Box, shape: tuple[int, int]) -> np.ndarray:
    """Which cells of a grid count as in a box: those whose centre is in it; bool, (rows, columns).

    A box that is narrower than a cell may lie between all centres. Then no cell is in it, and no peak can be.

    Args:
        box: left, top, width, height as shares of the picture's sides.
        shape: rows and columns of the grid.
    """
    left, top, width, height = box
    down, across = cell_centres(*shape)
    return np.outer((down >= top) & (down <= top + height), (across >= left) & (across <= left + width))


def peak_cell(weights: np.ndarray) -> tuple[int, int]:
    """Row and column of the largest weight of (rows, columns); of several the first, row by row."""
    row, column = np.unravel_index(int(np.argmax(weights)), weights.shape)
    return int(row), int(column)


def distance_to_box(point: tuple[float, float], box: Box) -> float:
    """How far a point (down, across) is from a box; 0 inside."""
    left, top, width, height = box
    down = max(top - point[0], 0, point[0] - top - height)
    across = max(left - point[1], 0, point[1] - left - width)
    return float(np.hypot(down, across))


def look_at(scene: int, kind: str, truth: SceneTruth, weights: np.ndarray) -> Look:
    """Compare the weights (rows, columns) of the step that named a thing with the thing's box."""
    inside, (row, column) = cells_in_box(truth.boxes[kind], weights.shape), peak_cell(weights)
    centres = cell_centres(*weights.shape)
    down, across = float(centres[0][row]), float(centres[1][column])
    left, top, width, height = truth.boxes[kind]
    return Look(
        scene,
        kind,
        truth.sizes[kind],
        hit=bool(inside[row, column]),
        chance=float(inside.mean()),
        mass=float(weights[inside].sum()),
        distance=distance_to_box((down, across), truth.boxes[kind]),
        offset=(down - top - height / 2, across - left - width / 2),
    )


def named_boxes(sentence: str, truth: SceneTruth) -> dict[int, Box]:
    """For each word that names a thing of the scene, counted from 0, the box of that thing."""
    return {mention.position: truth.boxes[mention.kind] for mention in true_mentions(sentence, truth)}


def true_mentions(sentence: str, truth: SceneTruth) -> list[Mention]:
    """The mentions of things that are there; as in `count_claims`, a second one of the same kind is not."""
    mentions = {mention.kind: mention for mention in reversed(read_claims(sentence).mentions)}
    return sorted((m for m in mentions.values() if m.kind in truth.boxes), key=lambda mention: mention.position)


def looks_at_things(
    sentences: Iterable[str], attention: Iterable[np.ndarray], truths: Sequence[SceneTruth]
) -> list[Look]:
    """Every look at a thing that a caption names and its scene holds; what is not there has no box to look at.

    Args:
        sentences: one caption for each scene.
        attention: for each caption (words, rows, columns), the weights of the step that emitted each word.
        truths: what the scenes show.
    """
    looks = []
    for scene, (sentence, weights, truth) in enumerate(zip(sentences, attention, truths, strict=True)):
        for mention in true_mentions(sentence, truth):
            looks.append(look_at(scene, mention.kind, truth, weights[mention.position]))
    return looks


@dataclass(frozen=True)
class AttentionScore:
    """How often attention's peak is in the box, and how often by chance.

    Attributes:
        hits: the share of looks whose peak is in the box, with its 95 % bootstrap interval.
        chance: the share of cells that are in the box, mean over the looks.
        mass: the share of attention that is in the box, mean over the looks.
        distance: from peak to box, mean over the looks, as a share of the picture's side.
        looks: how many there were.
    """

    hits: Score
    chance: float
    mass: float
    distance: float
    looks: int

    @property
    def times_chance(self) -> float:
        """How many times more often than by chance."""
        return self.hits.value / self.chance if self.chance else float("nan")


def score_looks(looks: Sequence[Look], resamples: int = 1000, seed: int = 0) -> AttentionScore:
    """Average over looks; the interval comes from resampling scenes with replacement."""
    nothing = float("nan")
    if not looks:
        return AttentionScore(Score(nothing, nothing, nothing), nothing, nothing, nothing, 0)
    hits = np.array([look.hit for look in looks], dtype=float)
    _, scene = np.unique([look.scene for look in looks], return_inverse=True)
    per_scene = np.stack([np.bincount(scene, hits), np.bincount(scene)], axis=1)
    count = len(per_scene)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples) @ per_scene
    low, high = np.percentile(draws[:, 0] / draws[:, 1], [2.5, 97.5])
    chance, mass, distance = (np.mean([getattr(look, name) for look in looks]) for name in _MEANS)
    return AttentionScore(
        Score(float(hits.mean()), float(low), float(high)), float(chance), float(mass), float(distance), len(looks)
    )


_MEANS = ("chance", "mass", "distance")


def score_attention(looks: Sequence[Look]) -> dict[str, AttentionScore]:
    """Scores over all looks, and over those at large and at small things."""
    by_size = {f"{size} things": [look for look in looks if look.size == size] for size in ("large", "small")}
    return {name: score_looks(chosen) for name, chosen in {"all things": looks, **by_size}.items()}


def attention_table(scores: dict[str, AttentionScore]) -> str:
    """A table of scores as text: a row for each group of things."""
    lines = [f"{'':<14}{'looks':>6}{'peak in the box':>22}{'by chance':>11}{'times':>7}{'attention in the box':>22}"]
    for name, score in scores.items():
        hits = "none"
        if score.looks:
            hits = f"{100 * score.hits.value:.1f}% ({100 * score.hits.low:.1f}-{100 * score.hits.high:.1f})"
        lines.append(
            f"{name:<14}{score.looks:>6}{hits:>22}{100 * score.chance:>10.1f}%{score.times_chance:>7.1f}"
            f"{100 * score.mass:>21.1f}%"
        )
    return "\n".join(lines)
