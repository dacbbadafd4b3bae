"""The steps of notebook 08 without the notebook: grids of features, captions, training, a model folder.

All of it lies in one folder beside what the other notebooks make, and nothing of theirs is needed but the pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.files import atomic_path, check_space, make_folder, read_array, read_json, write_json
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.decoder import (
    SPLITS,
    encoder_facts,
    read_caption_arrays,
    read_made,
    training_config,
    training_facts,
)
from say_what_you_see.data.archives import image_members
from say_what_you_see.data.coco_format import DatasetFiles
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.language.captions import (
    PAD,
    CaptionArrays,
    caption_tokens_to_indices,
    get_captions_for_fns,
    pack_captions,
)
from say_what_you_see.models.attention import TOP_WORDS, build_visual_attention, most_frequent_words
from say_what_you_see.serving.model_folder import CaptionModel, save_caption_model
from say_what_you_see.training.checkpoints import History
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.examples import Examples
from say_what_you_see.training.loop import HistoryCallback, train_decoder
from say_what_you_see.vision.encoders import EncoderInfo, encoder_for
from say_what_you_see.vision.extraction import apply_model
from say_what_you_see.vision.fast_encoder import FastEncoder

GRID_TYPE = "float16"
"""The type of stored features: 2 bytes a number, 0.26 MB a picture with InceptionV3."""


def attention_folder(settings: Settings) -> Path:
    """Where the files of notebook 08 go."""
    return settings.work_folder / "visual_attention"


def attention_model_folder(settings: Settings) -> Path:
    """What its training leaves, and all that captions need."""
    return attention_folder(settings) / "model"


def grid_path(settings: Settings, split: str) -> Path:
    """The one file with the features of all pictures of a side: (pictures, regions, features)."""
    return attention_folder(settings) / f"{split}_grids.npy"


def extract_grids(settings: Settings) -> None:
    """Run the pictures of both sides through the encoder and keep every region of each."""
    files, encoder = get_dataset(settings), encoder_for(settings, "grid")
    check_space_for_grids(settings, files, encoder)
    for split in SPLITS:
        extract_grid(settings, files, encoder, split)
    save_grid_encoder(settings, encoder)


def save_grid_encoder(settings: Settings, encoder: EncoderInfo) -> None:
    """Keep what a model folder has to remember of the encoder."""
    write_json(encoder_facts(encoder, settings), attention_folder(settings) / "encoder.json")


def extract_grid(settings: Settings, files: DatasetFiles, encoder: EncoderInfo, split: str) -> np.ndarray:
    """Stream the features of one side to the disk; an interrupted extraction goes on where it was."""
    zips = {"train": files.train_zip, "val": files.val_zip}
    model = FastEncoder(encoder, settings.data_folder, list(zips.values()))
    options = {"store": grid_path(settings, split), "batch_size": model.batch_size, "dtype": GRID_TYPE}
    return apply_model(zips[split], model, encoder.preprocess_for_model, encoder.input_shape, **options)[0]


def check_space_for_grids(settings: Settings, files: DatasetFiles, encoder: EncoderInfo) -> int:
    """How many bytes the features of both sides take.

    Raises:
        CourseError: if there is not that much room on the disk for those that are not there yet.
    """
    row = np.dtype(GRID_TYPE).itemsize * int(np.prod(encoder.model.output_shape[1:]))
    pictures = {"train": len(image_members(files.train_zip)), "val": len(image_members(files.val_zip))}
    paths = {split: grid_path(settings, split) for split in SPLITS}
    make_folder(paths["train"].parent)
    # One that was begun has its room checked where it is resumed, since a part of it is there already.
    begun = [split for split in SPLITS if paths[split].exists() or paths[split].with_suffix(".partial.npy").exists()]
    check_space(paths["train"], row * sum(pictures[split] for split in SPLITS if split not in begun))
    return row * sum(pictures.values())


def load_grids(settings: Settings, split: str) -> tuple[np.ndarray, list[str]]:
    """The features of one side as a memory map, (pictures, regions, features), and the file names."""
    path = grid_path(settings, split)
    return _made(path, read_array), read_json(path.with_suffix(".json"))["file_names"]


def load_grid_captions(settings: Settings, files: DatasetFiles, split: str) -> list[list[str]]:
    """The captions of the pictures of one side, in the order of their features."""
    _, fns = load_grids(settings, split)
    return get_captions_for_fns(fns, files.captions_zip, files.train_json if split == "train" else files.val_json)


def prepare_attention_captions(settings: Settings, limit: int = TOP_WORDS) -> None:
    """Make the vocabulary of the most frequent words, and the captions of both sides into padded arrays."""
    files = get_dataset(settings)
    captions = {split: load_grid_captions(settings, files, split) for split in SPLITS}
    vocab = most_frequent_words(captions["train"], limit)
    write_json(vocab, attention_folder(settings) / "vocabulary.json")
    for split in SPLITS:
        packed = pack_captions(caption_tokens_to_indices(captions[split], vocab), vocab[PAD])
        with atomic_path(attention_folder(settings) / f"{split}_captions.npz") as partial:
            np.savez(partial, matrix=packed.matrix, first=packed.first)


def load_attention_vocabulary(settings: Settings) -> dict[str, int]:
    """Word to index."""
    return _made(attention_folder(settings) / "vocabulary.json", read_json)


def load_attention_examples(settings: Settings, split: str) -> Examples:
    """Features and captions of one side, ready for training."""
    grids, _ = load_grids(settings, split)
    path = attention_folder(settings) / f"{split}_captions.npz"
    return Examples(grids, CaptionArrays(*_made(path, read_caption_arrays)))


def attention_config(settings: Settings, train: Examples) -> TrainingConfig:
    """The configuration of notebook 04, but whole captions, and on the scenes half the epochs: here binding needs no more."""
    config, longest = training_config(settings), train.captions.matrix.shape[1]
    halved = settings.dataset == "scenes" and not settings.small
    return replace(config, epochs=config.epochs // 2 if halved else config.epochs, max_len=longest)


def new_attention_model(settings: Settings, train: Examples, vocab: dict[str, int]) -> keras.Model:
    """An untrained model that fits the settings' encoder and captions; the same seed gives the same one."""
    config = attention_config(settings, train)
    keras.utils.set_random_seed(config.seed)
    regions, feature_size = train.image_embeds.shape[1:]
    return build_visual_attention(len(vocab), regions, feature_size, dropout=config.dropout)


