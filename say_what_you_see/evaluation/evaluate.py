"""Measures what trained models write: by the field's metrics, by what was drawn, and how varied it is.

Notebook 06 and `say-what-you-see evaluate` are two ways to call this.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, slug, write_json
from say_what_you_see.core.progress import progress
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.features import encoder_metadata, encoder_path, extract_features, load_features
from say_what_you_see.course.lessons import LESSONS, load_control
from say_what_you_see.data.coco_format import DatasetFiles, read_captions, read_image_ids
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.decoding.samplers import BeamSearch, Greedy, Sampler, Sampling
from say_what_you_see.evaluation.coco_results import write_coco_results
from say_what_you_see.evaluation.metrics import (
    METRICS,
    MetricScore,
    diversity,
    hallucination_rates,
    score_against_references,
    score_human_consistency,
)
from say_what_you_see.evaluation.scene_truth import SceneTruth, Score, read_scene_truths, score_captions
from say_what_you_see.language.captions import (
    END,
    PAD,
    START,
    UNK,
    batch_captions_to_matrix,
    caption_tokens_to_indices,
    invert_vocabulary,
    pack_captions,
)
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model
from say_what_you_see.training.examples import Examples
from say_what_you_see.training.loop import evaluate_decoder
from say_what_you_see.training.losses import masked_accuracy, masked_crossentropy
from say_what_you_see.vision.encoders import encoder_for

WAYS: dict[str, Sampler] = {
    "greedy": Greedy(),
    "sampling, t = 0.5": Sampling(0.5),
    "sampling, t = 1": Sampling(1.0),
    "sampling, t = 1.5": Sampling(1.5),
    "beam, k = 1": BeamSearch(1),
    "beam, k = 2": BeamSearch(2),
    "beam, k = 3": BeamSearch(3),
    "beam, k = 5": BeamSearch(5),
}
"""The ways of choosing words that are compared."""

MOST_PICTURES = 1000
"""So many validation pictures are evaluated at most; a large data set is sampled. A test side counts as a whole."""

RESAMPLES = 1000


@dataclass(frozen=True)
class ValidationPictures:
    """The pictures that captions are written for, and what is known of them.

    Attributes:
        fns: file names.
        image_ids: their numbers in the data set's caption JSON; counted from 1 where those are no whole numbers.
        references: for each picture the captions that people wrote.
        truths: what each picture shows; None where nobody knows.
    """

    fns: list[str]
    image_ids: list[int]
    references: list[list[str]]
    truths: list[SceneTruth] | None = None

    def __len__(self) -> int:
        return len(self.fns)

    def take(self, chosen: Sequence[int]) -> ValidationPictures:
        """Some of the pictures only."""
        truths = [self.truths[i] for i in chosen] if self.truths is not None else None
        return ValidationPictures(
            [self.fns[i] for i in chosen], [self.image_ids[i] for i in chosen], [self.references[i] for i in chosen],
            truths,
        )  # fmt: skip


@dataclass(frozen=True)
class TrainedModel:
    """A model that was trained, with the features of the validation pictures that it reads.

    Attributes:
        name: of its architecture.
        caption_model: what its model folder holds.
        writer: the same, rearranged to write.
        features: (pictures, ...), memory-mapped.
        fns: the pictures' file names, row by row.
    """

    name: str
    caption_model: CaptionModel
    writer: KerasStepModel
    features: np.ndarray
    fns: list[str]

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each picture's features."""
        return {fn: row for row, fn in enumerate(self.fns)}

    def features_of(self, pictures: ValidationPictures) -> np.ndarray:
        """The features of these pictures, in their order."""
        return self.features[[self.row_of[fn] for fn in pictures.fns]]


def trained_models(settings: Settings) -> list[TrainedModel]:
    """Every model of the settings' data set and encoder that is trained: of notebook 04, and of 07 and 08 where done.

    Raises:
        CourseError: if there is none, or one does not fit the features that are there.
    """
    folders = [lesson.model_folder(settings) for lesson in LESSONS.values()]
    found = [load_trained_model(settings, folder) for folder in folders if (folder / "model.json").exists()]
    if not found:
        load_caption_model(settings.model_folder)  # says what to do
    return found


