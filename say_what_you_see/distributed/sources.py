"""Where pictures come from: folders, zips, tars, Parquet files, divided into parts that are read independently.

A part says where its pictures are. The parts and the order of the pictures in them follow from the files alone, so that
an interrupted run finds the same parts again. Paths are local or, like `s3://bucket/folder`, what PyArrow can read.
"""

import hashlib
import io
import itertools
import os
import re
import socket
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import MAX_PICTURE_BYTES
from say_what_you_see.data.archives import PICTURE_SUFFIXES, image_members, is_hidden, is_picture, open_zip, read_member
from say_what_you_see.vision.sources import natural_order

CONTAINERS = (".zip", ".tar", ".parquet")

NAME_COLUMNS = ("name", "file_name", "filename", "key", "__key__", "path", "url", "id")
"""The columns of a Parquet file that may hold the names of pictures; the first one found is used."""

_PACKED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")

Picture = tuple[str, bytes | CourseError]
"""The name of a picture, and its bytes or why they cannot be read."""


@dataclass(frozen=True)
class Part:
    """Some pictures next to each other in a source."""

    kind: str  # "files", "zip", "tar" or "parquet"
    source: str  # folder or file, as the user named it
    start: int = 0  # start, stop: which of its pictures, by number in a zip or by row in a row group
    stop: int = 0
    names: tuple[str, ...] = ()  # of files in the folder
    group: int = 0  # the row group of a Parquet file
    columns: tuple[str, str] = ("", "")  # those with bytes and names

    @property
    def pictures(self) -> int | None:
        """The number of its pictures; None for a tar, whose pictures are counted when it is read."""
        return len(self.names) or self.stop - self.start if self.kind != "tar" else None


def find_parts(
    inputs: Sequence[str], part_size: int, columns: tuple[str, str] = ("", "")
) -> tuple[list[Part], list[dict[str, Any]]]:
    """Divide folders, zips, tars, Parquet files and pictures into parts; hidden files in a folder are left out.

    Args:
        part_size: the most pictures in a part; a tar is one part.
        columns: the Parquet columns with the bytes and with the names of pictures; "" looks for them.

    Returns:
        The parts in order, and what they were made from, to notice when files were replaced.
    """
    parts: list[Part] = []
    made_from: list[dict[str, Any]] = []
    for prefix, files in map(_files_of, inputs):
        for name, info in files:
            if _is_container(name):
                parts += _parts_of(prefix + name, part_size, columns)
                made_from.append({"name": PurePosixPath(name).name, "bytes": info.size, "changed": info.mtime_ns})
        pictures = [(name, info.size) for name, info in files if is_picture(name)]
        if pictures:
            folder, names = prefix.rstrip("/") or prefix or ".", tuple(name for name, _ in pictures)
            parts += [Part("files", folder, names=names[slice(*span)]) for span in _spans(0, len(names), part_size)]
            digest = hashlib.sha256(repr(pictures).encode("utf-8", "surrogateescape")).hexdigest()
            made_from.append({"name": PurePosixPath(folder).name, "pictures": len(names), "checksum": digest})
    return parts, made_from


def pictures_of(part: Part) -> Iterator[Picture]:
    """The pictures of a part, in order."""
    filesystem, path = open_filesystem(part.source)
    if filesystem.get_file_info(path).type.name == "NotFound":
        raise CourseError(
            f"{part.source} does not exist on {socket.gethostname()}. All machines of the cluster must see the "
            "pictures under the same path: put them on a shared disk, or copy them to each machine."
        )
    return _READERS[part.kind](part, filesystem, path)


def zip_parts(source: str, start: int, stop: int, part_size: int) -> list[Part]:
    """Divide the pictures of a zip from number `start` up to `stop` into parts."""
    return [Part("zip", source, *span) for span in _spans(start, stop, part_size)]


