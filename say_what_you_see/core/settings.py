"""The settings of the course, read from the environment: the data set, the encoder, the size and so on."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import slug

PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = PACKAGE / "shipped"
"""Weights and models that come with the package."""

REPOSITORY = PACKAGE.parent
"""The folder that holds the course: notebooks/, utils/, data/; where the package is installed, site-packages."""

IN_CHECKOUT = (REPOSITORY / "notebooks").is_dir() and (REPOSITORY / "pyproject.toml").is_file()
"""Whether this is the whole course rather than the installed package alone."""

DATASETS = ("scenes", "coco", "flickr8k", "flickr30k")
DEFAULT_ENCODER = "inception_v3"
ENCODERS = (
    "inception_v3",
    "vgg16",
    "mobilenet",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_lite2_299",
    "efficientnet_lite2_photos",
)
COURSE_SIZES = ("full", "small")
COURSE_SPLITS = ("usual", "karpathy")
"""Who decided which pictures are held out: the authors of the data set, or Andrej Karpathy, as in most papers."""
PRECISIONS = ("float32", "bfloat16")
"""What an encoder computes in when a data set is embedded on CPUs; bfloat16 is faster on processors that have it."""
_LARGEST_SEED = 2**32 - 1  # that NumPy and Keras accept
_SPLIT_BY_KARPATHY = DATASETS[1:]


@dataclass(frozen=True)
class Settings:
    """The choices for one run; everything else follows from them."""

    dataset: str  # one of `DATASETS`, or the absolute path of a folder of the user's own
    encoder: str  # one of `ENCODERS`, another model in keras.applications, or the absolute path of a `.keras` file
    size: str  # "full", or "small" for a few dozen pictures and a first look
    seed: int  # determines the drawn scenes, random splits and initial weights
    data_folder: Path  # where everything that the course makes goes
    split_by: str = "usual"  # one of `COURSE_SPLITS`
    precision: str = "float32"  # one of `PRECISIONS`

    @property
    def small(self) -> bool:
        """Whether to run on a few dozen pictures only."""
        return self.size == "small"

    @property
    def dataset_name(self) -> str:
        """A short name for files; folders with the same name in different places get different ones."""
        name = self.dataset if self.dataset in DATASETS else _name_of(Path(self.dataset))
        return name if self.split_by == "usual" else f"{name}_{self.split_by}"

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
        """Where pictures and captions are, as zips."""
        return self.data_folder / (self.dataset_name + ("_small" if self.small else ""))

    @property
    def work_folder(self) -> Path:
        """Where everything made from this data set with this encoder goes: embeddings, checkpoints."""
        return self.dataset_folder / self.encoder_name

    @property
    def model_folder(self) -> Path:
        """Where the trained model goes, with all that it needs to caption."""
        return self.work_folder / "model"

    @property
    def scene_counts(self) -> dict[str, int]:
        """Numbers of scenes to draw for training, validation and test."""
        return {"train": 48, "val": 24, "test": 24} if self.small else {"train": 2700, "val": 400, "test": 400}

    @property
    def epochs(self) -> int:
        """Passes over the training captions."""
        return 2 if self.small else 12

    @property
    def control_epochs(self) -> int:
        """Epochs of the control with shuffled captions, which levels off after a few."""
        if self.small:
            return 1
        return 5 if self.dataset == "scenes" else 3

    @property
    def experiment_epochs(self) -> int:
        """Epochs of the short experiments."""
        return 1 if self.small else 4

    @property
    def batch_size(self) -> int:
        """Captions per training step: fewer for the scenes, where binding colours to things takes many steps."""
        if self.small:
            return 16
        return 32 if self.dataset == "scenes" else 64

    @property
    def min_count(self) -> int:
        """How often a word must occur in the training captions to be in the vocabulary."""
        return 1 if self.small else 5

    def show(self) -> str:
        """A table of the choices, to print."""
        folder, is_here = self.work_folder, self.work_folder.is_relative_to(REPOSITORY)
        rows = {
            "data set": self.dataset,
            **({} if self.split_by == "usual" else {"split": self.split_by}),
            "encoder": self.encoder,
            **({} if self.precision == "float32" else {"precision": self.precision}),
            "size": self.size,
            "seed": self.seed,
            "epochs": self.epochs,
            "batch size": self.batch_size,
            "files go to": folder.relative_to(REPOSITORY).as_posix() if is_here else folder,
        }
        return "\n".join(f"{name:<12} {value}" for name, value in rows.items())


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read DATASET, ENCODER and COURSE_SIZE, _SEED, _SPLIT, _PRECISION and _DATA; unset or empty means the default.

    Relative paths start from COURSE_START if that is set (notebooks run in a folder of their own), else from the
    current folder, else from the repository.

    Raises:
        CourseError: if a value is unknown; the message lists the possible ones.
    """
    read_mirror(environ)  # so that a mistake in it shows before anything is downloaded
    seed = environ.get("COURSE_SEED") or "0"
    if not re.fullmatch("[0-9]{1,10}", seed) or int(seed) > _LARGEST_SEED:
        raise CourseError(f"COURSE_SEED is {seed!r}. Give a whole number from 0 to {_LARGEST_SEED}.")
    start = environ.get("COURSE_START")
    starts = [*([Path(start)] if start else []), Path(), REPOSITORY]  # the first that has a file wins
    dataset = _read_dataset(environ.get("DATASET") or "scenes", starts)
    return Settings(
        dataset=dataset,
        encoder=_read_encoder(environ.get("ENCODER") or DEFAULT_ENCODER, starts),
        size=_read_choice(environ, "COURSE_SIZE", COURSE_SIZES),
        seed=int(seed),
        data_folder=_absolute(environ.get("COURSE_DATA") or str(default_data_folder()), starts[0]),
        split_by=_read_split(environ, dataset),
        precision=_read_choice(environ, "COURSE_PRECISION", PRECISIONS),
    )


