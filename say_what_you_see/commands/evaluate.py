"""`say-what-you-see evaluate`: how good are the captions of the trained models?"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import check_can_be_written
from say_what_you_see.core.settings import Settings
from say_what_you_see.core.text import terminal_json, visible
from say_what_you_see.course.lessons import LESSONS
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.decoding.beam_search import PHOTO_SAMPLER
from say_what_you_see.evaluation import trained
from say_what_you_see.evaluation.coco_results import read_coco_results
from say_what_you_see.evaluation.evaluate import (
    SAMPLERS,
    Evaluation,
    evaluate_captions,
    evaluate_samplers,
    evaluation_folder,
    evaluations_as_json,
    samplers_table,
    save_evaluations,
)
from say_what_you_see.evaluation.next_word import next_word_scores
from say_what_you_see.evaluation.report import write_report
from say_what_you_see.serving.model_choice import find_model
from say_what_you_see.serving.model_folder import note_metrics

_DEFAULT = "as caption does"
_ON_CARDS = ("greedy", "beam, k = 3", _DEFAULT)
"""The samplers whose scores a model's card shows."""


def evaluate(settings: Settings, options: argparse.Namespace) -> int:
    """Evaluate models; write their captions in COCO's results format, all scores as JSON, and a page of errors. If all
    pictures are used, the scores are also added to the models' cards.
    """
    folder = evaluation_folder(settings, *_parts(options))
    page = options.html or folder / "report.html"
    check_can_be_written(page)
    models = _named_models(settings, options.model) if options.model else trained.trained_models(settings)
    pictures = trained.scored_pictures(settings, models, options.pictures)
    brought = _captions_in(options.results, pictures) if options.results else None  # before anything takes long
    next_words = {model.name: next_word_scores(model, pictures) for model in models}
    samplers, java = ({"greedy": SAMPLERS["greedy"]} if options.greedy else SAMPLERS), not options.no_java
    if settings.pictures_kind == "photographs" and not options.greedy:
        samplers = {**samplers, _DEFAULT: PHOTO_SAMPLER}
    evaluations = evaluate_samplers(models, pictures, samplers, java, settings.seed)
    save_evaluations(folder, evaluations, pictures, next_words)
    if options.pictures is None:
        _note_on_cards(settings, models, evaluations, len(pictures))
    if brought is not None:
        evaluations.append(evaluate_captions(brought, pictures, java, options.results.name, "as written"))
    write_report(page, get_dataset(settings).scored[0], evaluations, pictures)
    if options.json:
        print(terminal_json(evaluations_as_json(evaluations, pictures, next_words), sys.stdout.encoding))
        return 0
    print(f"{len(pictures)} {_split(settings)} pictures\n")
    for name, scores in next_words.items():
        text = f"{name}: loss {scores['loss']:.3f} nats per word, perplexity {scores['perplexity']:.2f}"
        print(visible(f"{text}, next word right {100 * scores['accuracy']:.1f} %"))
    print(visible(f"\n{samplers_table(evaluations)}\n"))
    print(f"Captions and scores: {folder}\nPage: {page}")
    return 0


def _note_on_cards(
    settings: Settings, models: Sequence[trained.TrainedModel], evaluations: Sequence[Evaluation], pictures: int
) -> None:
    """Add the scores to the model folders from training with these settings; others are not ours to change."""
    own = [lesson.model_folder(settings) for lesson in LESSONS.values()]
    kind = "drawn scenes" if settings.pictures_kind == "scenes" else "photographs"
    scored_on = f"{pictures:,} {kind} of the {_split(settings)} split"
    for model in models:
        if model.caption_model.folder in own:
            scores = {
                one.sampler: {name: score.show() for name, score in one.metrics.items() if not math.isnan(score.value)}
                for one in evaluations
                if one.model == model.name and one.sampler in _ON_CARDS
            }
            note_metrics(model.caption_model, {"scored_on": scored_on, **scores})


def _split(settings: Settings) -> str:
    return "test" if get_dataset(settings).test_zip else "validation"


def _parts(options: argparse.Namespace) -> list[str]:
    """What is evaluated, where it is less than everything."""
    pictures = [f"{options.pictures} pictures"] if options.pictures else []
    return [*(options.model or []), *pictures, *(["greedy"] if options.greedy else [])]


def _named_models(settings: Settings, names: Sequence[str]) -> list[trained.TrainedModel]:
    """The models that the user names, under these names where several have the same architecture."""
    models = [trained.load_trained_model(settings, find_model(name, settings)) for name in names]
    architectures = [model.name for model in models]
    return [
        replace(model, name=f"{model.name}, {name}") if architectures.count(model.name) > 1 else model
        for model, name in zip(models, names, strict=True)
    ]


def _captions_in(path: Path, pictures: trained.ScoredPictures) -> list[str]:
    """The captions of a file in COCO's results format, in the order of the pictures; others in it are ignored."""
    captions = read_coco_results(path)
    missing = [image_id for image_id in pictures.image_ids if image_id not in captions]
    if missing:
        raise CourseError(
            f"{path} has no caption for {len(missing)} of {len(pictures)} pictures, such as {missing[0]}. "
            "Every picture needs one, or the scores would ignore it."
        )
    return [captions[image_id] for image_id in pictures.image_ids]
