"""What the course's steps leave in a folder, compared with what they left in another one, by content."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from say_what_you_see.core.files import sha256_of

_TIMES = re.compile(
    r'"(training_)?seconds": [\d.e+-]+|\| time of training \|.*|.*timestamp.*|(?<=,)\s*\d{13,}(?=\s*\])'
)
"""How long something took, and when; the last of them is a file's time, beside its size, by which it is recognised."""
_SAVES = "save_counter/.ATTRIBUTES/VARIABLE_VALUE"  # counts the checkpoints that one run has saved; nobody reads it


def differences(expected: Path, found: Path) -> list[str]:
    """Whatever differs between two folders; how long something took, and when, does not count."""
    one, other = _contents(expected), _contents(found)
    faults = [f"{name} is missing" for name in sorted(one.keys() - other.keys())]
    faults += [f"{name} is left behind" for name in sorted(other.keys() - one.keys())]
    return faults + [f"{name} differs" for name in sorted(one.keys() & other.keys()) if one[name] != other[name]]


def _contents(folder: Path) -> dict[str, Any]:
    """What every file holds. Of event files every run writes one of its own: their curves count; empty locks do not."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        try:
            if ".tfevents." in name:
                found[f"The curves in {path.parent.relative_to(folder)}"] = _curves(path.parent)
            elif not name.endswith(".lock"):
                found[name] = _content(path)
        except Exception as error:  # a file that cannot be read is a fault like others
            found[name] = f"{path}: {error}"
    return found


def _content(path: Path) -> Any:
    """What is to be equal, so that == compares it to the last bit."""
    if path.is_dir() or ".data-" in path.name:  # the numbers of a checkpoint, which are read with its index
        return None
    if path.suffix == ".index":
        return _checkpoint(str(path.with_suffix("")))
    if path.suffix in (".json", ".md") or path.name == "checkpoint":
        return _text(path)
    return {".h5": _h5, ".keras": _keras}.get(path.suffix, Path.read_bytes)(path)


def _exactly(value: Any) -> tuple:
    array = np.asarray(value)
    return array.dtype.str, array.shape, array.tobytes()


def _text(path: Path) -> str:
    """A text without times; of a model folder without the checksums, which have to be those of its parts."""
    text = path.read_text()
    if path.name == "model.json":
        for part, checksum in json.loads(text)["checksums"].items():
            assert sha256_of(path.parent / part) == checksum, part
        text = re.sub(r'"checksums": {[^}]*}', "", text)
    return _TIMES.sub("", text)


def _h5(file: Path | io.BytesIO) -> dict[str, tuple]:
    with h5py.File(file, "r") as root:
        names: list[str] = []
        root.visit(names.append)
        return {name: _exactly(root[name]) for name in names if isinstance(root[name], h5py.Dataset)}


def _keras(path: Path) -> tuple[str, dict[str, tuple]]:
    """Architecture and weights of a `.keras` file, which has the date of its making beside them."""
    with zipfile.ZipFile(path) as archive:
        weights = _h5(io.BytesIO(archive.read("model.weights.h5")))
        config = archive.read("config.json").decode()
    return re.sub(r'"shared_object_id": \d+', "", config), weights  # these are addresses in memory


def _checkpoint(prefix: str) -> dict[str, tuple]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(prefix)
    names = reader.get_variable_to_shape_map().keys() - {_SAVES}
    return {name: _exactly(reader.get_tensor(name)) for name in names}


def _curves(folder: Path) -> dict[str, Any]:
    """The curves of a training at scale, but that of its speed."""
    from say_what_you_see.training.scale.events import read_scalars

    return {tag: points for tag, points in read_scalars(folder).items() if tag != "images_per_second"}
