"""Where pictures come from: folders, zips, tar shards, Parquet files, divided into parts that are read independently.

A part says where its pictures are and holds none of their bytes; only the parts of folders hold names. Which parts
there are, and the order of the pictures in them, follows from the files alone, so that an interrupted run finds the
same parts again. Paths are of this machine or, as in `s3://bucket/folder`, of what PyArrow knows to read.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.archives import MAX_MEMBER_BYTES, PICTURE_SUFFIXES, image_members, open_zip, read_member
from say_what_you_see.vision.sources import natural_order

TAR_BYTES = 256 * 1024**2
"""A larger tar is read by several tasks, each of which takes the members that begin in so many bytes of it."""

CONTAINERS = (".zip", ".tar", ".parquet")

NAME_COLUMNS = ("name", "file_name", "filename", "key", "__key__", "path", "url", "id")
"""Columns of a Parquet file that are taken as names of pictures, the first that is there."""

_PACKED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_ROWS_AT_ONCE = 64

Picture = tuple[str, Callable[[], bytes]]
"""The name of a picture, and what reads its bytes or raises a CourseError."""


@dataclass(frozen=True)
class Part:
    """Some pictures that lie side by side.

    Attributes:
        index: its place among all parts.
        kind: "files", "zip", "tar" or "parquet".
        source: folder or file, as the user named it.
        start, stop: which of its pictures: numbers of members, rows of a row group, or bytes of a tar.
        names: of files in the folder.
        group: the row group of a Parquet file.
        columns: those with bytes and names.
        first: how many pictures of the part are done already.
    """

    index: int
    kind: str
    source: str
    start: int = 0
    stop: int = 0
    names: tuple[str, ...] = ()
    group: int = 0
    columns: tuple[str, str] = ("", "")
    first: int = 0

    @property
    def pictures(self) -> int | None:
        """How many pictures it has; of a tar that shows when it is read."""
        return len(self.names) or self.stop - self.start if self.kind != "tar" else None


@dataclass(frozen=True)
class Sources:
    """All that is to be read.

    Attributes:
        parts: in their order.
        facts: what the parts were made from, to notice when files were replaced.
    """

    parts: list[Part] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)


def find_sources(inputs: Sequence[str], part_size: int, columns: tuple[str, str] = ("", "")) -> Sources:
    """Divide folders and files into parts.

    Args:
        inputs: folders, zips, tars, Parquet files and pictures. Of a folder all that is in it is taken, hidden files
            apart.
        part_size: pictures in a part, at most; the parts of tars follow from their bytes.
        columns: of Parquet files, those with the bytes and with the names of pictures; "" looks for them.

    Raises:
        CourseError: if something is not there, is damaged, or holds no picture.
    """
    parts: list[Part] = []
    facts: list[dict[str, Any]] = []
    for given in inputs:
        for source, pictures in _containers_and_pictures(given):
            new, fact = _parts_of(source, pictures, part_size, columns)
            parts += [replace(part, index=len(parts) + number) for number, part in enumerate(new)]
            facts.append(fact)
    return Sources(parts, facts)


def pictures_of(part: Part) -> Iterator[Picture]:
    """The pictures of a part that are not done yet, in their order; bytes are read when they are asked for.

    Raises:
        CourseError: if the folder or file cannot be read where this runs.
    """
    return _READERS[part.kind](part)


def zip_parts(source: str, start: int, stop: int, part_size: int) -> list[Part]:
    """Parts of the pictures of a zip from one number to another."""
    return [
        Part(index, "zip", source, first, min(first + part_size, stop))
        for index, first in enumerate(range(start, stop, part_size))
    ]


def _containers_and_pictures(given: str) -> list[tuple[str, list[tuple[str, int]]]]:
    """What an input stands for: each container, and folders with the names and bytes of their pictures."""
    filesystem, path = open_filesystem(given)
    info = filesystem.get_file_info(path)
    if info.type.name == "NotFound":
        raise CourseError(f"There is nothing at {given}. Check the path.")
    if info.type.name == "File":
        if _suffix(path) in CONTAINERS:
            return [(given, [])]
        folder, _, name = given.rpartition("/")
        if not is_picture(PurePosixPath(path).name):
            raise CourseError(f"{given} is {_what_is_wrong_with(path)}.")
        return [(folder or ("/" if given.startswith("/") else "."), [(name, info.size)])]
    found = _files_below(filesystem, path)
    containers: list[tuple[str, list[tuple[str, int]]]] = [
        (f"{given.rstrip('/')}/{name}", []) for name, _ in found if _suffix(name) in CONTAINERS
    ]
    pictures = [(name, size) for name, size in found if is_picture(name)]
    if not containers and not pictures:
        raise CourseError(f"There are no pictures in {given} ({', '.join(PICTURE_SUFFIXES + CONTAINERS)}).")
    return [*containers, *([(given, pictures)] if pictures else [])]


def _files_below(filesystem: Any, folder: str) -> list[tuple[str, int]]:
    """Names, counted from the folder, and bytes of the files in a folder and below, hidden ones apart."""
    from pyarrow.fs import FileSelector

    found = filesystem.get_file_info(FileSelector(folder, recursive=True))
    base = folder.rstrip("/") + "/"
    files = [(info.path.removeprefix(base), info.size) for info in found if info.type.name == "File"]
    shown = [(name, size) for name, size in files if not _is_hidden(name)]
    return sorted(shown, key=lambda file: natural_order(Path(file[0])))


def _parts_of(
    source: str, pictures: list[tuple[str, int]], part_size: int, columns: tuple[str, str]
) -> tuple[list[Part], dict[str, Any]]:
    """The parts of one source, and what tells whether it is still the same."""
    if pictures:
        names = [name for name, _ in pictures]
        parts = [
            Part(0, "files", source, names=tuple(names[first : first + part_size]))
            for first in range(0, len(names), part_size)
        ]
        digest = hashlib.sha256(repr(pictures).encode("utf-8", "surrogateescape")).hexdigest()
        return parts, {"name": PurePosixPath(source).name, "pictures": len(names), "checksum": digest}
    filesystem, path = open_filesystem(source)
    info = filesystem.get_file_info(path)
    if _suffix(path) == ".zip":
        parts = zip_parts(source, 0, len(image_members(_zip_file(source))), part_size)
    elif _suffix(path) == ".tar":
        parts = [Part(0, "tar", source, start, start + TAR_BYTES) for start in range(0, max(info.size, 1), TAR_BYTES)]
    else:
        parts = _parquet_parts(source, part_size, columns)
    return parts, {"name": PurePosixPath(path).name, "bytes": info.size, "changed": info.mtime_ns}


def _parquet_parts(source: str, part_size: int, columns: tuple[str, str]) -> list[Part]:
    file = _parquet_file(source)
    found = _find_columns(file.schema_arrow, source, columns)
    rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    return [
        Part(0, "parquet", source, first, min(first + part_size, count), group=group, columns=found)
        for group, count in enumerate(rows)
        for first in range(0, count, part_size)
    ]


def _find_columns(schema: Any, source: str, columns: tuple[str, str]) -> tuple[str, str]:
    """The columns with bytes and names; bytes may be a field `bytes` of a column, as Hugging Face writes pictures."""
    from pyarrow import types

    def holds_bytes(kind: Any) -> bool:
        return types.is_binary(kind) or types.is_large_binary(kind)

    def is_picture_column(kind: Any) -> bool:
        fields = kind if types.is_struct(kind) else ()
        return holds_bytes(kind) or any(each.name == "bytes" and holds_bytes(each.type) for each in fields)

    pictures = [each.name for each in schema if is_picture_column(each.type)]
    wanted, names = columns
    if (wanted and wanted not in pictures) or not pictures or (names and names not in schema.names):
        raise CourseError(
            f"{source} has the columns {', '.join(schema.names)}, of which {', '.join(pictures) or 'none'} hold bytes. "
            "Say which column holds the pictures with --bytes-column, and their names with --name-column."
        )
    return wanted or pictures[0], names or next((name for name in NAME_COLUMNS if name in schema.names), "")


def _read_files(part: Part) -> Iterator[Picture]:
    filesystem, folder = _folder_here(part.source)
    for name in part.names[part.first :]:
        yield name, functools.partial(_read_file, filesystem, f"{folder.rstrip('/')}/{name}")


def _read_file(filesystem: Any, path: str) -> bytes:
    try:
        with filesystem.open_input_stream(path) as file:
            return _bounded(file.read(MAX_MEMBER_BYTES + 1), path)
    except FileNotFoundError as error:
        raise CourseError("the file is not there any more") from error


def _read_zip(part: Part) -> Iterator[Picture]:
    _folder_here(part.source)
    members = _members(part.source)[part.start + part.first : part.stop]
    with open_zip(_zip_file(part.source)) as archive:
        for member in members:
            yield member.filename, functools.partial(read_member, archive, member)


@functools.lru_cache(maxsize=1)  # the next part that a task reads is often of the same zip
def _members(source: str) -> list[zipfile.ZipInfo]:
    return image_members(_zip_file(source))


def _read_tar(part: Part) -> Iterator[Picture]:
    filesystem, path = _folder_here(part.source)
    done = 0
    with filesystem.open_input_file(path) as file:
        try:
            for name, read in _tar_members(file, part):
                done += 1
                if done > part.first:
                    yield name, read
        except (tarfile.TarError, EOFError) as error:
            reason = f"{part.source} is damaged from there on ({error})"
            if done >= part.first:
                yield PurePosixPath(path).name, functools.partial(_refuse, reason)


def _tar_members(file: Any, part: Part) -> Iterator[Picture]:
    """The pictures whose header lies in the part's bytes; of those before it only the headers are looked at."""
    size = file.size()
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while (member := tar.next()) is not None and member.offset < part.stop:
            tar.members.clear()  # type: ignore[attr-defined]  # it would remember all of them
            if member.offset_data + member.size > size:
                raise tarfile.ReadError("the file ends in the middle of a picture")
            if member.offset >= part.start and member.isreg() and is_picture(member.name):
                yield member.name, functools.partial(_read_tar_member, tar, member)
        file.seek(tar.offset)
        if member is None and any(file.read(tarfile.BLOCKSIZE)):  # tarfile takes a damaged header for the end
            raise tarfile.ReadError("a header is damaged")


