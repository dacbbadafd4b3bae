"""Features of a data set's images: streamed to the disk once, and found there by split and kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import check_space, make_folder, read_array, read_json, write_json
from say_what_you_see.core.pickles import read_pickle, save_pickle
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.archives import image_members
from say_what_you_see.data.coco_format import DatasetFiles
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.vision.encoders import EncoderInfo, encoder_for
from say_what_you_see.vision.extraction import apply_model
from say_what_you_see.vision.fast_encoder import FastEncoder
from say_what_you_see.vision.pictures import random_crop

SPLITS = ("train", "val")

VIEWS = ("", "mirrored", "cropped", "cropped_mirrored")
"""How photographs are seen in training: as they are, mirrored, and a random part of them in both ways."""

FEATURE_TYPES = {"mean": "float32", "fc2": "float32", "grid": "float16"}
"""The type of stored features. A grid of InceptionV3 takes 0.26 MB per picture at 2 bytes per number."""

_FILES = {"mean": "{}_img_embeds.npy", "fc2": "show_and_tell/{}_fc2.npy", "grid": "visual_attention/{}_grids.npy"}
_MAKERS = {
    "show_and_tell": "07_show_and_tell from its start, or `say-what-you-see train --model show-and-tell`",
    "visual_attention": "08_visual_attention from its start, or `say-what-you-see train --model attention`",
    "captions": "03_prepare_captions first, or `say-what-you-see prepare`",
    "features": "02_extract_embeddings first, or `say-what-you-see embed`",
}


def features_path(settings: Settings, split: str, kind: str = "mean", view: str = "") -> Path:
    """Where the features of a split are kept, of one of the kinds in `say_what_you_see.vision.encoders.FEATURES`.

    Args:
        view: one of `VIEWS`.
    """
    path = settings.work_folder / (f"test_{kind}.npy" if split == "test" else _FILES[kind].format(split))
    return path.with_stem(f"{path.stem}_{view}") if view else path


def split_files(files: DatasetFiles, split: str) -> tuple[Path, str]:
    """The zip with the images of a split, and the member of the captions' zip with their captions."""
    return dict(zip((*SPLITS, "test"), files.splits, strict=False))[split]


def extract_features(
    settings: Settings,
    files: DatasetFiles,
    encoder: EncoderInfo,
    split: str,
    apply: Callable | None = None,
    view: str = "",
) -> tuple[np.ndarray, list[str]]:
    """Stream the features of a split to the disk; an interrupted extraction goes on where it stopped.

    Args:
        apply: takes the arguments of `apply_model`, which is the default, and returns what it returns.

    Returns:
        Features, memory-mapped, (images, ...), and the file names.
    """
    zip_fn = split_files(files, split)[0]
    zips = [zip_fn] if split == "test" else [files.train_zip, files.val_zip]
    model = FastEncoder(encoder, settings.data_folder, zips)
    return (apply or apply_model)(
        zip_fn,
        model,
        lambda images: encoder.preprocess_for_model(_seen(images, view)),
        encoder.input_shape,
        store=features_path(settings, split, encoder.features, view),
        batch_size=model.batch_size,
        dtype=FEATURE_TYPES[encoder.features],
    )


def extract_embeddings(settings: Settings, apply: Callable | None = None) -> None:
    """The step of notebook 02: embed the images of both splits, and write the same pickles as the notebook."""
    files, encoder = get_dataset(settings), encoder_for(settings)
    for split in SPLITS:
        save_embeddings(settings, split, *extract_features(settings, files, encoder, split, apply))
    save_encoder(settings, encoder)


def extract_grids(settings: Settings) -> None:
    """The first step of notebook 08: the features of every region of every image."""
    files, encoder = get_dataset(settings), encoder_for(settings, "grid")
    check_space_for_features(settings, files, encoder)
    for split in SPLITS:
        extract_features(settings, files, encoder, split)
    save_encoder(settings, encoder)


def extract_views(settings: Settings) -> None:
    """The features of every region of every training image in the other views, if they are photographs."""
    if settings.pictures_kind == "photographs":
        files, encoder = get_dataset(settings), encoder_for(settings, "grid")
        for view in VIEWS[1:]:
            extract_features(settings, files, encoder, "train", view=view)


