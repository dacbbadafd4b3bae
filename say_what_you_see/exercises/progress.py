"""How far a learner is, kept between kernels in `exercises.json` in the course's data folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.core.settings import read_settings
from say_what_you_see.exercises.cases import Exercise


@dataclass(frozen=True)
class Progress:
    """How far a learner is with one exercise.

    Attributes:
        done: whether it was right once.
        hints: how many hints have been given since.
        mistake: the mistake that was recognised last.
    """

    done: bool = False
    hints: int = 0
    mistake: str = ""


def read_progress(exercise: Exercise) -> Progress:
    """What is kept of an exercise; what is missing or damaged counts as not begun."""
    notebook = _read_all().get(exercise.notebook, {})
    entry = notebook.get(exercise.name) if isinstance(notebook, dict) else None
    try:
        return Progress(bool(entry["done"]), int(entry["hints"]), str(entry["mistake"]))
    except (LookupError, TypeError, ValueError):
        return Progress()


def keep_progress(exercise: Exercise, progress: Progress) -> None:
    """Write down how far a learner is; what was done once stays done. Where that is impossible, say so and go on."""
    everything = _read_all()
    notebook = everything.get(exercise.notebook)
    notebook = notebook if isinstance(notebook, dict) else {}
    done = progress.done or read_progress(exercise).done
    everything[exercise.notebook] = notebook | {exercise.name: asdict(replace(progress, done=done))}
    try:
        write_json(everything, _path())
    except (CourseError, OSError) as error:
        print(f"(Your progress cannot be kept in {_path().parent}: {error})")


def _path() -> Path:
    return read_settings().data_folder / "exercises.json"


def _read_all() -> dict[str, Any]:
    """What is kept of all notebooks; of a file that is missing or damaged, nothing."""
    try:
        kept = read_json(_path())
    except CourseError:
        return {}
    return kept if isinstance(kept, dict) else {}
