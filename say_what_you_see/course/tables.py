"""The two files of notebook 07: a text with the captions, and an array with a row of features for each of them."""

from pathlib import Path

import numpy as np

from say_what_you_see.core.files import make_folder, read_json, write_json
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.features import (
    SPLITS,
    encoder_metadata,
    encoder_path,
    extract_features,
    features_path,
    load_features,
    read_required,
    split_files,
)
from say_what_you_see.data.coco_format import build_if_stale, stamp
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.language.caption_table import get_data, write_caption_table
from say_what_you_see.language.captions import get_captions_for_fns
from say_what_you_see.vision.applications import imagenet_file, keras_downloads
from say_what_you_see.vision.encoders import encoder_for


def table_paths(settings: Settings, split: str) -> tuple[Path, Path]:
    """The two files of a split: captions, and a row of features for each of them."""
    folder = settings.work_folder / "show_and_tell"
    return folder / f"{split}.token", folder / f"{split}_features.npy"


def features_to_use(settings: Settings) -> str:
    """The features of notebook 07: "fc2" of VGG-16 for photographs if its weights are on this machine, else "mean"."""
    if settings.pictures_kind == "scenes":
        return "mean"  # an encoder that has only seen photographs is poor at drawings
    folders = (settings.data_folder, keras_downloads())
    at_hand = any(imagenet_file("vgg16", folder, with_classifier=True) for folder in folders)
    return "fc2" if at_hand else "mean"


def make_tables(settings: Settings) -> None:
    """Make the two files of both splits, unless they exist and what they are made from has not changed."""
    files, kind, folder = get_dataset(settings), features_to_use(settings), settings.work_folder / "show_and_tell"
    if kind == "fc2":
        encoder = encoder_for(settings, "fc2")
        features = {split: extract_features(settings, files, encoder, split) for split in SPLITS}
        metadata = encoder_metadata(encoder, settings)
    else:
        features = {split: load_features(settings, split) for split in SPLITS}
        metadata = read_json(encoder_path(settings, kind))
    sources = [features_path(settings, split, kind) for split in SPLITS]
    made_from = {"features": kind, **stamp([files.captions_zip, *sources])}
    file_names, encoder_file = folder / "file_names.json", folder / "encoder.json"

    def make() -> None:
        for split, (embeds, fns) in features.items():
            captions = get_captions_for_fns(fns, files.captions_zip, split_files(files, split)[1])
            write_caption_table(fns, captions, embeds, *table_paths(settings, split))
        write_json({split: fns for split, (_, fns) in features.items()}, file_names)
        write_json(metadata, encoder_file)

    make_folder(folder)
    outputs = [path for split in SPLITS for path in table_paths(settings, split)]
    build_if_stale(folder, made_from, [*outputs, file_names, encoder_file], make)


def load_table(settings: Settings, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Features, memory-mapped, and captions of a split: `get_data` of its two files."""
    paths = table_paths(settings, split)
    for path in paths:
        read_required(path, Path.stat)
    return get_data(*paths)


def table_min_count(settings: Settings) -> int:
    """How often a word must occur in the training captions to be in the vocabulary of notebook 07."""
    return 1 if settings.small else 30