def load_trained_model(settings: Settings, folder: Path) -> TrainedModel:
    """Read a model folder, and find or make the features of the pictures that it is to caption.

    Raises:
        CourseError: if a part is missing, or the features were made by another encoder than the model knows.
    """
    model = load_caption_model(folder)
    features, fns, made_by = scored_features(settings, model.encoder.get("features", "mean"))
    wanted = tuple(model.decoder.inputs[0].shape[1:])
    if made_by["weights_checksum"] != model.encoder["weights_checksum"] or features.shape[1:] != wanted:
        raise CourseError(
            f"The model in {folder} was trained with {model.encoder['name']}, weights {model.encoder['weights']}, but "
            f"the features in {settings.work_folder} are by {made_by['name']}, weights {made_by['weights']}. "
            "Train the model again, or name the encoder that it was trained with (ENCODER)."
        )
    return TrainedModel(model.decoder.name, model, step_model_of(model.decoder), features, fns)


def scored_features(settings: Settings, kind: str) -> tuple[np.ndarray, list[str], dict[str, Any]]:
    """Features of the pictures that are scored, (pictures, ...), their file names, and what made them.

    Those of the validation side come from the training. A test side is embedded here, when it is first needed.

    Args:
        kind: one of `say_what_you_see.vision.encoders.FEATURES`.
    """
    files = get_dataset(settings)
    if files.test_zip is not None:
        encoder = encoder_for(settings, kind)
        features, fns = extract_features(settings, files, encoder, "test")
        return features, fns, encoder_metadata(encoder, settings)
    return *load_features(settings, "val", kind), read_json(encoder_path(settings, kind))


def control_model(settings: Settings, like: TrainedModel) -> TrainedModel:
    """The control of notebook 04, which learnt its captions from the wrong pictures.

    Args:
        like: the decoder of the same notebook, whose words and features the control shares.

    Raises:
        CourseError: if it is not trained.
    """
    control = load_control(settings, len(like.caption_model.vocab), like.features.shape[1])
    return replace(
        like, name="control", caption_model=replace(like.caption_model, decoder=control),
        writer=step_model_of(control),
    )  # fmt: skip


def validation_pictures(
    settings: Settings, models: Sequence[TrainedModel], most: int | None = None
) -> ValidationPictures:
    """The pictures to score of which every model has features: validation, or where there is such a side, test.

    Args:
        most: of more pictures than that, take a random sample, by the seed; None takes all test pictures, but
            1,000 validation pictures at most.
    """
    files = get_dataset(settings)
    most = most or (len(models[0].fns) if files.test_zip else MOST_PICTURES)
    captions, ids = read_captions(files.captions_zip, files.scored[1]), _image_ids(files)
    fns = [fn for fn in models[0].fns if fn in captions and all(fn in model.row_of for model in models)]
    if not fns:
        raise CourseError("The models have no validation picture in common. Run notebook 02 (and 08) again.")
    if len(fns) > most:
        chosen = np.random.default_rng(settings.seed).choice(len(fns), most, replace=False)
        fns = [fns[i] for i in sorted(chosen)]
    truths = read_scene_truths(files.captions_zip, files.val_instances) if settings.dataset == "scenes" else None
    return ValidationPictures(
        fns, [ids[fn] for fn in fns], [captions[fn] for fn in fns], [truths[fn] for fn in fns] if truths else None
    )


def _image_ids(files: DatasetFiles) -> dict[str, int]:
    """The number of each validation picture, as COCO's results format wants it."""
    ids = read_image_ids(files.captions_zip, files.scored[1])
    are_integers = all(isinstance(image_id, int) for image_id in ids.values())
    return ids if are_integers else {name: number for number, name in enumerate(ids, 1)}


# Captions and their scores


@dataclass(frozen=True)
class Evaluation:
    """The captions of one model, written in one way, and all that was measured of them.

    Attributes:
        captions: one for each picture.
        metrics: the field's metrics, against the captions that people wrote.
        exact: against what was drawn, from `score_captions`; None where nobody knows what the pictures show.
        hallucinations: CHAIRi and CHAIRs; None likewise.
        diversity: how varied the captions are.
    """

    model: str
    way: str
    captions: list[str]
    metrics: dict[str, MetricScore]
    exact: dict[str, Score] | None
    hallucinations: dict[str, MetricScore] | None
    diversity: dict[str, float]


def evaluate_captions(
    captions: Sequence[str], pictures: ValidationPictures, java: bool = True, model: str = "", way: str = ""
) -> Evaluation:
    """Measure captions, wherever they come from.

    Args:
        java: whether to try METEOR and SPICE.
    """
    truths = pictures.truths
    return Evaluation(
        model,
        way,
        list(captions),
        score_against_references(captions, pictures.references, RESAMPLES, java=java),
        score_captions(captions, truths, RESAMPLES) if truths is not None else None,
        hallucination_rates(captions, truths, RESAMPLES) if truths is not None else None,
        diversity(captions),
    )


