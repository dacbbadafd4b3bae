"""What a file must hold, for files whose size and checksum nobody has published; each check describes what is there."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.pickles import read_pickle
from say_what_you_see.data.archives import open_zip


def check_array(path: Path, shape: tuple[int, ...], dtype: str) -> str:
    """Check that a pickle holds an array of finite numbers of this shape and type."""
    array = read_pickle(path)
    description = f"{getattr(array, 'shape', type(array).__name__)}, {getattr(array, 'dtype', 'no array')}"
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != np.dtype(dtype):
        raise CourseError(f"{path} holds {description} where an array {shape}, {dtype} belongs.")
    if not all(np.isfinite(part).all() for part in np.array_split(array, max(1, len(array) // 1000))):
        raise CourseError(f"{path} holds numbers that are not finite.")
    return f"an array {description}"


def check_names(path: Path, count: int, pattern: str) -> str:
    """Check that a pickle holds so many different file names of this pattern."""
    names = read_pickle(path)
    are_names = isinstance(names, list) and all(isinstance(name, str) and re.fullmatch(pattern, name) for name in names)
    if not are_names or len(set(names)) != count or len(names) != count:
        raise CourseError(f"{path} does not hold the names of {count:,} pictures.")
    return f"{count:,} file names"


def check_pictures(path: Path, pattern: str) -> str:
    """Check that a zip holds pictures with names of this pattern, and is undamaged."""
    names = [PurePosixPath(name).name for name in _undamaged_members(path) if not name.endswith("/")]
    n_matching = sum(re.fullmatch(pattern, name) is not None for name in names)
    if not n_matching or n_matching < len(names):
        raise CourseError(f"{path} holds {n_matching} pictures with the right names among {len(names)} files.")
    return f"a whole zip of {n_matching:,} pictures"


def check_members(path: Path, members: Sequence[str]) -> str:
    """Check that a zip holds these members, and is undamaged."""
    if missing := set(members) - set(_undamaged_members(path)):
        raise CourseError(f"{path} lacks {', '.join(sorted(missing))}.")
    return f"a whole zip with {' and '.join(members)}"


def _undamaged_members(path: Path) -> list[str]:
    with open_zip(path) as archive:
        try:
            damaged = archive.testzip()
        except Exception as error:  # a damaged zip fails in many ways
            raise CourseError(f"{path} is a damaged zip ({type(error).__name__}).") from error
        if damaged:
            raise CourseError(f"{path} is a damaged zip: {damaged} has another checksum inside.")
        return archive.namelist()
