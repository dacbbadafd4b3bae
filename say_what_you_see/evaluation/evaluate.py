"""Measures the captions of trained models: by the field's metrics, against what was drawn, and how varied they are."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.files import slug, write_json
from say_what_you_see.core.progress import progress
from say_what_you_see.core.settings import Settings
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.decoding.samplers import Greedy, Sampler, Sampling
from say_what_you_see.evaluation.coco_results import write_coco_results
from say_what_you_see.evaluation.metrics import METRICS, diversity, score_against_references
from say_what_you_see.evaluation.scene_scores import MAIN_SCORES, hallucination_rates, score_captions
from say_what_you_see.evaluation.scores import Score, Table, format_table
from say_what_you_see.evaluation.trained import ScoredPictures, TrainedModel

SAMPLERS: dict[str, Sampler] = {
    "greedy": Greedy(),
    **{f"sampling, t = {t:g}": Sampling(t) for t in (0.5, 1.0, 1.5)},
    **{f"beam, k = {k}": BeamSearch(k) for k in (1, 2, 3, 5)},
}
"""The samplers that are compared."""


@dataclass(frozen=True)
class Evaluation:
    """The captions of one model, written by one sampler, and all that was measured of them."""

    model: str
    sampler: str  # its name
    captions: list[str]  # one for each picture
    metrics: dict[str, Score]  # the field's metrics, against the captions that people wrote
    exact: dict[str, Score] | None  # by `score_captions`; None where nobody knows what the pictures show
    hallucinations: dict[str, Score] | None  # CHAIRi and CHAIRs; None likewise
    diversity: dict[str, float]  # how varied the captions are


def evaluate_captions(
    captions: Sequence[str], pictures: ScoredPictures, java: bool = True, model: str = "", sampler: str = ""
) -> Evaluation:
    """Measure captions, wherever they come from.

    Args:
        java: whether to try METEOR and SPICE.
    """
    truths = pictures.truths
    return Evaluation(
        model,
        sampler,
        list(captions),
        score_against_references(captions, pictures.references, java=java),
        score_captions(captions, truths) if truths is not None else None,
        hallucination_rates(captions, truths) if truths is not None else None,
        diversity(captions),
    )


def evaluate_samplers(
    models: Sequence[TrainedModel],
    pictures: ScoredPictures,
    samplers: Mapping[str, Sampler] = SAMPLERS,
    java: bool = True,
    seed: int = 0,
) -> list[Evaluation]:
    """Have every model caption the pictures with every sampler, and measure the captions.

    Equal captions are measured only once: beam search with k = 1, for one, writes the greedy ones.
    """
    done: dict[tuple[str, ...], Evaluation] = {}
    evaluations = []
    for model, name in progress(list(itertools.product(models, samplers)), description="Evaluating", unit="way"):
        rng, features, vocab = np.random.default_rng(seed), model.features_of(pictures), model.caption_model.vocab
        captions = generate_sentences(model.writer, features, vocab, samplers[name], rng, batch_size=100)
        key = tuple(captions)
        done[key] = done.get(key) or evaluate_captions(captions, pictures, java)
        evaluations.append(replace(done[key], model=model.name, sampler=name))
    return evaluations


def samplers_table(evaluations: Sequence[Evaluation]) -> Table:
    """A table of models and samplers in two parts, with a row for each sampler and its 95 % intervals below it.

    Scores are multiplied by 100. The second part has the scores against what was drawn (where that is known) and
    the diversity. Metrics that were not measured are left out, and named below.
    """
    notes = dict.fromkeys(score.note for one in evaluations for score in one.metrics.values() if score.note)
    missing = {name for name in METRICS if all(math.isnan(one.metrics[name].value) for one in evaluations)}
    metrics = [{name: one.metrics[name].show() for name in METRICS if name not in missing} for one in evaluations]
    widths = [max(len(evaluation.sampler) for evaluation in evaluations) + 2, *[13] * 9]
    rows = [*_rows(evaluations, metrics), [""], *_rows(evaluations, [_truth_and_diversity(one) for one in evaluations])]
    return format_table(rows + ([[""], *([note] for note in notes)] if notes else []), widths)


def _rows(evaluations: Sequence[Evaluation], cells: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """A row of cells for each evaluation, intervals in the row below their values."""
    rows, model = [["", *cells[0]]], None
    for evaluation, row in zip(evaluations, cells, strict=True):
        if evaluation.model != model:
            model = evaluation.model
            rows.append([model])
        values, _, intervals = zip(*(cell.partition(" ") for cell in row.values()), strict=True)
        rows.append([f"  {evaluation.sampler}", *values])
        if any(intervals):
            rows.append(["", *(interval.strip("()") for interval in intervals)])
    return rows


def _truth_and_diversity(evaluation: Evaluation) -> dict[str, str]:
    cells: dict[str, str] = {}
    if evaluation.exact is not None:
        cells |= {column: evaluation.exact[name].show() for column, name in MAIN_SCORES.items()}
        cells |= {name: score.show() for name, score in (evaluation.hallucinations or {}).items()}
    counts = evaluation.diversity
    distinct, words = f"{counts['distinct captions']}", f"{counts['vocabulary used']}"
    return cells | {"distinct": distinct, "words": words, "length": f"{counts['mean length']:.1f}"}


def evaluation_folder(settings: Settings, *parts: str) -> Path:
    """Where an evaluation is kept; one of only a few pictures, models or samplers has a folder of its own."""
    return settings.work_folder / slug(" ".join(["evaluation", *parts]))


def results_path(folder: Path, evaluation: Evaluation) -> Path:
    """Where the captions of an evaluation are kept, in COCO's results format."""
    return folder / f"results_{slug(evaluation.model)}_{slug(evaluation.sampler)}.json"


def save_evaluations(
    folder: Path,
    evaluations: Sequence[Evaluation],
    pictures: ScoredPictures,
    next_words: Mapping[str, Mapping[str, float]],
) -> None:
    """Write the captions of each evaluation in COCO's results format, and all scores."""
    for evaluation in evaluations:
        write_coco_results(results_path(folder, evaluation), pictures.image_ids, evaluation.captions)
    write_json(evaluations_as_json(evaluations, pictures, next_words), folder / "scores.json")


def evaluations_as_json(
    evaluations: Sequence[Evaluation], pictures: ScoredPictures, next_words: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """All scores as JSON can hold them; what was not measured is null, with a note where there is one."""
    parts = ("metrics", "exact", "hallucinations", "diversity")
    return {
        "pictures": len(pictures),
        "next_word": {name: dict(scores) for name, scores in next_words.items()},
        "evaluations": [
            {"model": one.model, "way": one.sampler, **{part: _as_json(asdict(one)[part]) for part in parts}}
            for one in evaluations
        ],
    }


def _as_json(scores: Any) -> Any:
    """Numbers, alone or in dictionaries, NaN as None, and the notes that are not empty."""
    if isinstance(scores, dict):
        return {name: _as_json(value) for name, value in scores.items() if value != ""}
    return None if isinstance(scores, float) and math.isnan(scores) else scores
