"""Does attention fall on the thing that is being named? In the scenes every box is known, so this can be counted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from say_what_you_see.data.scenes.claims import Mention
from say_what_you_see.data.scenes.truth import Box, SceneTruth
from say_what_you_see.evaluation.scene_scores import true_mentions
from say_what_you_see.evaluation.scores import Score, Table, format_table, ratio_scores


@dataclass(frozen=True)
class MentionAttention:
    """Where attention was while a thing was named."""

    scene: int  # the number of the scene
    kind: str  # the thing
    size: str  # "small" or "large"
    hit: bool  # whether the peak, the cell with the largest weight, is in the thing's box
    chance: float  # the share of cells in the box: how often a random cell would be in it
    mass: float  # the sum of the weights in the box
    distance: float  # from the peak's centre to the nearest point of the box, as a fraction of the picture's side
    offset: tuple[float, float]  # from the box's middle to the peak's centre, down and across, in the same unit


Centres = tuple[np.ndarray, np.ndarray]
"""The centres of a grid's rows and columns, (rows,) and (columns,), as fractions of the picture's sides: what
`vision.regions.region_centres` returns for an encoder."""


def cells_in_box(box: Box, centres: Centres) -> np.ndarray:
    """Which cells of a grid have their centre in a box: bool, (rows, columns).

    A box narrower than a cell may contain no centre. Then no cell is in it, and no peak can be.
    """
    left, top, width, height = box
    down, across = centres
    return np.outer((down >= top) & (down <= top + height), (across >= left) & (across <= left + width))


def peak_cell(weights: np.ndarray) -> tuple[int, int]:
    """Row and column of the largest weight of (rows, columns); of equal ones the first, row by row."""
    return divmod(int(np.argmax(weights)), weights.shape[1])


def named_boxes(sentence: str, truth: SceneTruth) -> dict[int, Box]:
    """The box of each thing of the scene that a sentence names, by the position of the word, counted from 0."""
    return {mention.position: truth.boxes[mention.kind] for mention in true_mentions(sentence, truth)}


def measure_attention(
    sentences: Iterable[str], attention: Iterable[np.ndarray], truths: Sequence[SceneTruth], centres: Centres
) -> list[MentionAttention]:
    """Where attention was whenever a caption named a thing that is in its scene; other things have no box.

    Args:
        sentences: one caption for each scene.
        attention: for each caption (words, rows, columns), the weights of the step that emitted each word.
    """
    return [
        _measure_mention(scene, mention, truth, weights[mention.position], centres)
        for scene, (sentence, weights, truth) in enumerate(zip(sentences, attention, truths, strict=True))
        for mention in true_mentions(sentence, truth)
    ]


def _measure_mention(
    scene: int, mention: Mention, truth: SceneTruth, weights: np.ndarray, centres: Centres
) -> MentionAttention:
    """Compare the weights (rows, columns) of the step that named a thing with the thing's box."""
    left, top, width, height = box = truth.boxes[mention.kind]
    inside, (row, column) = cells_in_box(box, centres), peak_cell(weights)
    down, across = float(centres[0][row]), float(centres[1][column])
    outside = max(top - down, 0, down - top - height), max(left - across, 0, across - left - width)
    return MentionAttention(
        scene,
        mention.kind,
        truth.sizes[mention.kind],
        hit=bool(inside[row, column]),
        chance=float(inside.mean()),
        mass=float(weights[inside].sum()),
        distance=float(np.hypot(*outside)),
        offset=(down - top - height / 2, across - left - width / 2),
    )


@dataclass(frozen=True)
class AttentionScore:
    """How often attention's peak is in the box, and how often it would be by chance."""

    hits: Score  # the share of mentions at which the peak is in the box
    chance: float  # the share of cells that are in the box, mean over the mentions
    mass: float  # the share of attention that is in the box, mean over the mentions
    mentions: int  # how many there were


def score_attention(measured: Sequence[MentionAttention]) -> dict[str, AttentionScore]:
    """Scores over all mentions, and over those of large and of small things."""
    sizes = {"all things": ("large", "small"), "large things": ("large",), "small things": ("small",)}
    return {name: _score([one for one in measured if one.size in group]) for name, group in sizes.items()}


def _score(measured: Sequence[MentionAttention]) -> AttentionScore:
    """Average over mentions; the interval comes from resampling scenes with replacement."""
    if not measured:
        return AttentionScore(Score(), float("nan"), float("nan"), 0)
    _, scene = np.unique([one.scene for one in measured], return_inverse=True)
    per_scene = np.stack([np.bincount(scene, [one.hit for one in measured]), np.bincount(scene)], axis=1)
    chance, mass = np.mean([(one.chance, one.mass) for one in measured], axis=0).tolist()
    return AttentionScore(ratio_scores(per_scene, ["hits"])["hits"], chance, mass, len(measured))


def attention_table(scores: Mapping[str, AttentionScore]) -> Table:
    """A table of scores as text: a row for each group of things."""
    rows: list[list[object]] = [["", "looks", "peak in the box", "by chance", "times", "attention in the box"]]
    for name, score in scores.items():
        times = score.hits.value / score.chance if score.chance else float("nan")
        chance, mass = f"{100 * score.chance:.1f}%", f"{100 * score.mass:.1f}%"
        rows.append([name, score.mentions, score.hits.show(unit="%"), chance, f"{times:.1f}", mass])
    return format_table(rows, [14, 6, 22, 11, 7, 22])
