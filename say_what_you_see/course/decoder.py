"""The steps of the course without the notebooks: the same functions, the same files.

Each step leaves its results in the settings' folders and finds those of the step before there.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import (
    read_array,
    read_arrays,
    read_json,
    sha256_of,
    write_json,
)
from say_what_you_see.core.pickles import read_pickle, save_pickle
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.coco_format import DatasetFiles
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.decoding.generation import generate_sentences
from say_what_you_see.language.captions import PAD, CaptionArrays, get_captions_for_fns
from say_what_you_see.language.fast_captions import CaptionBlocks, index_captions, write_caption_blocks
from say_what_you_see.models.architectures import next_word_model
from say_what_you_see.models.bottleneck_lstm import build_decoder
from say_what_you_see.serving.model_choice import remember_training
from say_what_you_see.serving.model_folder import CaptionModel, save_caption_model
from say_what_you_see.training.checkpoints import History, restore_checkpoint
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.examples import Examples, shuffle_images
from say_what_you_see.training.loop import train_decoder
from say_what_you_see.vision.encoders import EncoderInfo, encoder_for
from say_what_you_see.vision.extraction import apply_model
from say_what_you_see.vision.fast_encoder import FastEncoder

SPLITS = ("train", "val")
_COMMANDS = {"02_extract_embeddings": "embed", "03_prepare_captions": "prepare"}


def extract_embeddings(settings: Settings, apply: Callable[..., tuple[np.ndarray, list[str]]] | None = None) -> None:
    """Embed the pictures of both sides: a memory-mapped `.npy`, and the pickles that the course promises.

    Args:
        apply: what does the work; it takes the arguments of `apply_model`, with a `FastEncoder` as the encoder, and
            gives what that gives. Without, it is `apply_model`.
    """
    files, encoder = get_dataset(settings), encoder_for(settings)
    zips = {"train": files.train_zip, "val": files.val_zip}
    model = FastEncoder(encoder, settings.data_folder, list(zips.values()))
    apply, preprocess = apply or apply_model, encoder.preprocess_for_model
    for split in SPLITS:
        store = settings.work_folder / f"{split}_img_embeds.npy"
        embeds, fns = apply(
            zips[split], model, preprocess, encoder.input_shape, store=store, batch_size=model.batch_size
        )
        save_embeddings(settings, split, embeds, fns)
    write_json(encoder_facts(encoder, settings), settings.work_folder / "encoder.json")


def save_embeddings(settings: Settings, split: str, embeds: np.ndarray, fns: list[str]) -> None:
    """Write the pickles of one side: `train_img_embeds.pickle` and `train_img_fns.pickle`, say."""
    save_pickle(np.asarray(embeds), settings.work_folder / f"{split}_img_embeds.pickle")
    save_pickle(fns, settings.work_folder / f"{split}_img_fns.pickle")


def encoder_facts(encoder: EncoderInfo, settings: Settings) -> dict[str, Any]:
    """What a model folder remembers of the encoder; of a `.keras` file only its name, since folders get moved."""
    facts = asdict(encoder)
    del facts["model"], facts["preprocess_for_model"]
    setting = Path(settings.encoder).name if settings.encoder.endswith(".keras") else settings.encoder
    return {**facts, "pictures_kind": settings.pictures_kind, "encoder_setting": setting}


def load_embeddings(settings: Settings, split: str) -> tuple[np.ndarray, list[str]]:
    """The embeddings of one side as a memory map, (pictures, features), and the file names.

    Raises:
        CourseError: if a file is missing or damaged, or if there are more of the ones than of the others.
    """
    path, names = (settings.work_folder / f"{split}_img_{part}" for part in ("embeds.npy", "fns.pickle"))
    embeds, fns = (_made_by("02_extract_embeddings", *read) for read in ((path, read_array), (names, read_pickle)))
    if not isinstance(fns, list) or embeds.shape[:1] != (len(fns),):
        rows = embeds.shape[0] if embeds.ndim else 0
        raise CourseError(
            f"{path.name} holds the embeddings of {rows} pictures, and {names.name} "
            f"{f'{len(fns)} names' if isinstance(fns, list) else 'no list of names'}: they do not belong together. "
            f"Delete both, and run the notebook 02_extract_embeddings again, or `say-what-you-see embed` "
            f"(looked in {path.parent})."
        )
    return embeds, fns


def load_captions(settings: Settings, files: DatasetFiles, split: str) -> list[list[str]]:
    """The captions of the pictures of one side, in the order of their embeddings."""
    _, fns = load_embeddings(settings, split)
    return get_captions_for_fns(fns, files.captions_zip, files.train_json if split == "train" else files.val_json)


def prepare_captions(settings: Settings) -> None:
    """Make the vocabulary from the training captions, and the captions of both sides into integer arrays.

    They are those of notebook 03, made in a quicker way.
    """
    files, vocab = get_dataset(settings), None
    fns = {split: load_embeddings(settings, split)[1] for split in SPLITS}
    for split in SPLITS:
        member = files.train_json if split == "train" else files.val_json
        vocab, captions = index_captions(fns.pop(split), files.captions_zip, member, vocab, settings.min_count)
        if split == "train":
            write_json(vocab, _vocabulary_path(settings))
        _write_caption_arrays(captions, settings, split)


def save_caption_arrays(captions: CaptionArrays, settings: Settings, split: str) -> None:
    """Write packed captions as `train_captions.npz`, say, once their vocabulary is written."""
    _write_caption_arrays(CaptionBlocks.of(captions), settings, split)


def _write_caption_arrays(captions: CaptionBlocks, settings: Settings, split: str) -> None:
    """Write the captions of one side, in indices of the settings' vocabulary."""
    write_caption_blocks(captions, settings.work_folder / f"{split}_captions.npz", _vocabulary_path(settings))