def evaluate_ways(
    models: Sequence[TrainedModel],
    pictures: ValidationPictures,
    ways: Mapping[str, Sampler] = WAYS,
    java: bool = True,
    seed: int = 0,
) -> list[Evaluation]:
    """Have every model caption the pictures in every way, and measure the captions.

    Captions that were measured before, beam search with k = 1 being greedy, are not measured again.
    """
    done: dict[tuple[str, ...], Evaluation] = {}
    evaluations = []
    for model, way in progress(list(itertools.product(models, ways)), description="Evaluating", unit="way"):
        rng, features = np.random.default_rng(seed), model.features_of(pictures)
        captions = generate_sentences(model.writer, features, model.caption_model.vocab, ways[way], rng, batch_size=100)
        key = tuple(captions)
        done[key] = done.get(key) or evaluate_captions(captions, pictures, java)
        evaluations.append(replace(done[key], model=model.name, way=way))
    return evaluations


def next_word_scores(model: TrainedModel, pictures: ValidationPictures) -> dict[str, float]:
    """How well a model predicts the next word of the captions that people wrote, reading the true words before it.

    Returns:
        loss in nats a word, perplexity (e to the loss), and accuracy, over all real words and END.
    """
    vocab, decoder = model.caption_model.vocab, model.caption_model.decoder
    packed = pack_captions(caption_tokens_to_indices(pictures.references, vocab), vocab[PAD])
    judged = keras.Model(decoder.inputs, decoder.outputs[0])  # the model itself stays as it is
    judged.compile(loss=masked_crossentropy(vocab[PAD]), metrics=[masked_accuracy(vocab[PAD])])
    examples, longest = Examples(model.features_of(pictures), packed), packed.matrix.shape[1]
    scores = evaluate_decoder(judged, examples, vocab[PAD], max_len=longest)
    return {"loss": scores["loss"], "perplexity": math.exp(scores["loss"]), "accuracy": scores["accuracy"]}


def teacher_forced_captions(
    decoder: keras.Model, features: np.ndarray, captions: Sequence[str], vocab: dict[str, int]
) -> list[str]:
    """What a model predicts while it reads a true caption: at each place the most probable next word.

    This is no way to caption a picture, since the true caption is needed for it.

    Args:
        features: (captions, ...), one row for each caption.
        captions: the true captions.
    """
    indexed = caption_tokens_to_indices([captions], vocab)[0]
    matrix, words = batch_captions_to_matrix(indexed, vocab[PAD]), invert_vocabulary(vocab)
    predictor, said = keras.Model(decoder.inputs, decoder.outputs[0]), []
    for first in range(0, len(matrix), 100):
        rows = slice(first, first + 100)
        logits = predictor.predict_on_batch([np.asarray(features[rows], "float32"), matrix[rows, :-1]])
        for predicted, caption in zip(np.argmax(logits, axis=-1), indexed[rows], strict=True):
            chosen = [words[index] for index in predicted[: len(caption) - 2]]  # as many words as the true caption
            said.append(" ".join(word for word in chosen if word not in (PAD, UNK, START, END)))
    return said


# People


def leave_one_out(references: Sequence[Sequence[str]], seed: int = 0) -> list[list[str]]:
    """The references of each picture without a random one: what a person's caption is compared with, too."""
    rng = np.random.default_rng(seed)
    out = [int(rng.integers(len(group))) for group in references]
    return [[*group[:i], *group[i + 1 :]] for group, i in zip(references, out, strict=True)]


def compare_with_people(
    captions: Mapping[str, Sequence[str]], references: Sequence[Sequence[str]], java: bool = True
) -> dict[str, dict[str, MetricScore]]:
    """Score people's captions against the other people's, and models' against as many.

    More references give higher scores. So that nobody has an advantage, the models are compared with as many
    references as people are: one of each picture, drawn at random, is left out.

    Args:
        captions: name of a model to its captions.

    Raises:
        CourseError: if a picture has fewer than two references.
    """
    columns = {"people": score_human_consistency(references, RESAMPLES, java=java)}
    fewer = leave_one_out(references)
    for name, sentences in captions.items():
        columns[name] = score_against_references(sentences, fewer, RESAMPLES, java=java)
    return columns


def people_diversity(references: Sequence[Sequence[str]], seed: int = 0) -> dict[str, float]:
    """How varied people's captions are, one drawn for each picture."""
    rng = np.random.default_rng(seed)
    return diversity([group[int(rng.integers(len(group)))] for group in references])


# Tables and files

_EXACT = {
    "things": "things named that are there",
    "colours": "colours joined to the right thing",
    "relations": "stated relations that are true",
    "salient": "salient things that are named",
}
_COUNTS = {"distinct": "distinct captions", "words": "vocabulary used", "length": "mean length"}
_CELL = 13