def _spans(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """The numbers from `start` up to `stop` as spans of at most this size: where each starts and stops."""
    return [(first, min(first + size, stop)) for first in range(start, stop, size)]


def _files_of(given: str) -> tuple[str, list[tuple[str, Any]]]:
    """What precedes the names of an input's files, and these names in order, each with what PyArrow knows about it."""
    from pyarrow.fs import FileSelector

    filesystem, path = open_filesystem(given)
    info = filesystem.get_file_info(path)
    if info.type.name == "NotFound":
        raise CourseError(f"There is nothing at {given}. Check the path.")
    kinds = ", ".join(PICTURE_SUFFIXES + CONTAINERS)
    if info.type.name == "File":
        name = PurePosixPath(path).name
        if name.lower().endswith(_PACKED_TARS):
            raise CourseError(
                f"{given} is a compressed tar, which can only be read from its start. Unpack it to a plain .tar; JPEG "
                "stays small."
            )
        if not is_picture(name) and not _is_container(name):
            raise CourseError(f"{given} is neither a folder nor a file of a supported type ({kinds}).")
        return given[: given.rfind("/") + 1], [(name, info)]
    base = path.rstrip("/") + "/"
    found = filesystem.get_file_info(FileSelector(path, recursive=True))
    files = [(each.path.removeprefix(base), each) for each in found if each.type.name == "File"]
    files = [(name, each) for name, each in files if not is_hidden(name)]
    if not any(is_picture(name) or _is_container(name) for name, _ in files):
        raise CourseError(f"There are no pictures in {given} ({kinds}).")
    return given.rstrip("/") + "/", sorted(files, key=lambda file: natural_order(Path(file[0])))


def _parts_of(source: str, part_size: int, columns: tuple[str, str]) -> list[Part]:
    """The parts of a zip, a tar or a Parquet file."""
    filesystem, path = open_filesystem(source)
    if path.lower().endswith(".tar"):
        return [Part("tar", source)]
    if path.lower().endswith(".zip"):
        return zip_parts(source, 0, len(image_members(_zip_file(filesystem, path, source))), part_size)
    file = _parquet_file(filesystem, path, source)
    columns = _find_columns(file.schema_arrow, source, columns)
    return [
        Part("parquet", source, *span, group=group, columns=columns)
        for group in range(file.metadata.num_row_groups)
        for span in _spans(0, file.metadata.row_group(group).num_rows, part_size)
    ]


def _find_columns(schema: Any, source: str, columns: tuple[str, str]) -> tuple[str, str]:
    """The columns with bytes and names; bytes may be a field `bytes` of a column, as Hugging Face writes pictures."""
    from pyarrow import types

    def holds_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(each.name == "bytes" and holds_bytes(each.type) for each in kind)
        return types.is_binary(kind) or types.is_large_binary(kind)

    pictures = [each.name for each in schema if holds_bytes(each.type)]
    wanted, names = columns
    if (wanted and wanted not in pictures) or not pictures or (names and names not in schema.names):
        raise CourseError(
            f"{source} has the columns {', '.join(schema.names)}, of which {', '.join(pictures) or 'none'} hold bytes. "
            "Say which column holds the pictures with --bytes-column, and which holds their names with --name-column."
        )
    return wanted or pictures[0], names or next((name for name in NAME_COLUMNS if name in schema.names), "")


def _read_files(part: Part, filesystem: Any, folder: str) -> Iterator[Picture]:
    for name in part.names:
        try:
            with filesystem.open_input_stream(f"{folder.rstrip('/')}/{name}") as file:
                yield name, _bounded(file.read(MAX_PICTURE_BYTES + 1))
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            yield name, CourseError("the file no longer exists" if gone else f"it cannot be read ({error})")


def _read_zip(part: Part, filesystem: Any, path: str) -> Iterator[Picture]:
    members = image_members(_zip_file(filesystem, path, part.source))[part.start : part.stop]
    with open_zip(_zip_file(filesystem, path, part.source)) as archive:
        for member in members:
            try:
                yield member.filename, read_member(archive, member)
            except CourseError as error:
                yield member.filename, error


def _read_tar(part: Part, filesystem: Any, path: str) -> Iterator[Picture]:
    """The pictures of a tar; if it is damaged, the last one has the tar's own name and an error that says so."""
    try:
        with filesystem.open_input_file(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
                if member.offset_data + member.size > file.size():
                    raise tarfile.ReadError("the file ends in the middle of a picture")
                if member.isreg() and is_picture(member.name):
                    file.seek(member.offset_data)
                    yield member.name, _bounded(file.read(min(member.size, MAX_PICTURE_BYTES + 1)))
            file.seek(tar.offset)
            if any(file.read(tarfile.BLOCKSIZE)):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError("a header is damaged")
    except (tarfile.TarError, EOFError) as error:
        yield PurePosixPath(path).name, CourseError(f"{part.source} is damaged from here on ({error})")


def _read_parquet(part: Part, filesystem: Any, path: str) -> Iterator[Picture]:
    bytes_column, name_column = part.columns
    columns = [column for column in part.columns if column]
    batches = _parquet_file(filesystem, path, part.source).iter_batches(64, row_groups=[part.group], columns=columns)
    rows = (batch.slice(row, 1) for batch in batches for row in range(len(batch)))  # views, only some of them are read
    for number, row in enumerate(itertools.islice(rows, part.start, part.stop), part.start):
        [values] = row.to_pylist()
        data = values[bytes_column]
        fields = data if isinstance(data, dict) else {"bytes": data}
        name = values.get(name_column) if name_column else fields.get("path")
        content = fields.get("bytes")
        named = f"group {part.group} row {number}" if name is None else str(name)
        yield named, CourseError("the row holds no picture") if content is None else _bounded(content)


_READERS = {"files": _read_files, "zip": _read_zip, "tar": _read_tar, "parquet": _read_parquet}


def _bounded(data: bytes) -> bytes | CourseError:
    return data if len(data) <= MAX_PICTURE_BYTES else CourseError("the file is too large to be a picture")


def open_filesystem(source: str) -> tuple[Any, str]:
    """PyArrow's file system for a path or an address, and the path in it."""
    from pyarrow import fs

    if not source:
        raise CourseError("'' is not a path. The current folder is called . (a full stop).")
    if not re.match(r"[a-z][a-z0-9+]+://", source):
        return fs.LocalFileSystem(), str(Path(os.path.expanduser(source)).absolute())
    try:
        return fs.FileSystem.from_uri(source)
    except (ValueError, OSError, NotImplementedError) as error:
        raise CourseError(f"{source} cannot be read ({error}). Copy the pictures to a disk first.") from error


def _is_container(name: str) -> bool:
    return name.lower().endswith(CONTAINERS)


def _zip_file(filesystem: Any, path: str, source: str) -> Any:
    """What `zipfile` opens: a path, or for an address a file with its name."""
    return path if filesystem.type_name == "local" else _NamedFile(filesystem.open_input_file(path), source)


class _NamedFile(io.BufferedReader):
    """A file that messages can name; `zipfile` asks for its `name`."""

    name = ""

    def __init__(self, raw: Any, name: str) -> None:
        super().__init__(raw)
        self.name = name

    def __str__(self) -> str:
        return self.name


def _parquet_file(filesystem: Any, path: str, source: str) -> Any:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path, filesystem=filesystem)
    except (ArrowException, OSError) as error:
        raise CourseError(f"{source} is not a complete Parquet file ({error}). Get a complete copy.") from error