def _vocabulary_path(settings: Settings) -> Path:
    return settings.work_folder / "vocabulary.json"


def load_vocabulary(settings: Settings) -> dict[str, int]:
    """Word to index."""
    return _made_by("03_prepare_captions", _vocabulary_path(settings), read_json)


def load_examples(settings: Settings, split: str) -> Examples:
    """Embeddings and captions of one side, ready for training.

    Raises:
        CourseError: if a file is missing or damaged, or if they do not belong together.
    """
    embeds, _ = load_embeddings(settings, split)
    path = settings.work_folder / f"{split}_captions.npz"
    captions = CaptionArrays(*_made_by("03_prepare_captions", path, read_caption_arrays))
    _check_vocabulary(path, _vocabulary_path(settings))
    return Examples(embeds, captions)


def _check_vocabulary(path: Path, vocabulary: Path) -> None:
    """Refuse captions whose indices are those of another vocabulary, as after a preparation that was stopped."""
    with zipfile.ZipFile(path) as archive:
        if "vocabulary.npy" not in archive.namelist() or not vocabulary.exists():
            return  # captions of earlier versions do not tell
    (checksum,) = read_arrays(path, ("vocabulary",))
    if checksum.tobytes().hex() != sha256_of(vocabulary):
        raise CourseError(
            f"{path.name} was made with another vocabulary than {vocabulary.name} beside it, perhaps since the "
            f"preparation was stopped. Run the notebook 03_prepare_captions again, or `say-what-you-see prepare` "
            f"(looked in {path.parent})."
        )


def read_caption_arrays(path: Path) -> list[np.ndarray]:
    """The matrix of captions and where those of each picture begin, from a `.npz` file."""
    return read_arrays(path, ("matrix", "first"))


def training_config(settings: Settings) -> TrainingConfig:
    """The configuration that the course trains with."""
    return TrainingConfig(
        settings.epochs, settings.batch_size, learning_rate=2e-3, weight_decay=1.0, dropout=0.1, seed=settings.seed
    )


