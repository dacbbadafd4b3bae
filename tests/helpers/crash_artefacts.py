"""What the course's steps leave in a folder, compared with what they left in another one, by content."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

TIMES = {"seconds", "training_seconds"}
_CHECKPOINT = re.compile(r"(.*/)?ckpt-\d+\.(index|data-\d{5}-of-\d{5})")
_SAVES = "save_counter/.ATTRIBUTES/VARIABLE_VALUE"  # counts the checkpoints that one run has saved; nobody reads it


def differences(expected: Path, found: Path) -> list[str]:
    """Whatever differs between two folders; how long something took, and when, does not count."""
    names, others = _names(expected), _names(found)
    faults = [f"{name} is missing" for name in sorted(names - others)]
    faults += [f"{name} is left behind" for name in sorted(others - names)]
    for name in sorted(names & others):
        try:
            if not _same(name, expected / name, found / name):
                faults.append(f"{name} differs")
        except Exception as error:  # a file that cannot be read is a fault like others
            faults.append(f"{name} cannot be compared ({type(error).__name__}: {error})")
    if _curves(expected) != _curves(found):
        faults.append("the curves in the event files differ")
    return faults


def _names(folder: Path) -> set[str]:
    """Files and folders, but event files, of which every run writes one of its own, and locks, which are empty."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return {name for name in names if ".tfevents." not in name and not name.endswith(".lock")}


def _same(name: str, one: Path, other: Path) -> bool:
    if one.is_dir() or other.is_dir():
        return one.is_dir() and other.is_dir()
    if one.read_bytes() == other.read_bytes():
        return True
    if match := _CHECKPOINT.fullmatch(name):
        prefixes = [str(path).removesuffix(f".{match[2]}") for path in (one, other)]
        return _equal(*({n: v for n, v in _checkpoint(prefix)} for prefix in prefixes))
    if name.endswith("/checkpoint"):
        return _without_times(one) == _without_times(other)
    contents = {".json": _json, ".h5": _h5, ".keras": _keras, ".md": _card}
    read = contents.get(one.suffix)
    return read is not None and _equal(read(one), read(other))


def _equal(one: Any, other: Any) -> bool:
    """Whether two structures are alike, arrays to the last bit."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray):
        alike = (one.dtype, one.shape) == (other.dtype, other.shape)
        return alike and one.tobytes() == other.tobytes()
    return one == other


def _json(path: Path) -> Any:
    """JSON without times; the checksums of a model folder are compared with its files instead."""

    def cleaned(data: Any) -> Any:
        if isinstance(data, dict):
            return {name: cleaned(value) for name, value in data.items() if name not in TIMES}
        if isinstance(data, list) and [type(each) for each in data] == [int, int] and data[1] > 10**12:
            return data[0]  # the size and the time of a file, by which it is recognised
        return [cleaned(value) for value in data] if isinstance(data, list) else data

    data = cleaned(json.loads(path.read_text()))
    if path.name == "model.json":
        from say_what_you_see.core.files import sha256_of

        checksums = data.pop("checksums")
        data["wrong checksums"] = [part for part, known in checksums.items() if sha256_of(path.parent / part) != known]
    return data


def _h5(file: Path | io.BytesIO) -> dict[str, np.ndarray]:
    with h5py.File(file, "r") as root:
        names: list[str] = []
        root.visit(names.append)
        return {name: np.array(root[name]) for name in names if isinstance(root[name], h5py.Dataset)}


def _keras(path: Path) -> dict[str, Any]:
    """Architecture and weights of a `.keras` file, which has the date of its making beside them."""
    with zipfile.ZipFile(path) as archive:
        weights = _h5(io.BytesIO(archive.read("model.weights.h5")))
        return {"config": _without_addresses(archive.read("config.json").decode()), "weights": weights}


def _without_addresses(config: str) -> str:
    """A configuration whose shared parts are numbered: Keras takes their addresses in memory."""
    numbers: dict[str, int] = {}
    return re.sub(
        r'("shared_object_id": )(\d+)', lambda found: found[1] + str(numbers.setdefault(found[2], len(numbers))), config
    )


def _card(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("| time of training |")]


def _without_times(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if "timestamp" not in line]


def _checkpoint(prefix: str) -> Iterator[tuple[str, Any]]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(prefix)
    for name in set(reader.get_variable_to_shape_map()) - {_SAVES}:
        value = reader.get_tensor(name)
        yield name, value if isinstance(value, np.ndarray) else np.array(value)


def _curves(folder: Path) -> dict[str, Any]:
    """The curves of the trainings at scale, but that of their speed."""
    folders = {path.parent for path in folder.rglob("events.out.tfevents.*")}
    if not folders:
        return {}
    from say_what_you_see.training.scale.events import read_scalars

    curves = {path.relative_to(folder).as_posix(): read_scalars(path) for path in folders}
    return {name: {tag: tags[tag] for tag in tags if tag != "images_per_second"} for name, tags in curves.items()}