def ways_table(evaluations: Sequence[Evaluation], metrics: Sequence[str] = METRICS) -> str:
    """The table over ways of choosing, in two parts of one row each a way, its 95 % intervals in the line below.

    Scores stand times 100. The second part has what was drawn (where that is known) and the diversity.

    Args:
        metrics: which of the field's metrics to show; those that were not measured are left out, and named below.
    """
    scores = [evaluation.metrics for evaluation in evaluations]
    shown = [name for name in metrics if any(not math.isnan(score[name].value) for score in scores)]
    notes = dict.fromkeys(score[name].note for score in scores for name in metrics if score[name].note)
    exact = evaluations[0].exact is not None
    parts = [
        _rows(evaluations, shown, _metric_cells),
        _rows(evaluations, [*(_EXACT if exact else ()), *(("CHAIRi", "CHAIRs") if exact else ()), *_COUNTS], _cells),
    ]
    return "\n\n".join(["\n".join(lines) for lines in parts] + (["\n".join(notes)] if notes else []))


def _rows(evaluations: Sequence[Evaluation], columns: Sequence[str], cells_of) -> list[str]:
    width = max(len(evaluation.way) for evaluation in evaluations) + 2
    lines, model = [" " * width + "".join(f"{column:>{_CELL}}" for column in columns)], None
    for evaluation in evaluations:
        if evaluation.model != model:
            model = evaluation.model
            lines.append(model)
        cells = [cells_of(evaluation, column) for column in columns]
        lines.append(f"  {evaluation.way:<{width - 2}}" + "".join(f"{value:>{_CELL}}" for value, _ in cells))
        if any(interval for _, interval in cells):
            lines.append(" " * width + "".join(f"{interval:>{_CELL}}" for _, interval in cells).rstrip())
    return lines


def _metric_cells(evaluation: Evaluation, column: str) -> tuple[str, str]:
    return _show(evaluation.metrics[column])


def _cells(evaluation: Evaluation, column: str) -> tuple[str, str]:
    if column in _EXACT:
        return _show(evaluation.exact[_EXACT[column]])
    if column in _COUNTS:
        number = evaluation.diversity[_COUNTS[column]]
        return (f"{number:.1f}" if column == "length" else f"{number:d}"), ""
    return _show(evaluation.hallucinations[column])


def _show(score: MetricScore | Score) -> tuple[str, str]:
    """A score and its interval, times 100."""
    if math.isnan(score.value):
        return "none", ""
    return f"{100 * score.value:.1f}", f"{100 * score.low:.1f}-{100 * score.high:.1f}"


def evaluation_folder(settings: Settings) -> Path:
    """Where results are kept."""
    return settings.work_folder / "evaluation"


def results_path(settings: Settings, evaluation: Evaluation) -> Path:
    """Where the captions of an evaluation are kept, in COCO's results format."""
    return evaluation_folder(settings) / f"results_{slug(evaluation.model)}_{slug(evaluation.way)}.json"


def save_evaluations(
    settings: Settings,
    evaluations: Sequence[Evaluation],
    pictures: ValidationPictures,
    next_words: Mapping[str, Mapping[str, float]],
) -> Path:
    """Write the captions of each evaluation in COCO's results format, and all scores; returns the scores' path."""
    for evaluation in evaluations:
        write_coco_results(results_path(settings, evaluation), pictures.image_ids, evaluation.captions)
    path = evaluation_folder(settings) / "scores.json"
    write_json(evaluations_as_json(evaluations, pictures, next_words), path)
    return path


def evaluations_as_json(
    evaluations: Sequence[Evaluation], pictures: ValidationPictures, next_words: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """All scores as JSON can hold them; what was not measured is null, with a note where there is one."""
    return {
        "pictures": len(pictures),
        "next_word": {name: dict(scores) for name, scores in next_words.items()},
        "evaluations": [
            {
                "model": evaluation.model,
                "way": evaluation.way,
                "metrics": _scores_as_json(evaluation.metrics),
                "exact": _scores_as_json(evaluation.exact),
                "hallucinations": _scores_as_json(evaluation.hallucinations),
                "diversity": evaluation.diversity,
            }
            for evaluation in evaluations
        ],
    }


def _scores_as_json(scores: Mapping[str, MetricScore | Score] | None) -> dict[str, Any] | None:
    if scores is None:
        return None
    found = {}
    for name, score in scores.items():
        numbers = {"value": score.value, "low": score.low, "high": score.high}
        found[name] = {key: None if math.isnan(number) else number for key, number in numbers.items()}
        if getattr(score, "note", ""):
            found[name]["note"] = score.note
    return found
