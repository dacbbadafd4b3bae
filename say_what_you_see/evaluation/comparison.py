"""Models side by side on the same validation pictures: what they cost, how well they predict, what they get right."""

import statistics
import timeit
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.data.scenes.truth import SceneTruth
from say_what_you_see.decoding.generate import generate, generate_sentences
from say_what_you_see.decoding.samplers import Greedy
from say_what_you_see.evaluation.next_word import score_next_words
from say_what_you_see.evaluation.scene_scores import score_captions, score_table
from say_what_you_see.evaluation.scores import Score, Table, format_table
from say_what_you_see.language.captions import PAD, UNK
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.training.examples import Examples

_PICTURES_TO_TIME, _TIMES = 256, 10
_FORMATS = {
    "loss, nats per word": ".3f",
    "loss, nats per caption": ".2f",
    "validation words": ",",
    "of them unknown (UNK)": ",",
    "parameters": ",",
    "seconds to train": ",.0f",
    "captions a second (greedy)": ",.0f",
}


@dataclass(frozen=True)
class ModelReport:
    """What was measured for one model."""

    name: str  # the column's title
    numbers: dict[str, float | None]  # by the names that the table has; None where one is not known
    scores: dict[str, Score] | None  # of greedy captions; None where nobody knows what the pictures show


def measure_model(
    name: str,
    model: keras.Model,
    examples: Examples,
    val_features: np.ndarray,
    vocab: dict[str, int],
    truths: Sequence[SceneTruth] | None,
    training_seconds: float | None,
) -> ModelReport:
    """Measure any model of the course.

    The loss is over all real words of the validation captions, END and UNK included, with no caption cut. The loss per
    caption does not depend on how captions are divided into words. UNK is easier to predict than a word.

    Args:
        examples: the validation captions in the model's own vocabulary, with the features it was trained with.
        val_features: (pictures, ...), one row for each validation picture.
        truths: what each of these pictures shows, None where nobody knows.
    """
    writer, next_words = step_model_of(model), examples.captions.matrix[:, 1:]
    words, loss = int((next_words != vocab[PAD]).sum()), score_next_words(model, examples, vocab[PAD])["loss"]
    numbers = {
        "loss, nats per word": loss,
        "loss, nats per caption": loss * words / len(next_words),
        "validation words": words,
        "of them unknown (UNK)": int((next_words == vocab[UNK]).sum()),
        "parameters": model.count_params(),
        "seconds to train": training_seconds,
        "captions a second (greedy)": captions_per_second(writer, val_features, vocab),
    }
    scores = score_captions(generate_sentences(writer, val_features, vocab), truths) if truths is not None else None
    return ModelReport(name, numbers, scores)


def captions_per_second(model: KerasStepModel, features: np.ndarray, vocab: dict[str, int]) -> float:
    """Greedy captions per second, in one batch: the median of several runs, after one that compiles.

    Where there are too few features (pictures, ...), some are captioned more than once.
    """
    batch = np.asarray(features[np.arange(_PICTURES_TO_TIME) % len(features)], dtype=np.float32)
    seconds = timeit.repeat(
        lambda: generate(model, batch, vocab, Greedy(), batch_size=len(batch)), number=1, repeat=_TIMES
    )
    return len(batch) / statistics.median(seconds[1:])


def training_seconds(history: Iterable[Mapping[str, float]]) -> float | None:
    """The seconds of all epochs of a history, validation included; None when there is no epoch."""
    return float(sum(record["seconds"] for record in history)) or None


def comparison_table(reports: Sequence[ModelReport]) -> Table:
    """A table of reports: a row for each number, a column for each model; scores with 95 % intervals."""
    rows: list[Sequence[object]] = [["", *(report.name for report in reports)]]
    for label, form in _FORMATS.items():
        numbers = [report.numbers[label] for report in reports]
        rows.append([label, *("not known" if number is None else format(number, form) for number in numbers)])
    if any(report.scores for report in reports):
        rows += score_table({report.name: report.scores or {} for report in reports}).rows[1:]
    if len({report.numbers["validation words"] for report in reports}) > 1:
        rows.append(["The models divide captions into words differently: compare the loss per caption, not per word."])
    if len({report.numbers["of them unknown (UNK)"] for report in reports}) > 1:
        rows.append(["A word that is UNK to a model is easier to predict: that flatters the model with more of them."])
    return format_table(rows, [34, *[21] * len(reports)])
