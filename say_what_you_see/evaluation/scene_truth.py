"""Holds captions of scenes against what was drawn: which things, which colours, which relations are right.

For photographs nobody knows everything that is in the picture. For scenes we do, so a caption
can be read word by word and every claim checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.coco_format import read_zipped
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.data.scenes.scene import COLOURS, KINDS, RELATIONS, SIZES, UNSEEN_PAIRS


@dataclass(frozen=True)
class SceneTruth:
    """What a scene shows: kind to colour, kind to size, relations between kinds, and what people mention."""

    colours: dict[str, str]
    sizes: dict[str, str]
    relations: frozenset[tuple[str, str, str]]
    salient: frozenset[str]
    boxes: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    """Kind to (left, top, width, height) as shares of the centre crop's side."""


def read_scene_truths(captions_zip: Path, instances_json: str) -> dict[str, SceneTruth]:
    """Read what each scene shows from the instances JSON: file name to truth.

    Raises:
        CourseError: if the zip cannot be read, or the JSON is not what `write_scene_dataset` writes.
    """
    text = read_zipped(captions_zip, instances_json)
    try:
        return _scene_truths(json.loads(text))
    except Exception as error:  # JSON of another shape fails in many ways
        raise CourseError(
            f"{instances_json} in {captions_zip} does not say what the scenes show ({type(error).__name__}: {error}). "
            "Remove the zip, and have the scenes drawn again: say-what-you-see resources"
        ) from error


def _scene_truths(data: dict) -> dict[str, SceneTruth]:
    """What each scene shows, by file name, from the content of the instances JSON."""
    kinds = {category["id"]: _known(category["name"], KINDS) for category in data["categories"]}
    kind_of = {annotation["id"]: kinds[annotation["category_id"]] for annotation in data["annotations"]}
    things: dict[int, dict[str, dict]] = {image["id"]: {} for image in data["images"]}
    for annotation in data["annotations"]:
        things[annotation["image_id"]][kind_of[annotation["id"]]] = annotation
    relations: dict[int, set] = {image["id"]: set() for image in data["images"]}
    for relation in data["relations"]:
        subject, other = (kind_of[relation[f"{end}_id"]] for end in ("subject", "object"))
        relations[relation["image_id"]].add((subject, _known(relation["predicate"], RELATIONS), other))
    return {
        image["file_name"]: _scene_truth(image, things[image["id"]], relations[image["id"]]) for image in data["images"]
    }


def _scene_truth(image: dict, things: dict[str, dict], relations: set[tuple[str, str, str]]) -> SceneTruth:
    """What one scene shows, from its entries in the instances JSON; `things` are annotations by kind."""
    width, height = image["width"], image["height"]
    return SceneTruth(
        colours={kind: _known(thing["colour"], COLOURS) for kind, thing in things.items()},
        sizes={kind: _known(thing["size"], SIZES) for kind, thing in things.items()},
        relations=frozenset(relations),
        salient=frozenset(kind for kind, thing in things.items() if thing["salient"]),
        boxes={kind: carry_box_to_crop(thing["bbox"], width, height) for kind, thing in things.items()},
    )


def _known(value: str, values: Sequence[str]) -> str:
    """A value that must be one of some."""
    if value not in values:
        raise ValueError(f"{value!r} is none of {', '.join(values)}")
    return value


def carry_box_to_crop(box: Sequence[float], width: int, height: int) -> tuple[float, float, float, float]:
    """Move a box from the whole picture (pixels) to its centre crop (shares of the crop's side)."""
    side = min(width, height)
    left, top = box[0] - (width - side) // 2, box[1] - (height - side) // 2
    return left / side, top / side, box[2] / side, box[3] / side


COUNTS = (
    "things named", "things right", "pairs named", "pairs right", "sizes named", "sizes right",
    "relations stated", "relations true", "salient things", "salient named",
    "captions", "captions with two things", "captions with a relation",
)  # fmt: skip


def count_claims(caption: str, truth: SceneTruth) -> np.ndarray:
    """Count the claims of a caption and how many hold: int64, one for each of `COUNTS`.

    A second mention of a kind counts as wrong, since no scene has two things of one kind.
    """
    claims = read_claims(caption)
    counts = dict.fromkeys(COUNTS, 0)
    seen: set[str] = set()
    for mention in claims.mentions:
        real = mention.kind in truth.colours and mention.kind not in seen
        seen.add(mention.kind)
        counts["things named"] += 1
        counts["things right"] += real
        counts["pairs named"] += mention.colour is not None
        counts["pairs right"] += real and mention.colour == truth.colours[mention.kind]
        counts["sizes named"] += mention.size is not None
        counts["sizes right"] += real and mention.size == truth.sizes[mention.kind]
    stated = [(claims.mentions[i].kind, relation, claims.mentions[j].kind) for i, relation, j in claims.relations]
    counts |= {
        "relations stated": len(stated), "relations true": sum(triple in truth.relations for triple in stated),
        "salient things": len(truth.salient), "salient named": len(truth.salient & seen),
        "captions": 1, "captions with two things": len(claims.mentions) >= 2, "captions with a relation": bool(stated),
    }  # fmt: skip
    return np.array([counts[name] for name in COUNTS], dtype=np.int64)