def _seen(images: np.ndarray, view: str) -> np.ndarray:
    """Square images as a view shows them: RGB 0..255, (images, side, side, 3)."""
    images = images[:, :, ::-1] if view.endswith("mirrored") else images
    return np.stack([random_crop(image) for image in images]) if view.startswith("cropped") else images


def check_space_for_features(settings: Settings, files: DatasetFiles, encoder: EncoderInfo) -> int:
    """Check that the disk has room for the features of both splits; returns how many bytes they take."""
    kind = encoder.features
    size = np.dtype(FEATURE_TYPES[kind]).itemsize * int(np.prod(encoder.model.output_shape[1:]))
    paths = {split: features_path(settings, split, kind) for split in SPLITS}
    sizes = {split: size * len(image_members(split_files(files, split)[0])) for split in SPLITS}
    make_folder(paths["train"].parent)
    # An extraction that was begun checks for room itself when it is resumed: part of its file is there already.
    begun = [split for split in SPLITS if paths[split].exists() or paths[split].with_suffix(".partial.npy").exists()]
    check_space(paths["train"], sum(sizes[split] for split in SPLITS if split not in begun))
    return sum(sizes.values())


def save_embeddings(settings: Settings, split: str, embeds: np.ndarray, fns: list[str]) -> None:
    """Write the pickles of a split, such as `train_img_embeds.pickle` and `train_img_fns.pickle`."""
    save_pickle(np.asarray(embeds), settings.work_folder / f"{split}_img_embeds.pickle")
    save_pickle(fns, settings.work_folder / f"{split}_img_fns.pickle")


def save_encoder(settings: Settings, encoder: EncoderInfo) -> None:
    """Write, beside the features, what a model folder needs to know of their encoder."""
    write_json(encoder_metadata(encoder, settings), encoder_path(settings, encoder.features))


def encoder_path(settings: Settings, kind: str) -> Path:
    """Where `save_encoder` writes."""
    return features_path(settings, "train", kind).with_name("encoder.json")


def encoder_metadata(encoder: EncoderInfo, settings: Settings) -> dict[str, Any]:
    """What a model folder keeps of an encoder; of a `.keras` file only the name, since folders get moved."""
    metadata = dict(vars(encoder))
    del metadata["model"], metadata["preprocess_for_model"], metadata["precision"]
    setting = Path(settings.encoder).name if settings.encoder.endswith(".keras") else settings.encoder
    setting = "vgg16" if encoder.features == "fc2" else setting  # regardless of the settings' encoder
    return {**metadata, "pictures_kind": settings.pictures_kind, "encoder_setting": setting}


def load_features(settings: Settings, split: str, kind: str = "mean", view: str = "") -> tuple[np.ndarray, list[str]]:
    """The features of a split, memory-mapped, (images, ...), and the file names; `view` as in `features_path`."""
    path = features_path(settings, split, kind, view)
    if kind != "mean":
        return read_required(path, read_array), read_json(path.with_suffix(".json"))["file_names"]
    names = settings.work_folder / f"{split}_img_fns.pickle"
    embeds, fns = read_required(path, read_array), read_required(names, read_pickle)
    if not isinstance(fns, list) or embeds.shape[:1] != (len(fns),):
        raise CourseError(
            f"{path.name}, of shape {embeds.shape}, and {names.name} do not belong together: there must be a name for "
            f"each row. Delete both, and run the notebook 02_extract_embeddings again, or `say-what-you-see embed` "
            f"(looked in {path.parent})."
        )
    return embeds, fns


def load_embeddings(settings: Settings, split: str) -> tuple[np.ndarray, list[str]]:
    """The embeddings of notebook 02: see `load_features`."""
    return load_features(settings, split)


def read_required(path: Path, read: Callable[[Path], Any]) -> Any:
    """Read a file that an earlier step writes.

    Raises:
        CourseError: if it is missing; the message says which step makes it.
    """
    if not path.exists():
        contents = "captions" if path.stem in ("vocabulary", "train_captions", "val_captions") else "features"
        maker = _MAKERS.get(path.parent.name, _MAKERS[contents])
        raise CourseError(f"{path.name} is not there yet. Run the notebook {maker} (looked in {path.parent}).")
    return read(path)
