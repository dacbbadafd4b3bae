"""What the course runs on: the data set, the encoder, the size, read from the environment."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import slug

PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = PACKAGE / "shipped"
"""Weights and models that come with the package."""

REPOSITORY = PACKAGE.parent
"""The folder that holds the course: notebooks/, utils/, data/; where the package is installed, site-packages."""

DATASETS = ("scenes", "coco", "flickr8k", "flickr30k")
DEFAULT_ENCODER = "inception_v3"
ENCODERS = ("inception_v3", "vgg16", "mobilenet")
SIZES = ("full", "small")
SPLITS = ("usual", "karpathy")
KARPATHY = ("coco", "flickr8k", "flickr30k")  # what Karpathy has split


@dataclass(frozen=True)
class Settings:
    """The choices for one run; everything else follows from them.

    Attributes:
        dataset: one of `DATASETS`, or the absolute path of a folder of the user's own.
        encoder: the name of a model in keras.applications, or the absolute path of a `.keras` file.
        size: "full", or "small" for a few dozen pictures and a first look.
        seed: decides drawing, splits and the start of training.
        data_folder: where everything that the course makes goes.
        split: which pictures are held out: "usual", the data set's own way, or "karpathy", as most papers do it.
    """

    dataset: str
    encoder: str
    size: str
    seed: int
    data_folder: Path
    split: str = "usual"

    @property
    def small(self) -> bool:
        """Whether to run on a few dozen pictures only."""
        return self.size == "small"

    @property
    def dataset_name(self) -> str:
        """A short name for files; folders of the same name elsewhere get different ones."""
        name = self.dataset if self.dataset in DATASETS else _name_of(Path(self.dataset))
        return name if self.split == "usual" else f"{name}_{self.split}"

    @property
    def pictures_kind(self) -> str:
        """What the pictures are: "scenes" that the course drew, or "photographs"."""
        return "scenes" if self.dataset == "scenes" else "photographs"

    @property
    def encoder_name(self) -> str:
        """A short name for files."""
        return _name_of(Path(self.encoder)) if self.encoder.endswith(".keras") else self.encoder

    @property
    def dataset_folder(self) -> Path:
        """Pictures and captions, as zips."""
        return self.data_folder / (self.dataset_name + ("_small" if self.small else ""))

    @property
    def work_folder(self) -> Path:
        """What is made from this data set with this encoder: embeddings, checkpoints."""
        return self.dataset_folder / self.encoder_name

    @property
    def model_folder(self) -> Path:
        """What training leaves, and all that captions need."""
        return self.work_folder / "model"

    @property
    def n_train_scenes(self) -> int:
        """Number of scenes to draw for training."""
        return 48 if self.small else 2700

    @property
    def n_val_scenes(self) -> int:
        """Number of scenes to draw for validation."""
        return 24 if self.small else 400

    @property
    def sample_size(self) -> tuple[int, int]:
        """Number of pictures (training, validation) that a small run keeps of a data set that is not drawn."""
        return 48, 24

    @property
    def epochs(self) -> int:
        """Passes over the training captions."""
        return 2 if self.small else 12

    @property
    def control_epochs(self) -> int:
        """Passes of the control with shuffled captions; on the scenes it learns all it can in a few."""
        if self.small:
            return 1
        return 5 if self.dataset == "scenes" else self.epochs

    @property
    def experiment_epochs(self) -> int:
        """Passes of the short experiments."""
        return 1 if self.small else 4

    @property
    def batch_size(self) -> int:
        """Captions in one step of training: few for the scenes, since there binding needs many steps."""
        if self.small:
            return 16
        return 32 if self.dataset == "scenes" else 64

    @property
    def min_count(self) -> int:
        """How often a word must occur in the training captions to be in the vocabulary."""
        return 1 if self.small else 5

    def show(self) -> str:
        """A table of the choices, to print."""
        rows = {
            "data set": self.dataset,
            **({} if self.split == "usual" else {"split": self.split}),
            "encoder": self.encoder,
            "size": self.size,
            "seed": self.seed,
            "epochs": self.epochs,
            "batch size": self.batch_size,
            "files go to": _shown_path(self.work_folder),
        }
        return "\n".join(f"{name:<12} {value}" for name, value in rows.items())


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read DATASET, ENCODER, COURSE_SIZE, COURSE_SEED, COURSE_SPLIT and COURSE_DATA; unset or empty is the default.

    Relative paths count from the folder that the user started in: COURSE_START where that is set
    (notebooks run in a folder of their own), else the current one, else the repository.

    Raises:
        CourseError: if a value is unknown; the message lists what is possible.
    """
    size = environ.get("COURSE_SIZE") or "full"
    if size not in SIZES:
        raise CourseError(f"COURSE_SIZE is {size!r}. Possible are: {', '.join(SIZES)}.")
    read_mirror(environ)  # what is wrong with it should show before anything is downloaded
    seed = environ.get("COURSE_SEED") or "0"
    if not (seed.isascii() and seed.isdigit()):
        raise CourseError(f"COURSE_SEED is {seed!r}. Give a whole number from 0 up.")
    starts = _starts(environ)
    dataset = _read_dataset(environ.get("DATASET") or "scenes", starts)
    return Settings(
        dataset=dataset,
        encoder=_read_encoder(environ.get("ENCODER") or DEFAULT_ENCODER, starts),
        size=size,
        seed=int(seed),
        data_folder=_absolute(environ.get("COURSE_DATA") or str(default_data_folder()), starts[0]),
        split=_read_split(environ.get("COURSE_SPLIT") or "usual", dataset),
    )