def _read_tar_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MAX_MEMBER_BYTES:
        raise CourseError(f"it is too large: it has {member.size / 1e6:,.0f} MB")
    file = tar.extractfile(member)
    assert file is not None, "a member that `isreg` has bytes"
    return file.read()


def _read_parquet(part: Part) -> Iterator[Picture]:
    _folder_here(part.source)
    file, (bytes_column, name_column) = _parquet_file(part.source), part.columns
    row, first = 0, part.start + part.first
    chosen = [column for column in part.columns if column]
    for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[part.group], columns=chosen):
        if row + len(batch) > first:
            names = batch.column(name_column) if name_column else None
            for number in range(max(0, first - row), min(len(batch), part.stop - row)):
                value = batch.column(bytes_column)[number]
                name = names[number].as_py() if names is not None else None
                yield _row_name(name, value, part, row + number), functools.partial(_read_value, value)
        row += len(batch)
        if row >= part.stop:
            return


def _row_name(name: Any, value: Any, part: Part, row: int) -> str:
    if name is None and (known := value.as_py() if not hasattr(value, "as_buffer") else None):
        name = known.get("path")
    return str(name) if name is not None else f"group {part.group} row {row}"


def _read_value(value: Any) -> bytes:
    data = value.as_py()
    data = data.get("bytes") if isinstance(data, dict) else data
    if data is None:
        raise CourseError("the row holds no picture")
    return _bounded(data, "the picture")


