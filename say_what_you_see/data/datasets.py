"""The data set that the settings ask for: drawn, downloaded, converted or found."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from say_what_you_see.core.settings import DATASETS, Settings
from say_what_you_see.data.checksums import sha256_of_file
from say_what_you_see.data.coco_format import (
    DatasetFiles,
    build_if_stale,
    copy_images,
    images_by_name,
    read_captions,
    stamp,
)
from say_what_you_see.data.flickr import get_flickr8k, get_flickr30k
from say_what_you_see.data.folders import LICENCE_OF_FOLDERS, get_folder_dataset
from say_what_you_see.data.karpathy import get_karpathy_split
from say_what_you_see.data.resources import fetch_resource, licence_of, resources_of
from say_what_you_see.data.scenes.dataset import LICENCE, get_scenes

SAMPLE_SIZE = (48, 24)
"""The numbers of pictures for training and for each other split in a small run."""


def get_dataset(settings: Settings) -> DatasetFiles:
    """Get the data set ready: in a small run, fewer scenes or a sample. What was made before is used again."""
    if settings.dataset == "scenes":
        return get_scenes(settings.dataset_folder, settings.scene_counts, settings.seed)
    folder = settings.data_folder / settings.dataset_name
    if settings.split_by == "karpathy":
        files = get_karpathy_split(settings.dataset, folder, settings.data_folder)
    elif settings.dataset == "coco":
        files = _fetch_coco(folder)
    elif settings.dataset == "flickr8k":
        files = get_flickr8k(folder)
    elif settings.dataset == "flickr30k":
        files = get_flickr30k(folder, settings.seed)
    else:
        files = get_folder_dataset(Path(settings.dataset), folder, settings.seed)
    return _sample(files, settings) if settings.small else files


def terms_of(settings: Settings) -> str:
    """The terms on which the data set may be used; a folder named like a downloadable one is taken to be that one."""
    if settings.dataset == "scenes":
        return LICENCE
    name = Path(settings.dataset).name
    return licence_of(name) if name in DATASETS and name != "scenes" else LICENCE_OF_FOLDERS


def describe_files(files: DatasetFiles) -> list[tuple[str, int, str]]:
    """Name, size in bytes and SHA-256 checksum of the files of a data set."""
    return [(path.name, path.stat().st_size, sha256_of_file(path)) for path in files.zips]


def _fetch_coco(folder: Path) -> DatasetFiles:
    train_zip, val_zip, captions_zip = (fetch_resource(resource.name, folder) for resource in resources_of("coco"))
    return DatasetFiles(
        train_zip=train_zip,
        val_zip=val_zip,
        captions_zip=captions_zip,
        train_json="annotations/captions_train2014.json",
        val_json="annotations/captions_val2014.json",
        source="https://cocodataset.org",
        licence=licence_of("coco"),
    )


def _sample(files: DatasetFiles, settings: Settings) -> DatasetFiles:
    """Copy a few dozen images of a data set, chosen by the seed; the captions stay in their own zip."""
    folder = settings.dataset_folder
    test_zip = files.test_zip and folder / "test_sample.zip"
    sampled = replace(
        files, train_zip=folder / "train_sample.zip", val_zip=folder / "val_sample.zip", test_zip=test_zip
    )
    n_train, n_others = SAMPLE_SIZE

    def build() -> None:
        for (zip_path, member), (copy, _) in zip(files.splits, sampled.splits, strict=True):
            count = n_train if zip_path == files.train_zip else n_others
            captioned = sorted(images_by_name(zip_path).keys() & read_captions(files.captions_zip, member).keys())
            rng = np.random.default_rng(settings.seed)
            chosen = rng.choice(len(captioned), min(count, len(captioned)), replace=False)
            copy_images(zip_path, copy, {captioned[index] for index in chosen})

    inputs = {"seed": settings.seed, "pictures": list(SAMPLE_SIZE), **stamp(files.zips)}
    build_if_stale(folder, inputs, sampled.zips, build)
    return sampled
