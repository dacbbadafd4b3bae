"""Downloads that go on where they stopped, and the table of what the course can download."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from utils.errors import CourseError
from utils.progress import progress

PAUSES = (1.0, 3.0, 10.0, 30.0)
"""Seconds to wait before each further attempt, when a connection fails."""

_TIMEOUT = (15, 60)  # seconds to connect, seconds without a byte
_CHUNK = 1 << 16  # bytes; as much is lost when a connection breaks off
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Resource:
    """A file on the internet: `bytes` is None where its size is not published, `checksum` is 'sha256:…' or 'md5:…'."""

    dataset: str
    name: str
    url: str
    bytes: int | None
    checksum: str
    licence: str
    purpose: str


_COCO_URL = "http://images.cocodataset.org"
_COCO_PICTURES = "pictures of Flickr under the licences of their owners, see https://cocodataset.org/#termsofuse"
_FLICKR8K_URL = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"
_FLICKR8K_TERMS = "for research and teaching that is not commercial; the pictures belong to their owners on Flickr"

RESOURCES = (
    Resource(
        "coco", "train2014.zip", f"{_COCO_URL}/zips/train2014.zip", 13_510_573_713,
        "sha256:ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
        _COCO_PICTURES, "82,783 photographs for training",
    ),
    Resource(
        "coco", "val2014.zip", f"{_COCO_URL}/zips/val2014.zip", 6_645_013_297,
        "sha256:fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
        _COCO_PICTURES, "40,504 photographs for validation",
    ),
    Resource(
        "coco", "annotations_trainval2014.zip", f"{_COCO_URL}/annotations/annotations_trainval2014.zip", 252_872_794,
        "sha256:031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
        "Creative Commons Attribution 4.0", "five captions a photograph, and what stands where",
    ),
    Resource(
        "flickr8k", "Flickr8k_Dataset.zip", f"{_FLICKR8K_URL}/Flickr8k_Dataset.zip", None,
        "md5:f18a1e2920de5bd84dae7cf08ec78978",
        _FLICKR8K_TERMS, "8,091 photographs, about 1.1 GB",
    ),
    Resource(
        "flickr8k", "Flickr8k_text.zip", f"{_FLICKR8K_URL}/Flickr8k_text.zip", None,
        "md5:bf6c1abcb8e4a833b7f922104de18627",
        _FLICKR8K_TERMS, "five captions a photograph, and the usual split; about 2 MB",
    ),
)  # fmt: skip
"""What can be downloaded, each file with its source, size, checksum and terms."""


def fetch_resource(name: str, folder: Path) -> Path:
    """Download a file of `RESOURCES` into a folder, unless it is there."""
    resource = next(resource for resource in RESOURCES if resource.name == name)
    return download(resource.url, folder / name, bytes=resource.bytes, checksum=resource.checksum)


def download(url: str, path: str | Path, *, bytes: int | None = None, checksum: str | None = None) -> Path:
    """Download a file, unless it is there; go on with a `.part` file that an interruption left.

    Args:
        url: http or https.
        path: the final name; it appears only when the file is whole.
        bytes: the size that the file must have.
        checksum: 'sha256:…' or 'md5:…', hexadecimal; checked after a download.

    Raises:
        CourseError: if the file cannot be had, or is not what it should be; says how to bring it by hand.
    """
    path = Path(path)
    if path.exists():
        _check_size(path, path, bytes)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    if not bytes or not part.exists() or part.stat().st_size != bytes:
        _fetch_patiently(url, path, part)
    _check_whole(part, path, bytes, checksum)
    os.replace(part, path)
    return path


def _fetch_patiently(url: str, path: Path, part: Path) -> None:
    """Try again after pauses; attempts that brought something do not count."""
    failures = 0
    while True:
        size_before = _size(part)
        try:
            return _fetch_rest(url, path, part)
        except requests.RequestException as error:
            failures = 0 if _size(part) > size_before else failures + 1
            if failures > len(PAUSES):
                raise CourseError(
                    f"Cannot download {path.name} from {url}: {_reason(error)}. Check the connection and run this "
                    f"again: it goes on where it stopped. {_by_hand(path)}"
                ) from error
            time.sleep(PAUSES[max(failures - 1, 0)])


def _fetch_rest(url: str, path: Path, part: Path) -> None:
    """Append to `part` what it lacks, or write it anew where the server cannot send the rest alone."""
    headers = {"Accept-Encoding": "identity"}
    if size := _size(part):
        headers["Range"] = f"bytes={size}-"
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == 416:  # nothing lies beyond what is here: whole, or of another file
            if answer.headers.get("Content-Range") != f"bytes */{size}":
                part.unlink()
                raise requests.ConnectionError("the file on the server is another one now")
            return
        if answer.status_code in _TRY_AGAIN:
            answer.raise_for_status()
        if not answer.ok:
            raise CourseError(
                f"Cannot download {path.name}: {url} answers {answer.status_code} {answer.reason}. {_by_hand(path)}"
            )
        size = size if answer.status_code == 206 else 0
        _save(answer, path, part, size)


def _save(answer: requests.Response, path: Path, part: Path, size: int) -> None:
    """Write the body of an answer behind the `size` bytes that `part` has."""
    length = answer.headers.get("Content-Length")
    total = size + int(length) if length else None
    if total and shutil.disk_usage(path.parent).free < total - size:
        raise CourseError(
            f"{path.name} needs {(total - size) / 1e9:.1f} GB more on the disk of {path.parent}. Make room."
        )
    with open(part, "ab" if size else "wb") as file, progress(total=total, description=path.name, unit="B") as bar:
        bar.n = bar.initial = size
        for chunk in answer.iter_content(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _check_whole(part: Path, path: Path, bytes: int | None, checksum: str | None) -> None:
    """Remove `part` and complain, if it is not the file that it should be."""
    try:
        _check_size(part, path, bytes)
        if checksum:
            algorithm, _, wanted = checksum.partition(":")
            with open(part, "rb") as file:
                found = hashlib.file_digest(file, algorithm).hexdigest()
            if found != wanted.lower():
                raise CourseError(
                    f"The download of {path.name} has the {algorithm} checksum {found} instead of {wanted}, so it was "
                    f"removed. Run this again. {_by_hand(path)}"
                )
    except CourseError:
        part.unlink()
        raise


def _check_size(file: Path, path: Path, bytes: int | None) -> None:
    size = file.stat().st_size
    if bytes is not None and size != bytes:
        raise CourseError(
            f"{path} has {size:,} bytes where {bytes:,} belong. Remove it and run this again. {_by_hand(path)}"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: requests.RequestException) -> str:
    """A few words for people; the texts of the libraries below are long and technical."""
    if error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server does not answer in time"
    return "there is no connection to the server (offline?), or it breaks off"


def _by_hand(path: Path) -> str:
    return f"Or bring the file by other means and put it at {path}."