def default_data_folder() -> Path:
    """Where the course keeps its files: data/ in a checkout, a folder in the user's home for the installed package."""
    if IN_CHECKOUT:
        return REPOSITORY / "data"
    from platformdirs import user_data_path  # which the course in Colab does not need

    return user_data_path("say-what-you-see", appauthor=False)


def read_mirror(environ: Mapping[str, str] = os.environ) -> str | None:
    """Read COURSE_MIRROR, the address of a server with the course's downloads, which is tried first; None if unset.

    `say-what-you-see mirror FOLDER` makes the files for such a server.

    Raises:
        CourseError: if it is not an address.
    """
    mirror = (environ.get("COURSE_MIRROR") or "").strip().rstrip("/")
    if mirror and not re.match(r"https?://[^/\s]+", mirror, re.IGNORECASE):
        raise CourseError(
            f"COURSE_MIRROR is {mirror!r}. Give the address of a server, such as http://192.168.1.5:8000. Files that "
            "are on this computer go into the data folder instead."
        )
    return mirror or None


def _absolute(text: str, start: Path) -> Path:
    try:
        path = (start / Path(text).expanduser()).resolve()
        path.exists()  # fails for names that no system can have
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: there is no such user
        raise CourseError(f"{text!r} is not a possible path ({error}). Check it for mistakes.") from error
    return path


def _read_dataset(text: str, starts: list[Path]) -> str:
    if text in DATASETS:
        return text
    candidates = [_absolute(text, start) for start in starts]
    for folder in candidates:
        if folder.is_dir():
            return str(folder)
    wrong = "is a file, not a folder" if any(path.exists() for path in candidates) else "does not exist"
    raise CourseError(
        f"DATASET is {text!r}, which {wrong}. Choose one of {', '.join(DATASETS)}, or a folder of your own, with "
        "pictures and their captions (docs/data_sets.md)."
    )


def _read_choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """One of several words; the first is the default."""
    text = environ.get(name) or choices[0]
    if text not in choices:
        raise CourseError(f"{name} is {text!r}. Choose one of: {', '.join(choices)}.")
    return text


def _read_split(environ: Mapping[str, str], dataset: str) -> str:
    text = _read_choice(environ, "COURSE_SPLIT", COURSE_SPLITS)
    if text == "karpathy" and dataset not in _SPLIT_BY_KARPATHY:
        raise CourseError(
            f"COURSE_SPLIT is 'karpathy', which exists for {', '.join(_SPLIT_BY_KARPATHY)} only, but DATASET is "
            f"{dataset!r}. Choose one of these, or leave COURSE_SPLIT out."
        )
    return text


def _read_encoder(text: str, starts: list[Path]) -> str:
    """A name in the spelling of keras.applications' modules, or the absolute path of an existing `.keras` file."""
    if text.endswith(".keras"):
        for start in starts:
            if (path := _absolute(text, start)).is_file():
                return str(path)
        raise CourseError(f"ENCODER is {text!r}, but there is no such file. Check the path.")
    if not re.fullmatch(r"[A-Za-z0-9_]+", text):
        raise CourseError(
            f"ENCODER is {text!r}. Choose one of {', '.join(ENCODERS)}, the name of any other "
            "model in keras.applications, or the path of a .keras file."
        )
    name = text.lower()
    return next((known for known in ENCODERS if known.replace("_", "") == name.replace("_", "")), name)


def _name_of(path: Path) -> str:
    """A name for files; a few digits from the path tell folders or files of the same name apart."""
    digits = hashlib.sha256(os.fsencode(path)).hexdigest()[:6]
    return f"{slug(path.name.removesuffix('.keras'))}_{digits}"
