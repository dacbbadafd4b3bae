"""Captions of a data set as padded arrays of indices, beside the features of the same images."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_arrays, read_json, sha256_of, write_json
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.features import SPLITS, features_path, load_features, read_required, split_files
from say_what_you_see.data.coco_format import DatasetFiles
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.language.captions import CaptionArrays, get_captions_for_fns
from say_what_you_see.language.fast_captions import index_captions, write_caption_arrays
from say_what_you_see.models.attention import most_frequent_words
from say_what_you_see.training.examples import Examples


def vocabulary_path(settings: Settings, kind: str = "mean") -> Path:
    """Where the vocabulary is kept, beside the features of that kind."""
    return features_path(settings, "train", kind).with_name("vocabulary.json")


def captions_path(settings: Settings, split: str, kind: str = "mean") -> Path:
    """Where the indexed captions of a split are kept, beside the features of that kind."""
    return features_path(settings, split, kind).with_name(f"{split}_captions.npz")


def load_captions(settings: Settings, files: DatasetFiles, split: str, kind: str = "mean") -> list[list[str]]:
    """The captions of the images of a split, in the order of their features."""
    _, fns = load_features(settings, split, kind)
    return get_captions_for_fns(fns, files.captions_zip, split_files(files, split)[1])


def prepare_captions(settings: Settings, kind: str = "mean", vocab: dict[str, int] | None = None) -> None:
    """The step of notebook 03, with the same results: vocabulary, and captions of both splits as arrays of indices.

    Args:
        kind: the kind of features whose images the captions belong to.
        vocab: word to index; None takes the words that occur often enough in the training captions.
    """
    files = get_dataset(settings)
    names = {split: load_features(settings, split, kind)[1] for split in SPLITS}
    for split, fns in names.items():
        member = split_files(files, split)[1]
        vocab, captions = index_captions(fns, files.captions_zip, member, vocab, settings.min_count)
        if split == "train":
            write_json(vocab, vocabulary_path(settings, kind))
        write_caption_arrays(captions, captions_path(settings, split, kind), vocabulary_path(settings, kind))


def prepare_attention_captions(settings: Settings) -> None:
    """The step of notebook 08: as `prepare_captions`, with the most frequent words as vocabulary."""
    captions = load_captions(settings, get_dataset(settings), "train", "grid")
    prepare_captions(settings, "grid", most_frequent_words(captions))


def save_caption_arrays(captions: CaptionArrays, settings: Settings, split: str) -> None:
    """Write captions as, say, `train_captions.npz`, once their vocabulary is written."""
    write_caption_arrays(captions, captions_path(settings, split), vocabulary_path(settings))


def load_vocabulary(settings: Settings, kind: str = "mean") -> dict[str, int]:
    """Word to index."""
    return read_required(vocabulary_path(settings, kind), read_json)


def load_examples(settings: Settings, split: str, kind: str = "mean") -> Examples:
    """Features and captions of a split, ready for training."""
    features, _ = load_features(settings, split, kind)
    path = captions_path(settings, split, kind)
    arrays = read_required(path, lambda path: read_arrays(path, ("matrix", "first")))
    _check_vocabulary(path, vocabulary_path(settings, kind))
    return Examples(features, CaptionArrays(*arrays))


def _check_vocabulary(path: Path, vocabulary: Path) -> None:
    """Refuse captions with the indices of another vocabulary, as after an interrupted preparation."""
    with zipfile.ZipFile(path) as archive:
        if "vocabulary.npy" not in archive.namelist() or not vocabulary.exists():
            return  # captions of earlier versions do not say
    (checksum,) = read_arrays(path, ("vocabulary",))
    if checksum.tobytes().hex() != sha256_of(vocabulary):
        raise CourseError(
            f"{path.name} was not made with the {vocabulary.name} beside it, perhaps because the "
            f"preparation was interrupted. Run the notebook 03_prepare_captions again, or `say-what-you-see prepare` "
            f"(looked in {path.parent})."
        )


def save_example_captions(
    settings: Settings, files: DatasetFiles, fns: Sequence[str], sentences: Sequence[str]
) -> Path:
    """Write five validation images with their captions, by the model and by people, to look at in the terminal."""
    references = load_captions(settings, files, "val")
    images = np.random.default_rng(settings.seed).choice(len(fns), size=min(5, len(fns)), replace=False)
    path = settings.work_folder / "example_captions.json"
    write_json([{"file": fns[i], "caption": sentences[i], "references": references[i]} for i in images], path)
    return path
