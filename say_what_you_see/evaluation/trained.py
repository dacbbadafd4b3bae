"""The trained models of a data set, and the pictures that they are evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.features import encoder_metadata, encoder_path, extract_features, load_features
from say_what_you_see.course.lessons import LESSONS, load_control
from say_what_you_see.data.coco_format import read_captions, read_image_ids
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.data.scenes.truth import SceneTruth, read_scene_truths
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model
from say_what_you_see.vision.encoders import encoder_for

MAX_PICTURES = 1000
"""At most this many validation pictures are evaluated; larger splits are sampled. A test split is evaluated in full."""


@dataclass(frozen=True)
class ScoredPictures:
    """The pictures that captions are written for, and what is known of them."""

    fns: list[str]  # file names
    image_ids: list[int]  # their numbers in the caption JSON; counted from 1 where those are not whole numbers
    references: list[list[str]]  # for each picture the captions that people wrote
    truths: list[SceneTruth] | None = None  # what each picture shows; None where it is not known

    def __len__(self) -> int:
        return len(self.fns)

    def take(self, chosen: Sequence[int]) -> ScoredPictures:
        """Only the chosen pictures."""
        return ScoredPictures(**{name: known and [known[i] for i in chosen] for name, known in vars(self).items()})


@dataclass(frozen=True)
class TrainedModel:
    """A model that was trained, with the features of the validation pictures that it reads."""

    name: str  # of its architecture
    caption_model: CaptionModel  # what its model folder holds
    writer: KerasStepModel  # the same, rearranged to predict one word at a time
    features: np.ndarray  # (pictures, ...), memory-mapped
    fns: list[str]  # the pictures' file names, in the order of the features

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each picture's features."""
        return {fn: row for row, fn in enumerate(self.fns)}

    def features_of(self, pictures: ScoredPictures) -> np.ndarray:
        """The features of these pictures, in their order."""
        return self.features[[self.row_of[fn] for fn in pictures.fns]]


def trained_models(settings: Settings) -> list[TrainedModel]:
    """The trained models of the settings' data set and encoder: of notebook 04, and of 07 and 08 where done."""
    folders = [lesson.model_folder(settings) for lesson in LESSONS.values()]
    ready = [folder for folder in folders if (folder / "model.json").exists()]
    return [load_trained_model(settings, folder) for folder in ready or [settings.model_folder]]  # or says what to do


def load_trained_model(settings: Settings, folder: Path) -> TrainedModel:
    """Read a model folder, and find or make the features of the pictures that it will caption."""
    model = load_caption_model(folder)
    features, fns, encoder = _load_features(settings, model.encoder.get("features", "mean"))
    expected = tuple(model.decoder.inputs[0].shape[1:])
    if encoder["weights_checksum"] != model.encoder["weights_checksum"] or features.shape[1:] != expected:
        raise CourseError(
            f"The model in {folder} was trained with {model.encoder['name']}, weights {model.encoder['weights']}, but "
            f"the features in {settings.work_folder} come from {encoder['name']}, weights {encoder['weights']}. "
            "Train the model again, or set ENCODER to the encoder that it was trained with."
        )
    return TrainedModel(model.decoder.name, model, step_model_of(model.decoder), features, fns)


def _load_features(settings: Settings, kind: str) -> tuple[np.ndarray, list[str], dict[str, Any]]:
    """Features of the pictures that are scored, (pictures, ...), their file names, and the encoder that made them.

    Those of the validation split were made for the training. A test split is embedded here, when it is first needed.
    """
    files = get_dataset(settings)
    if files.test_zip is not None:
        encoder = encoder_for(settings, kind)
        features, fns = extract_features(settings, files, encoder, "test")
        return features, fns, encoder_metadata(encoder, settings)
    return *load_features(settings, "val", kind), read_json(encoder_path(settings, kind))


def control_model(settings: Settings, like: TrainedModel) -> TrainedModel:
    """The control of notebook 04, a model that learnt its captions from the wrong pictures.

    Args:
        like: the decoder of the same notebook, whose words and features the control shares.
    """
    control = load_control(settings, len(like.caption_model.vocab), like.features.shape[1])
    caption_model = replace(like.caption_model, decoder=control)
    return replace(like, name="control", caption_model=caption_model, writer=step_model_of(control))


def scored_pictures(settings: Settings, models: Sequence[TrainedModel], most: int | None = None) -> ScoredPictures:
    """The pictures to score, of which every model has features: the test split if there is one, else validation.

    Args:
        most: take a random sample, by the seed, if there are more pictures; None takes all test pictures, but at
            most 1,000 validation pictures.
    """
    files = get_dataset(settings)
    most = most or (len(models[0].fns) if files.test_zip else MAX_PICTURES)
    captions = read_captions(files.captions_zip, files.scored[1])
    ids = read_image_ids(files.captions_zip, files.scored[1])
    if not all(isinstance(image_id, int) for image_id in ids.values()):  # COCO's results format needs whole numbers
        ids = {fn: number for number, fn in enumerate(ids, 1)}
    fns = [fn for fn in models[0].fns if fn in captions and all(fn in model.row_of for model in models)]
    if not fns:
        raise CourseError("The models have no validation picture in common. Run notebook 02 (and 08) again.")
    if len(fns) > most:
        chosen = np.random.default_rng(settings.seed).choice(len(fns), most, replace=False)
        fns = [fns[i] for i in sorted(chosen)]
    truths = None
    if settings.dataset == "scenes":
        by_file = read_scene_truths(files.captions_zip, files.test_instances)
        truths = [by_file[fn] for fn in fns]
    return ScoredPictures(fns, [ids[fn] for fn in fns], [captions[fn] for fn in fns], truths)
