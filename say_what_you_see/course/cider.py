"""Trains a lesson's trained model for CIDEr, into another model folder beside the first."""

from dataclasses import asdict, replace

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.lessons import SHOW_AND_TELL, Lesson, write_model
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import Greedy, Sampling
from say_what_you_see.language.captions import CaptionArrays
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model
from say_what_you_see.training.checkpoints import History
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.examples import Examples
from say_what_you_see.training.loop import HistoryCallback
from say_what_you_see.training.self_critical import train_for_cider

WORDS = 20
"""The greatest number of words in sampled captions, END included."""


def cider_config(settings: Settings, epochs: int) -> TrainingConfig:
    """Batches of 32 pictures, five captions sampled for each, at a low rate; for photographs also true captions.

    Their cross-entropy has weight 5, which makes its gradient about as large as that of the rewards (norms measured
    on the photo model: 0.65 and 3.4).
    """
    config = TrainingConfig(
        epochs,
        batch_size=32,
        learning_rate=3e-5,
        max_len=WORDS + 1,
        seed=settings.seed,
        schedule="constant",
        captions_per_image=5,
    )
    photographs = settings.pictures_kind == "photographs"
    return replace(config, label_smoothing=0.1, crossentropy_weight=5.0) if photographs else config


def train_lesson_for_cider(
    lesson: Lesson, settings: Settings, epochs: int, callback: HistoryCallback | None = None
) -> History:
    """Train a lesson's trained model further, for CIDEr, up to `epochs` in all; its own folder stays as it is.

    The methods of `Lesson` say, with `for_cider`, where checkpoints and the new model folder go.

    Args:
        callback: see `train_decoder`.

    Raises:
        CourseError: if there is no trained model, or it does not fit these features and captions.
    """
    lesson.prepare(settings)
    vocab, *examples = lesson.load(settings)
    train, validation = map(by_picture, examples) if lesson is SHOW_AND_TELL else examples
    model = load_caption_model(lesson.model_folder(settings))
    _check_fits(model, vocab, train, lesson.encoder(settings)["weights_checksum"])

    config, writer = cider_config(settings, epochs), step_model_of(model.decoder)
    sampling = Sampling(max_len=WORDS, k=config.captions_per_image)

    def sample(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return generate(writer, features, vocab, sampling, rng).indices

    def describe(features: np.ndarray) -> np.ndarray:
        return generate(writer, features, vocab, Greedy(WORDS)).indices[:, 0]

    folder = lesson.checkpoints(settings, for_cider=True)
    history = train_for_cider(model.decoder, train, validation, config, vocab, sample, describe, folder, callback)
    seconds = model.metadata.get("training_seconds", 0) + sum(epoch["seconds"] for epoch in history)
    metadata = {
        **{key: value for key, value in model.metadata.items() if key != "metrics"},  # those of the earlier model
        "cider_training": asdict(replace(config, epochs=len(history))),
        "scores": {key: history[-1][key] for key in ("val_loss", "val_accuracy", "val_cider", "reward")},
        "training_seconds": round(seconds, 1),
    }
    write_model(settings, replace(model, metadata=metadata), lesson.model_folder(settings, for_cider=True))
    return history


def by_picture(examples: Examples) -> Examples:
    """Examples whose rows are captions, as in the table of notebook 07, with the captions of a picture together: those
    of neighbouring rows with equal features.
    """
    features, matrix = examples.image_embeds, examples.captions.matrix
    begins = np.any(features[1:, :64] != features[:-1, :64], axis=1)  # 64 features tell pictures apart
    first = np.array([0, *(np.flatnonzero(begins) + 1), len(matrix)])
    return Examples(features[first[:-1]], CaptionArrays(matrix, first))


def _check_fits(model: CaptionModel, vocab: dict[str, int], train: Examples, weights_checksum: str) -> None:
    """Refuse a model whose vocabulary, encoder or grid differs from those that it would be trained further with."""
    own = model.vocab, model.encoder["weights_checksum"], tuple(model.decoder.inputs[0].shape[1:])
    if own != (vocab, weights_checksum, tuple(train.image_embeds.shape[1:])):
        raise CourseError(
            f"The model in {model.folder} does not fit the features that the data set and the encoder have now, or was "
            "trained with another vocabulary, so it cannot be trained further. Train it from the start first: use the "
            "same command without --cider."
        )
