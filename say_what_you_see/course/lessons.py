"""What notebooks 04, 07, 08 and 11 train, each as one entry of a table, and the steps that they have in common."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.captions import (
    load_examples,
    load_vocabulary,
    prepare_attention_captions,
    prepare_captions,
    vocabulary_path,
)
from say_what_you_see.course.features import (
    SPLITS,
    VIEWS,
    extract_embeddings,
    extract_grids,
    extract_views,
    load_features,
    read_required,
)
from say_what_you_see.course.tables import load_table, make_tables, table_min_count
from say_what_you_see.data.datasets import terms_of
from say_what_you_see.decoding.beam_search import PHOTO_SAMPLER
from say_what_you_see.decoding.generate import generate, generate_sentences
from say_what_you_see.language.captions import END, PAD, generate_vocabulary
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.attention import build_visual_attention
from say_what_you_see.models.bottleneck_lstm import build_decoder
from say_what_you_see.models.show_and_tell import build_show_and_tell, log_word_frequencies
from say_what_you_see.models.transformer import build_transformer
from say_what_you_see.serving.familiarity import learn_familiarity, log_probability_of_a_word
from say_what_you_see.serving.model_choice import remember_training
from say_what_you_see.serving.model_folder import CaptionModel, save_caption_model
from say_what_you_see.training.checkpoints import History, restore_checkpoint
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.examples import Examples, JoinedRows, add_views, shuffle_images, table_examples
from say_what_you_see.training.loop import HistoryCallback, train_decoder

Build = Callable[[Examples, dict[str, int], float], keras.Model]
"""Makes an untrained decoder for examples, a vocabulary and a rate of dropout."""


@dataclass(frozen=True)
class Lesson:
    """How a notebook trains its decoder."""

    folder_name: str  # of its folder inside the settings' work folder, "" for the work folder itself
    features_folder: str  # the same for its features
    config: Callable[[Settings, Examples], TrainingConfig]  # how to train on given examples
    build: Build
    # the vocabulary, and the examples of both splits
    load: Callable[[Settings], tuple[dict[str, int], Examples, Examples]]
    steps: tuple[Callable[[Settings], None], ...]  # of `prepare`

    def prepare(self, settings: Settings) -> None:
        """Make the features and captions that `load` reads."""
        for step in self.steps:
            step(settings)

    def checkpoints(self, settings: Settings, for_cider: bool = False) -> Path:
        """Where the checkpoints of its training go, or those of its training for CIDEr."""
        return settings.work_folder / self.folder_name / ("checkpoints_cider" if for_cider else "checkpoints")

    def model_folder(self, settings: Settings, for_cider: bool = False) -> Path:
        """Where its trained model goes, or the one that was trained for CIDEr as well."""
        return settings.work_folder / self.folder_name / ("model_cider" if for_cider else "model")

    def encoder(self, settings: Settings) -> dict[str, Any]:
        """What is noted of the encoder beside its features."""
        return read_required(settings.work_folder / self.features_folder / "encoder.json", read_json)


def training_config(settings: Settings, train: Examples | None = None) -> TrainingConfig:
    """How notebook 04 trains."""
    return TrainingConfig(
        settings.epochs, settings.batch_size, learning_rate=2e-3, weight_decay=1.0, dropout=0.1, seed=settings.seed
    )


def _show_and_tell_config(settings: Settings, train: Examples) -> TrainingConfig:
    """As notebook 04, but the learning rate is halved every three epochs."""
    config, epochs = training_config(settings), settings.epochs if settings.small else 12
    return replace(config, epochs=epochs, max_len=26, schedule="exponential", half_life=3.0)


def _attention_config(settings: Settings, train: Examples) -> TrainingConfig:
    """As notebook 04, but with uncut captions, batched by similar length, and with half the epochs on the scenes, where
    no more are needed.
    """
    config = training_config(settings)
    halved = settings.dataset == "scenes" and not settings.small
    epochs, longest = config.epochs // 2 if halved else config.epochs, train.captions.matrix.shape[1]
    return replace(config, epochs=epochs, max_len=longest, similar_lengths=True)


def _transformer_config(settings: Settings, train: Examples) -> TrainingConfig:
    """Five captions of each picture in a batch. Photographs, with four views of each, need label smoothing and much
    dropout, since the model soon overfits; scenes need as many epochs as in notebook 08, with more but smaller steps.
    """
    config = replace(_attention_config(settings, train), learning_rate=8e-4, weight_decay=0.05, captions_per_image=5)
    if settings.dataset == "scenes":
        return replace(config, batch_size=8)
    epochs = settings.epochs if settings.small else 6
    config = replace(config, epochs=epochs, batch_size=32, dropout=0.3, max_len=22, label_smoothing=0.1)
    return replace(config, similar_lengths=False)  # not tried there


def _builder(build: Callable[..., keras.Model]) -> Build:
    """Builds a model that only needs to know sizes: of the vocabulary and of a picture's features."""
    return lambda train, vocab, dropout: build(len(vocab), *train.image_embeds.shape[1:], dropout=dropout)


