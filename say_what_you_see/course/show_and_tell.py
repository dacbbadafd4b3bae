"""The steps of notebook 07 without the notebook: features, the two files, training, a model folder.

All of it lies in one folder beside what the other notebooks make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.files import make_folder, read_array, read_json, write_json
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.decoder import SPLITS, encoder_facts, load_embeddings, read_made, training_facts
from say_what_you_see.data.coco_format import DatasetFiles, make_once, stamp
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.language.caption_table import get_data, write_caption_table
from say_what_you_see.language.captions import PAD, generate_vocabulary, get_captions_for_fns
from say_what_you_see.models.show_and_tell import build_show_and_tell, log_word_frequencies
from say_what_you_see.serving.model_folder import CaptionModel, save_caption_model
from say_what_you_see.training.checkpoints import History
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.examples import Examples, table_examples
from say_what_you_see.training.loop import HistoryCallback, train_decoder
from say_what_you_see.vision.encoders import encoder_for, imagenet_file, keras_downloads
from say_what_you_see.vision.extraction import apply_model
from say_what_you_see.vision.fast_encoder import FastEncoder

EPOCHS = 12
LONGEST = 26
THRESHOLD = 30
"""How often a word must occur to be in the vocabulary."""


def show_and_tell_folder(settings: Settings) -> Path:
    """Where the files of notebook 07 go."""
    return settings.work_folder / "show_and_tell"


def show_and_tell_model_folder(settings: Settings) -> Path:
    """What its training leaves, and all that captions need."""
    return show_and_tell_folder(settings) / "model"


def table_paths(settings: Settings, split: str) -> tuple[Path, Path]:
    """The two files of one side: captions, and a row of features for each of them."""
    folder = show_and_tell_folder(settings)
    return folder / f"{split}.token", folder / f"{split}_features.npy"


def fc2_path(settings: Settings, split: str) -> Path:
    """Where VGG-16's features of the pictures of one side go, (pictures, 4096)."""
    return show_and_tell_folder(settings) / f"{split}_fc2.npy"


def features_to_use(settings: Settings) -> str:
    """What a picture is described by: "fc2" of VGG-16 for photographs where its weights are at hand, or "mean".

    They are in the data folder, or where Keras keeps what it has downloaded.
    """
    if settings.pictures_kind == "scenes":
        return "mean"  # an encoder that has only seen photographs makes little of drawings
    folders = (settings.data_folder, keras_downloads())
    at_hand = any(imagenet_file("vgg16", folder, with_classifier=True) for folder in folders)
    return "fc2" if at_hand else "mean"


def picture_features(settings: Settings, files: DatasetFiles, split: str) -> tuple[np.ndarray, list[str]]:
    """Features of the pictures of one side, (pictures, features), and the file names.

    The embeddings of notebook 02, or where VGG-16's classifier is at hand its fc2, streamed to the disk.
    """
    if features_to_use(settings) == "mean":
        return load_embeddings(settings, split)
    encoder, zips = encoder_for(settings, "fc2"), {"train": files.train_zip, "val": files.val_zip}
    model = FastEncoder(encoder, settings.data_folder, list(zips.values()))
    options = {"store": fc2_path(settings, split), "batch_size": model.batch_size}
    return apply_model(zips[split], model, encoder.preprocess_for_model, encoder.input_shape, **options)


def make_tables(settings: Settings) -> None:
    """Make the two files of both sides, unless they are there and what they were made from has not changed."""
    files, features = get_dataset(settings), features_to_use(settings)
    splits = {split: picture_features(settings, files, split) for split in SPLITS}
    folder = show_and_tell_folder(settings)
    means = [settings.work_folder / f"{split}_img_embeds.npy" for split in SPLITS]
    sources = means if features == "mean" else [fc2_path(settings, split) for split in SPLITS]
    made_from = {"features": features, **stamp([files.captions_zip, *sources])}

    def make() -> None:
        for split, (embeds, fns) in splits.items():
            captions = get_captions_for_fns(fns, files.captions_zip, _captions_member(files, split))
            write_caption_table(fns, captions, embeds, *table_paths(settings, split))
        write_json({split: fns for split, (_, fns) in splits.items()}, folder / "file_names.json")
        write_json(_encoder(settings, features), folder / "encoder.json")

    make_folder(folder)
    paths = [path for split in SPLITS for path in table_paths(settings, split)]
    make_once(folder, made_from, [*paths, folder / "file_names.json", folder / "encoder.json"], make)