def train_attention(settings: Settings, callback: HistoryCallback | None = None) -> History:
    """Train the model, with a checkpoint after every epoch, and leave a model folder."""
    vocab = load_attention_vocabulary(settings)
    examples = {split: load_attention_examples(settings, split) for split in SPLITS}
    config, checkpoints = attention_config(settings, examples["train"]), attention_folder(settings) / "checkpoints"
    model = new_attention_model(settings, examples["train"], vocab)
    history = train_decoder(model, examples["train"], examples["val"], config, vocab[PAD], checkpoints, callback)
    save_attention_model(settings, model, vocab, history)
    return history


def save_attention_model(settings: Settings, model: keras.Model, vocab: dict[str, int], history: History) -> None:
    """Write the model folder."""
    train = load_attention_examples(settings, "train")
    captions = train.captions
    config = attention_config(settings, train)
    facts = training_facts(settings, config, captions.n_images, len(captions.matrix), history)
    encoder = _made(attention_folder(settings) / "encoder.json", read_json)
    save_caption_model(CaptionModel(model, vocab, encoder, facts), attention_model_folder(settings))


def _made(path: Path, read: Callable[[Path], Any]) -> Any:
    """Read a file that an earlier step makes."""
    here = "extract_grids and prepare_attention_captions of say_what_you_see.course.attention"
    return read_made(path, read, f"Run the notebook 08_visual_attention from its start, or {here}")
