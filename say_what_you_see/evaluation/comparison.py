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


@dataclass(frozen=True)
class ModelReport:
    """What was measured of one model."""

    name: str  # the column's title
    val_loss: float  # nats per real word of the validation captions, END and UNK counted, no caption cut
    scores: dict[str, Score] | None  # of greedy captions; None where nobody knows what the pictures show
    parameters: int  # how many the model has
    training_seconds: float | None  # None where it is not known
    captions_per_second: float  # greedy, from features that are there already
    words: int = 0  # how many words the loss is the mean of
    unknown: int = 0  # how many of them are UNK to this model, which makes them easier to predict
    captions: int = 0  # how many validation captions there are

    @property
    def loss_per_caption(self) -> float:
        """Nats for a whole caption: does not depend on how captions are divided into words."""
        return self.val_loss * self.words / self.captions if self.captions else float("nan")


def measure_model(
    name: str,
    model: keras.Model,
    examples: Examples,
    val_features: np.ndarray,
    vocab: dict[str, int],
    truths: Sequence[SceneTruth] | None,
    training_seconds: float | None,
) -> ModelReport:
    """Measure a model of the course, whichever it is.

    Args:
        examples: the validation captions in the model's own vocabulary, with the features it was trained with.
        val_features: (pictures, ...), one row for each validation picture.
        truths: what each of these pictures shows, None where nobody knows.
        training_seconds: what `training_seconds` makes of its history.
    """
    matrix, writer = examples.captions.matrix, step_model_of(model)
    scores = score_captions(generate_sentences(writer, val_features, vocab), truths) if truths is not None else None
    return ModelReport(
        name,
        score_next_words(model, examples, vocab[PAD])["loss"],
        scores,
        model.count_params(),
        training_seconds,
        captions_per_second(writer, val_features, vocab),
        words=int((matrix[:, 1:] != vocab[PAD]).sum()),
        unknown=int((matrix[:, 1:] == vocab[UNK]).sum()),
        captions=len(matrix),
    )


def captions_per_second(model: KerasStepModel, features: np.ndarray, vocab: dict[str, int]) -> float:
    """Greedy captions per second, in one batch: the median of several times, after one that compiles.

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
    shown = {
        "": lambda report: report.name,
        "loss, nats per word": lambda report: f"{report.val_loss:.3f}",
        "loss, nats per caption": lambda report: f"{report.loss_per_caption:.2f}",
        "validation words": lambda report: f"{report.words:,}",
        "of them unknown (UNK)": lambda report: f"{report.unknown:,}",
        "parameters": lambda report: f"{report.parameters:,}",
        "seconds to train": lambda report: (
            f"{report.training_seconds:,.0f}" if report.training_seconds else "not known"
        ),
        "captions a second (greedy)": lambda report: f"{report.captions_per_second:,.0f}",
    }
    rows: list[Sequence[object]] = [[label, *map(show, reports)] for label, show in shown.items()]
    if any(report.scores for report in reports):
        rows += score_table({report.name: report.scores or {} for report in reports}).rows[1:]
    if len({report.words for report in reports}) > 1:
        rows.append(["The models divide captions into words differently: compare the loss a caption, not a word."])
    if len({report.unknown for report in reports}) > 1:
        rows.append(["A word that is UNK to a model is easier to predict: that flatters the model with more of them."])
    return format_table(rows, [34, *[21] * len(reports)])