def _build_show_and_tell(train: Examples, vocab: dict[str, int], dropout: float) -> keras.Model:
    frequencies = log_word_frequencies(train.captions.matrix, vocab)
    feature_size = train.image_embeds.shape[1]
    return build_show_and_tell(len(vocab), feature_size, dropout=dropout, word_log_probabilities=frequencies)


def _load_decoder_examples(settings: Settings, kind: str = "mean") -> tuple[dict[str, int], Examples, Examples]:
    train, validation = (load_examples(settings, split, kind) for split in SPLITS)
    return load_vocabulary(settings, kind), train, validation


def load_grids_and_captions(
    settings: Settings, captions_kind: str = "mean"
) -> tuple[dict[str, int], Examples, Examples]:
    """The grids of notebook 08 with the vocabulary and the captions of notebook 03; photographs in several views.

    Args:
        captions_kind: the kind of features that the captions were prepared for.
    """
    train, validation = (
        Examples(load_features(settings, split, "grid")[0], load_examples(settings, split, captions_kind).captions)
        for split in SPLITS
    )
    vocab = load_vocabulary(settings, captions_kind)
    if settings.pictures_kind == "photographs":
        views = {view: load_features(settings, "train", "grid", view)[0] for view in VIEWS[1:]}
        train = add_views(train, views, vocab)
    return vocab, train, validation


def _load_tables(settings: Settings) -> tuple[dict[str, int], Examples, Examples]:
    tables = {split: load_table(settings, split) for split in SPLITS}
    vocab = generate_vocabulary([[caption] for caption in tables["train"][1]], table_min_count(settings))
    train, validation = (table_examples(*table, vocab) for table in tables.values())
    return vocab, train, validation


def _prepare_decoder(settings: Settings) -> None:
    if not vocabulary_path(settings, "mean").exists():  # otherwise notebooks 02 and 03, or commands, have done it
        extract_embeddings(settings)
        prepare_captions(settings)


DECODER = Lesson("", "", training_config, _builder(build_decoder), _load_decoder_examples, (_prepare_decoder,))
SHOW_AND_TELL = Lesson(
    "show_and_tell", "show_and_tell", _show_and_tell_config, _build_show_and_tell, _load_tables, (make_tables,)
)
ATTENTION = Lesson(
    "visual_attention",
    "visual_attention",
    _attention_config,
    _builder(build_visual_attention),
    lambda settings: _load_decoder_examples(settings, "grid"),
    (extract_grids, prepare_attention_captions),
)
TRANSFORMER = Lesson(
    "transformer",
    "visual_attention",
    _transformer_config,
    _builder(build_transformer),
    load_grids_and_captions,
    (_prepare_decoder, extract_grids, extract_views),
)
LESSONS = {"decoder": DECODER, "show-and-tell": SHOW_AND_TELL, "attention": ATTENTION, "transformer": TRANSFORMER}