@dataclass(frozen=True)
class Score:
    """A share or a mean with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


_RATIOS = {
    "things named that are there": ("things right", "things named"),
    "colours joined to the right thing": ("pairs right", "pairs named"),
    "sizes given to the right thing": ("sizes right", "sizes named"),
    "stated relations that are true": ("relations true", "relations stated"),
    "salient things that are named": ("salient named", "salient things"),
    "things named per caption": ("things named", "captions"),
    "two-thing captions with a relation": ("captions with a relation", "captions with two things"),
}


def score_captions(
    captions: Iterable[str], truths: Sequence[SceneTruth], resamples: int = 1000, seed: int = 0
) -> dict[str, Score]:
    """Score one caption for each scene; intervals come from resampling scenes with replacement.

    A score whose denominator is zero (no caption states a relation, say) is NaN.
    """
    counts = np.stack([count_claims(caption, truth) for caption, truth in zip(captions, truths, strict=True)])
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=resamples)
    resampled = draws @ counts
    column = {name: index for index, name in enumerate(COUNTS)}
    return {
        name: _ratio_score(counts.sum(0), resampled, column[above], column[below])
        for name, (above, below) in _RATIOS.items()
    }


def _ratio_score(total: np.ndarray, resampled: np.ndarray, above: int, below: int) -> Score:
    """The ratio of two counts with the interval that the resampled counts give."""
    usable = resampled[resampled[:, below] > 0]
    if not total[below] or not len(usable):
        return Score(float("nan"), float("nan"), float("nan"))
    low, high = np.percentile(usable[:, above] / usable[:, below], [2.5, 97.5])
    return Score(float(total[above] / total[below]), float(low), float(high))


def score_table(columns: dict[str, dict[str, Score]]) -> str:
    """A table of scores as text: a row a score, a column a way of captioning."""
    width = max(map(len, _RATIOS))
    lines = [" " * width + "".join(f"{name:>21}" for name in columns)]
    for row in _RATIOS:
        cells = "".join(f"{_show(scores[row], row):>21}" for scores in columns.values())
        lines.append(f"{row:<{width}}{cells}")
    return "\n".join(lines)


def _show(score: Score, row: str) -> str:
    """'97.1% (96.0-98.2)', or plain numbers where the score is no share."""
    if np.isnan(score.value):
        return "none"
    number: Callable[[float], str] = (lambda x: f"{x:.2f}") if "per caption" in row else (lambda x: f"{100 * x:.1f}")
    unit = "" if "per caption" in row else "%"
    return f"{number(score.value)}{unit} ({number(score.low)}-{number(score.high)})"


def pair_accuracy_by_novelty(sentences: Sequence[str], truths: Sequence[SceneTruth]) -> str:
    """Two lines: the share of right colour-and-thing pairs in scenes without and with an unseen pair."""
    row = "colours joined to the right thing"
    unseen = [any((colour, kind) in UNSEEN_PAIRS for kind, colour in truth.colours.items()) for truth in truths]
    lines = []
    for name, wanted in (("scenes of known pairs", False), ("scenes with an unseen pair", True)):
        chosen = [i for i, is_unseen in enumerate(unseen) if is_unseen == wanted]
        if chosen:
            score = score_captions([sentences[i] for i in chosen], [truths[i] for i in chosen])[row]
            interval = f"{100 * score.value:.1f} % ({100 * score.low:.1f}-{100 * score.high:.1f})"
            lines.append(f"{name:<28}{len(chosen):>4} scenes, {row}: {interval}")
    return "\n".join(lines)


def right_and_wrong(sentences: Sequence[str], truths: Sequence[SceneTruth]) -> tuple[list[int], list[int]]:
    """Which captions hold in every claim and which do not, both with those that claim most first."""
    claimed, held = [], []
    for sentence, truth in zip(sentences, truths, strict=True):
        counts = dict(zip(COUNTS, count_claims(sentence, truth), strict=True))
        claimed.append(counts["things named"] + counts["pairs named"] + counts["relations stated"])
        held.append(counts["things right"] + counts["pairs right"] + counts["relations true"])
    order = sorted(range(len(claimed)), key=lambda i: -claimed[i])
    return [i for i in order if held[i] == claimed[i]], [i for i in order if held[i] < claimed[i]]