_READERS = {"files": _read_files, "zip": _read_zip, "tar": _read_tar, "parquet": _read_parquet}


def open_filesystem(source: str) -> tuple[Any, str]:
    """PyArrow's file system for a path or an address, and the path in it.

    Raises:
        CourseError: if PyArrow does not know that kind of address.
    """
    from pyarrow import fs

    if not re.match(r"[a-z][a-z0-9+]+://", source):
        return fs.LocalFileSystem(), str(Path(source).expanduser().absolute())
    try:
        return fs.FileSystem.from_uri(source)
    except (ValueError, OSError, NotImplementedError) as error:
        raise CourseError(f"{source} cannot be read ({error}). Bring the pictures to a disk first.") from error


def is_picture(name: str) -> bool:
    """Whether a name is that of a picture, by its suffix; hidden files do not count."""
    return _suffix(name) in PICTURE_SUFFIXES and not _is_hidden(name)


def _is_hidden(name: str) -> bool:
    parts = [part for part in name.split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _what_is_wrong_with(path: str) -> str:
    if path.lower().endswith(_PACKED_TARS):
        return "a packed tar, which can only be read from its beginning. Unpack it to a plain .tar; JPEG stays small"
    return f"neither a folder nor a file of a kind that is read ({', '.join(PICTURE_SUFFIXES + CONTAINERS)})"


def _folder_here(source: str) -> tuple[Any, str]:
    """File system and path of a source, on the machine where this runs.

    Raises:
        CourseError: if it is not there: a disk that only some machines of the cluster see.
    """
    filesystem, path = open_filesystem(source)
    if filesystem.get_file_info(path).type.name == "NotFound":
        import socket

        raise CourseError(
            f"{source} is not there on {socket.gethostname()}. All machines of the cluster have to see the pictures "
            "under the same path: put them on a disk that they share, or copy them to each."
        )
    return filesystem, path


def _zip_file(source: str) -> Any:
    """What `zipfile` opens: a path, or for an address a file that bears its name."""
    filesystem, path = open_filesystem(source)
    return path if filesystem.type_name == "local" else _NamedFile(filesystem.open_input_file(path), source)


class _NamedFile(io.BufferedReader):
    """A file that messages can name."""

    def __init__(self, raw: Any, name: str) -> None:
        super().__init__(raw)
        self._name = name

    def __str__(self) -> str:
        return self._name


def _parquet_file(source: str) -> Any:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    filesystem, path = open_filesystem(source)
    try:
        return ParquetFile(path, filesystem=filesystem)
    except (ArrowException, OSError) as error:
        raise CourseError(f"{source} is no whole Parquet file ({error}). Bring a whole copy.") from error


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > MAX_MEMBER_BYTES:
        raise CourseError(f"{name} is too large to be a picture")
    return data


def _refuse(reason: str) -> bytes:
    raise CourseError(reason)