def _captions_member(files: DatasetFiles, split: str) -> str:
    return files.train_json if split == "train" else files.val_json


def _encoder(settings: Settings, features: str) -> dict[str, Any]:
    """What the model folder remembers of the encoder; fc2 is VGG-16's, whatever the settings' encoder is."""
    if features == "fc2":
        return encoder_facts(encoder_for(settings, "fc2"), replace(settings, encoder="vgg16"))
    return read_json(settings.work_folder / "encoder.json")


def load_table(settings: Settings, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Features, memory-mapped, and captions of one side: `get_data` of its two files."""
    for path in table_paths(settings, split):
        _made(path, lambda made: made)
    return get_data(*table_paths(settings, split))


def load_picture_features(settings: Settings, split: str) -> tuple[np.ndarray, list[str]]:
    """One row for each picture of one side, in the order of the data set, and the file names."""
    if features_to_use(settings) == "mean":
        return load_embeddings(settings, split)
    folder = show_and_tell_folder(settings)
    features = _made(fc2_path(settings, split), read_array)
    return features, _made(folder / "file_names.json", read_json)[split]


def threshold(settings: Settings) -> int:
    """How often a word must occur in the training captions to be in the vocabulary."""
    return 1 if settings.small else THRESHOLD


def show_and_tell_config(settings: Settings) -> TrainingConfig:
    """The configuration that notebook 07 trains with: Adam, whose learning rate is halved every three epochs."""
    return TrainingConfig(
        epochs=settings.epochs if settings.small else EPOCHS,
        batch_size=settings.batch_size,
        learning_rate=2e-3,
        weight_decay=1.0,
        dropout=0.1,
        max_len=LONGEST,
        seed=settings.seed,
        schedule="exponential",
        half_life=3.0,
    )


def new_show_and_tell(settings: Settings, train: Examples, vocab: dict[str, int]) -> keras.Model:
    """An untrained model that fits the settings' features and captions; the same seed gives the same one."""
    config = show_and_tell_config(settings)
    keras.utils.set_random_seed(config.seed)
    frequencies = log_word_frequencies(train.captions.matrix, vocab)
    return build_show_and_tell(
        len(vocab), train.image_embeds.shape[1], dropout=config.dropout, word_log_probabilities=frequencies
    )


def train_show_and_tell(settings: Settings, callback: HistoryCallback | None = None) -> History:
    """Make what is missing, train with a checkpoint after every epoch, and leave a model folder."""
    make_tables(settings)
    tables = {split: load_table(settings, split) for split in SPLITS}
    vocab = generate_vocabulary([[caption] for caption in tables["train"][1]], threshold(settings))
    examples = {split: table_examples(*table, vocab) for split, table in tables.items()}
    model, config = new_show_and_tell(settings, examples["train"], vocab), show_and_tell_config(settings)
    checkpoints = show_and_tell_folder(settings) / "checkpoints"
    history = train_decoder(model, examples["train"], examples["val"], config, vocab[PAD], checkpoints, callback)
    save_show_and_tell(settings, model, vocab, history)
    return history


def save_show_and_tell(settings: Settings, model: keras.Model, vocab: dict[str, int], history: History) -> None:
    """Write the model folder."""
    folder = show_and_tell_folder(settings)
    pictures = len(_made(folder / "file_names.json", read_json)["train"])
    captions = len(load_table(settings, "train")[1])
    facts = training_facts(settings, show_and_tell_config(settings), pictures, captions, history)
    encoder = _made(folder / "encoder.json", read_json)
    save_caption_model(CaptionModel(model, vocab, encoder, facts), show_and_tell_model_folder(settings))


def _made(path: Path, read: Callable[[Path], Any]) -> Any:
    """Read a file that an earlier step makes."""
    here = "make_tables of say_what_you_see.course.show_and_tell"
    return read_made(path, read, f"Run the notebook 07_show_and_tell from its start, or {here}")