def train(settings: Settings) -> None:
    """Train the decoder and leave a model folder."""
    vocab, examples = load_vocabulary(settings), {split: load_examples(settings, split) for split in SPLITS}
    config = training_config(settings)
    keras.utils.set_random_seed(config.seed)
    decoder = build_decoder(len(vocab), examples["train"].image_embeds.shape[1], dropout=config.dropout)
    checkpoints = settings.work_folder / "checkpoints"
    history = train_decoder(decoder, examples["train"], examples["val"], config, vocab[PAD], checkpoints)
    save_model(settings, decoder, vocab, config, history)


def train_control(settings: Settings) -> None:
    """Train the control of notebook 04, whose pictures have the captions of others, and leave its checkpoints."""
    vocab, examples = load_vocabulary(settings), {split: load_examples(settings, split) for split in SPLITS}
    config = replace(training_config(settings), epochs=settings.control_epochs)
    keras.utils.set_random_seed(config.seed)
    control = build_decoder(len(vocab), examples["train"].image_embeds.shape[1], dropout=config.dropout)
    shuffled = {split: shuffle_images(examples[split]) for split in SPLITS}
    folder = settings.work_folder / "checkpoints_control"
    train_decoder(control, shuffled["train"], shuffled["val"], config, vocab[PAD], folder)


def save_model(
    settings: Settings, decoder: keras.Model, vocab: dict[str, int], config: TrainingConfig, history: History
) -> None:
    """Write the settings' model folder."""
    captions = load_examples(settings, "train").captions
    facts = training_facts(settings, config, captions.n_images, len(captions.matrix), history)
    encoder = _made_by("02_extract_embeddings", settings.work_folder / "encoder.json", read_json)
    save_caption_model(CaptionModel(decoder, vocab, encoder, facts), settings.model_folder)
    remember_training(settings)


def training_facts(
    settings: Settings, config: TrainingConfig, pictures: int, captions: int, history: History
) -> dict[str, Any]:
    """What a model folder remembers of a training."""
    scores = {key: history[-1][key] for key in ("loss", "val_loss", "val_accuracy")}
    sizes = {"pictures": pictures, "captions": captions}
    seconds = round(sum(epoch.get("seconds", 0) for epoch in history), 1)
    facts = {"dataset": settings.dataset_name, **sizes, "plan": asdict(config), "scores": scores}
    return {**facts, "training_seconds": seconds}


def _made_by(notebook: str, path: Path, read: Callable[[Path], Any]) -> Any:
    """Read a file that an earlier notebook makes."""
    return read_made(path, read, f"Run the notebook {notebook} first, or `say-what-you-see {_COMMANDS[notebook]}`")


def read_made(path: Path, read: Callable[[Path], Any], remedy: str) -> Any:
    """Read a file that an earlier step makes.

    Args:
        remedy: what makes it, for the message.

    Raises:
        CourseError: if it is not there.
    """
    if not path.exists():
        raise CourseError(f"{path.name} is not there yet. {remedy} (looked in {path.parent}).")
    return read(path)


def control_sentences(settings: Settings, image_embeds: np.ndarray) -> list[str]:
    """Greedy captions by the control of notebook 04, which was trained with shuffled pictures."""
    vocab, config = load_vocabulary(settings), training_config(settings)
    control = build_decoder(len(vocab), image_embeds.shape[1], dropout=config.dropout)
    if not restore_checkpoint(control, settings.work_folder / "checkpoints_control"):
        raise CourseError(
            "The control is not trained yet. Run the notebook 04_train_decoder first, or "
            "`say-what-you-see train --control`."
        )
    return generate_sentences(next_word_model(control), image_embeds, vocab)


def save_example_captions(
    settings: Settings, files: DatasetFiles, fns: Sequence[str], sentences: Sequence[str]
) -> Path:
    """Keep five validation pictures with their captions, by model and by people, for a look in the terminal."""
    references = load_captions(settings, files, "val")
    rows = np.random.default_rng(settings.seed).choice(len(fns), size=min(5, len(fns)), replace=False)
    path = settings.work_folder / "example_captions.json"
    write_json([{"file": fns[i], "caption": sentences[i], "references": references[i]} for i in rows], path)
    return path