def default_data_folder() -> Path:
    """Where the course keeps its files: data/ in a checkout, a folder of the user's for the installed program."""
    in_checkout = (REPOSITORY / "notebooks").is_dir() and (REPOSITORY / "pyproject.toml").is_file()
    return REPOSITORY / "data" if in_checkout else user_data_path("say-what-you-see", appauthor=False)


def read_mirror(environ: Mapping[str, str] = os.environ) -> str | None:
    """Read COURSE_MIRROR, the address of a server that has the course's downloads, asked before all others.

    `say-what-you-see mirror FOLDER` makes what such a server serves. None if it is unset or empty.

    Raises:
        CourseError: if it is no address.
    """
    mirror = (environ.get("COURSE_MIRROR") or "").strip().rstrip("/")
    if mirror and not re.match(r"https?://[^/\s]+", mirror, re.IGNORECASE):
        raise CourseError(
            f"COURSE_MIRROR is {mirror!r}. Give the address of a server, such as http://192.168.1.5:8000. Files that "
            "are on this computer go into the data folder instead."
        )
    return mirror or None


def _starts(environ: Mapping[str, str]) -> list[Path]:
    """The folders from which relative paths count, the first that has the file wins."""
    start = environ.get("COURSE_START")
    return [*([Path(start)] if start else []), Path.cwd(), REPOSITORY]


def _absolute(text: str, start: Path) -> Path:
    return (start / Path(text).expanduser()).resolve()


def _read_dataset(text: str, starts: list[Path]) -> str:
    """A known name, or the absolute path of an existing folder."""
    if text in DATASETS:
        return text
    candidates = [_absolute(text, start) for start in starts]
    for folder in candidates:
        if folder.is_dir():
            return str(folder)
    wrong = "is a file, not a folder" if any(path.exists() for path in candidates) else "is no folder that exists"
    raise CourseError(
        f"DATASET is {text!r}, which {wrong}. Possible are: {', '.join(DATASETS)}, or a folder of your own "
        "(pictures with a captions.csv, or train*.zip, val*.zip and captions*.zip)."
    )


def _read_split(text: str, dataset: str) -> str:
    """The usual split, or Karpathy's of one of his three data sets."""
    if text not in SPLITS:
        raise CourseError(f"COURSE_SPLIT is {text!r}. Possible are: {', '.join(SPLITS)}.")
    if text == "karpathy" and dataset not in KARPATHY:
        raise CourseError(
            f"COURSE_SPLIT is 'karpathy', which there is of {', '.join(KARPATHY)} only, but DATASET is {dataset!r}. "
            "Name one of these, or leave COURSE_SPLIT out."
        )
    return text


def _read_encoder(text: str, starts: list[Path]) -> str:
    """A name in the spelling of keras.applications' modules, or the absolute path of an existing `.keras` file.

    Whether Keras knows the name shows when the encoder is made: importing Keras takes seconds.
    """
    if text.endswith(".keras"):
        for start in starts:
            if (path := _absolute(text, start)).is_file():
                return str(path)
        raise CourseError(f"ENCODER is {text!r}, but there is no such file. Check the path.")
    if not re.fullmatch(r"[A-Za-z0-9_]+", text):
        raise CourseError(
            f"ENCODER is {text!r}. Possible are: {', '.join(ENCODERS)}, the name of any other model in "
            "keras.applications, or the path of a .keras file."
        )
    name = text.lower()
    return next((known for known in ENCODERS if known.replace("_", "") == name.replace("_", "")), name)


def _name_of(path: Path) -> str:
    """A name for files that tells folders or files of the same name apart by a few digits from their path."""
    digits = hashlib.sha256(str(path).encode()).hexdigest()[:6]
    return f"{slug(path.name.removesuffix('.keras'))}_{digits}"


def _shown_path(path: Path) -> str:
    """A path as people like to read it: within the repository without what is in front of it."""
    return path.relative_to(REPOSITORY).as_posix() if path.is_relative_to(REPOSITORY) else str(path)