def new_model(lesson: Lesson, settings: Settings, train: Examples, vocab: dict[str, int]) -> keras.Model:
    """An untrained model for the settings' features and captions; the same seed gives the same one."""
    config = lesson.config(settings, train)
    keras.utils.set_random_seed(config.seed)
    return lesson.build(train, vocab, config.dropout)


def train_lesson(lesson: Lesson, settings: Settings, callback: HistoryCallback | None = None) -> History:
    """Train a lesson's model, with a checkpoint after every epoch, and write its model folder.

    Args:
        callback: see `train_decoder`.
    """
    lesson.prepare(settings)
    vocab, train, validation = lesson.load(settings)
    config, model = lesson.config(settings, train), new_model(lesson, settings, train, vocab)
    history = train_decoder(model, train, validation, config, vocab[PAD], lesson.checkpoints(settings), callback)
    save_model(lesson, settings, model, vocab, config, history)
    return history


def save_model(
    lesson: Lesson,
    settings: Settings,
    model: keras.Model,
    vocab: dict[str, int],
    config: TrainingConfig,
    history: History,
) -> None:
    """Write the model folder of a lesson, with what it needs to know of the encoder and the training."""
    encoder, train = lesson.encoder(settings), lesson.load(settings)[1]
    views = len(train.image_embeds.parts) if isinstance(train.image_embeds, JoinedRows) else 1  # each has all captions
    metadata = {
        "dataset": settings.dataset_name,
        "terms": terms_of(settings),
        "pictures": len(load_features(settings, "train", encoder["features"])[1]),
        "captions": len(train.captions.matrix) // views,
        "plan": asdict(config),
        "scores": {key: history[-1][key] for key in ("loss", "val_loss", "val_accuracy")},
        "training_seconds": round(sum(epoch.get("seconds", 0) for epoch in history), 1),
    }
    write_model(settings, CaptionModel(model, vocab, encoder, metadata), lesson.model_folder(settings))


def write_model(settings: Settings, model: CaptionModel, folder: Path) -> None:
    """Write a model folder, and remember it as that of the last training.

    What recognises photographs unknown to the model comes from the features of both splits, and from captions as
    `caption` writes them.
    """
    kind, of_photographs = model.encoder.get("features", "mean"), settings.pictures_kind == "photographs"
    if of_photographs:
        train, validation = (load_features(settings, split, kind)[0] for split in SPLITS)
        captions = generate(step_model_of(model.decoder), validation, model.vocab, PHOTO_SAMPLER)
        log_p = log_probability_of_a_word(captions, model.vocab[END])
        model = replace(model, familiarity=learn_familiarity(train, validation, log_p))
    save_caption_model(model, folder)
    if of_photographs or folder == settings.model_folder:  # other models of the scenes are for the lessons only
        remember_training(settings, folder)


def train_control(settings: Settings) -> None:
    """Train the control of notebook 04, whose images have the captions of others, and save its checkpoints."""
    vocab, train, validation = DECODER.load(settings)
    config = replace(training_config(settings), epochs=settings.control_epochs)
    control, folder = new_model(DECODER, settings, train, vocab), settings.work_folder / "checkpoints_control"
    train_decoder(control, shuffle_images(train), shuffle_images(validation), config, vocab[PAD], folder)


def load_control(settings: Settings, vocab_size: int, feature_size: int) -> keras.Model:
    """The control of notebook 04, as it was trained."""
    control = build_decoder(vocab_size, feature_size, dropout=training_config(settings).dropout)
    if not restore_checkpoint(control, settings.work_folder / "checkpoints_control"):
        raise CourseError(
            "The control is not trained yet. Run the notebook 04_train_decoder first, or "
            "`say-what-you-see train --control`."
        )
    return control


def control_sentences(settings: Settings, image_embeds: np.ndarray) -> list[str]:
    """Greedy captions by the control of notebook 04."""
    vocab = load_vocabulary(settings)
    control = load_control(settings, len(vocab), image_embeds.shape[1])
    return generate_sentences(step_model_of(control), image_embeds, vocab)
