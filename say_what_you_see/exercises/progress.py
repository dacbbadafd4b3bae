"""How far a learner is, kept between kernels in `exercises.json` in the course's data folder."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.core.settings import read_settings


@dataclass(frozen=True)
class Progress:
    """How far a learner is with one exercise."""

    done: bool = False  # whether it was right once
    hints: int = 0  # how many hints have been given since
    mistake: str = ""  # the mistake that was recognised last


def read_progress(notebook: str, exercise: str) -> Progress:
    """How far an exercise is; what is missing or damaged counts as not begun."""
    try:
        return Progress(**_read_file(notebook)[exercise])
    except (LookupError, TypeError):
        return Progress()


def keep_progress(notebook: str, exercise: str, progress: Progress) -> None:
    """Write down how far a learner is; what was done once stays done. Where that is impossible, say so and go on."""
    done = progress.done or read_progress(notebook, exercise).done
    own = _read_file(notebook) | {exercise: asdict(replace(progress, done=done))}
    try:
        write_json({**_read_file(), notebook: own}, _path())
    except (CourseError, OSError) as error:
        print(f"(Your progress cannot be kept in {_path().parent}: {error})")


def _path() -> Path:
    return read_settings().data_folder / "exercises.json"


def _read_file(notebook: str = "") -> dict[str, Any]:
    """The entries of all notebooks, or those of one; of a file that is missing or damaged, none."""
    try:
        entries = read_json(_path())
        entries = entries[notebook] if notebook else entries
    except (CourseError, LookupError, TypeError):
        return {}
    return entries if isinstance(entries, dict) else {}
