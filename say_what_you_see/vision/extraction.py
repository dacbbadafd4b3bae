"""Pictures in, embeddings out: streams the pictures of a zip through an encoder, and remembers how far it got."""

from __future__ import annotations

import hashlib
import zipfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import (
    check_is_no_folder,
    check_space,
    make_folder,
    read_json,
    reserve,
    write_errors_explained,
    write_json,
)
from say_what_you_see.core.prefetch import prefetch
from say_what_you_see.core.progress import progress
from say_what_you_see.core.text import visible
from say_what_you_see.data.archives import image_members, open_zip, read_member
from say_what_you_see.vision.encoders import Preprocess, weights_checksum
from say_what_you_see.vision.pictures import crop_and_resize

KERAS = "keras"
"""The engine that computes embeddings unless another one is noted."""


def apply_model(
    zip_fn: str | Path,
    encoder: keras.Model,
    preprocess_for_model: Preprocess,
    input_shape: tuple[int, int] = (299, 299),
    batch_size: int = 32,
    store: Path | None = None,
    dtype: str = "float32",
) -> tuple[np.ndarray, list[str]]:
    """Embed every picture of a zip: returns (n, *shape of an embedding) and the n file names, row by row.

    Pictures that cannot be read are skipped and named at the end. With a `store`, the path of a
    `.npy` file, an interrupted extraction goes on where it was, and a finished one is not done again.

    Args:
        dtype: the type of the numbers; "float16" halves a file, at 3 significant digits.
    """
    members = image_members(zip_fn)
    table = open_table(zip_fn, members, encoder, preprocess_for_model, input_shape, store, dtype)
    to_do = members[table.members_done :]
    description = f"Embedding {Path(zip_fn).name}"
    with open_zip(zip_fn) as archive, progress(total=len(members), description=description, unit=" pictures") as bar:
        bar.update(table.members_done)
        for batch in image_batches(archive, to_do, preprocess_for_model, input_shape, batch_size):
            table.add(batch, encoder.predict_on_batch(batch.images))
            bar.update(batch.members_read)
    return table.finish()


@dataclass(frozen=True)
class ImageBatch:
    """Some pictures of a zip, ready for an encoder.

    Attributes:
        images: preprocessed, float32 (batch size, height, width, 3); what is behind the last image is padding.
        count: the number of images.
        skipped: the names of files that could not be read, each with the reason.
    """

    images: np.ndarray
    count: int
    skipped: dict[str, str]

    @property
    def members_read(self) -> int:
        """The number of files of the zip that went into this batch."""
        return self.count + len(self.skipped)


def image_batches(
    archive: zipfile.ZipFile,
    members: list[zipfile.ZipInfo],
    preprocess_for_model: Preprocess,
    input_shape: tuple[int, int],
    batch_size: int,
) -> Iterator[ImageBatch]:
    """Batches of the pictures of a zip, all of the same size, in order; threads prepare the next ones meanwhile."""

    def prepare(batch_members: list[zipfile.ZipInfo]) -> ImageBatch:
        pictures = np.zeros((batch_size, *input_shape, 3), dtype="float32")
        count, skipped = 0, {}
        for member in batch_members:
            try:
                pictures[count] = crop_and_resize(read_member(archive, member), input_shape)
                count += 1
            except CourseError as error:
                skipped[member.filename] = str(error)
        return ImageBatch(np.asarray(preprocess_for_model(pictures), dtype="float32"), count, skipped)

    starts = range(0, len(members), batch_size)
    return prefetch(prepare, (members[start : start + batch_size] for start in starts))


class EmbeddingTable:
    """The embeddings of the pictures of a zip, filled batch by batch, in memory.

    Attributes:
        members_done: how many files of the zip are done with, skipped ones included.
        skipped: the names of files that could not be read, each with the reason.
        engine: what computes the embeddings; None before there are any.
    """

    def __init__(
        self,
        zip_fn: str | Path,
        members: list[zipfile.ZipInfo],
        row_shape: tuple[int, ...],
        dtype: str = "float32",
    ):
        self.zip_fn, self.members = Path(zip_fn), members
        self.shape, self.dtype = (len(members), *row_shape), np.dtype(dtype)
        self.members_done = 0
        self.skipped: dict[str, str] = {}
        self.engine: str | None = None
        self._pending: deque[tuple[ImageBatch, np.ndarray]] = deque()
        self.rows = self._make_rows()

    @property
    def row_count(self) -> int:
        """The number of rows that are filled."""
        return self.members_done - len(self.skipped)

    def add(self, batch: ImageBatch, embeddings: np.ndarray) -> None:
        """Append the embeddings of a batch, (batch size, *row shape); those of the padding are dropped.

        They may be no array yet (`say_what_you_see.vision.fast_encoder.FutureEmbeddings`). Then they are waited for when the next ones are
        added, so that whoever computes them never runs out of work.
        """
        self._pending.append((batch, embeddings))
        self._keep_pending(leave=0 if isinstance(embeddings, np.ndarray) else 1)

    def finish(self) -> tuple[np.ndarray, list[str]]:
        """Name the pictures that were skipped; returns the embeddings and the file names, row by row.

        Raises:
            CourseError: if not one picture could be read.
        """
        self._keep_pending()
        if self.skipped:
            print(visible(f"{self.zip_fn.name}: skipped {len(self.skipped)} of {len(self.members)} pictures."))
            print("\n".join(visible(f"  {name}: {reason}") for name, reason in self.skipped.items()))
        if not self.row_count:
            raise CourseError(f"None of the pictures in {self.zip_fn} could be read. Bring a whole copy.")
        return self._finished_rows(), self.file_names()

    def file_names(self) -> list[str]:
        """The file names of the rows, without folders unless two pictures have the same name then."""
        paths = [member.filename for member in self.members if member.filename not in self.skipped]
        names = [PurePosixPath(path).name for path in paths]
        return names if len(set(names)) == len(names) else paths

    def _keep_pending(self, leave: int = 0) -> None:
        while len(self._pending) > leave:
            self._keep(*self._pending.popleft())

    def _keep(self, batch: ImageBatch, embeddings: np.ndarray) -> None:
        self.rows[self.row_count : self.row_count + batch.count] = embeddings[: batch.count]
        self.skipped.update(batch.skipped)
        self.members_done += batch.members_read

    def _make_rows(self) -> np.ndarray:
        return np.empty(self.shape, self.dtype)

    def _finished_rows(self) -> np.ndarray:
        return self.rows[: self.row_count]


class StoredEmbeddingTable(EmbeddingTable):
    """The embeddings of the pictures of a zip, on disk, where they outlive an interruption.

    Rows go to `<store>.partial.npy`; a record in `<store>.json` says what they are made from and how
    many there are. The store itself appears when all is done, and the record then lists the file names.
    """

    def __init__(
        self,
        zip_fn: str | Path,
        members: list[zipfile.ZipInfo],
        row_shape: tuple[int, ...],
        store: Path,
        made_from: dict,
        dtype: str = "float32",
    ):
        self.store, self.made_from = Path(store), made_from
        self.partial = self.store.with_suffix(".partial.npy")
        self.record = self.store.with_suffix(".json")
        super().__init__(zip_fn, members, row_shape, dtype)

    def _keep(self, batch: ImageBatch, embeddings: np.ndarray) -> None:
        super()._keep(batch, embeddings)
        self.rows.flush()
        self._write_record()

    def _make_rows(self) -> np.ndarray:
        for path in (self.store, self.partial, self.record):
            check_is_no_folder(path)
        record = self._read_record()
        path, mode = (self.store, "r") if self.store.exists() else (self.partial, "r+")
        try:
            rows = np.lib.format.open_memmap(path, mode)
            fits = self._fits(record, rows) and (mode == "r+" or record["members_done"] == len(self.members))
        except (OSError, ValueError, TypeError, KeyError):  # nothing there, or nothing that fits
            return self._start_over()
        if not fits:
            return self._start_over()
        self.members_done, self.skipped = record["members_done"], record["skipped"]
        self.engine = record.get("engine", KERAS)
        self._check_space()
        if mode == "r+":
            reserve(self.partial, rows.offset + rows.nbytes)
        return rows

    def _start_over(self) -> np.ndarray:
        make_folder(self.store.parent)
        with write_errors_explained(self.store, self.partial):
            self.store.unlink(missing_ok=True)
            self.record.unlink(missing_ok=True)
            self._check_space()
            rows = np.lib.format.open_memmap(self.partial, "w+", dtype=self.dtype, shape=self.shape)
        reserve(self.partial, rows.offset + rows.nbytes)
        return rows

    def _check_space(self) -> None:
        """Refuse to fill a disk: writing to a memory map that has no room behind it would end the process."""
        to_do = len(self.members) - self.members_done
        check_space(self.store, self.dtype.itemsize * int(np.prod(self.shape[1:])) * to_do)

    def _finished_rows(self) -> np.ndarray:
        if not self.store.exists():
            self._write_record(file_names=self.file_names())
            self.rows = None  # closes the memory map, which some systems demand before a file is renamed
            with write_errors_explained(self.store, self.partial):
                keep_first_rows(self.partial, self.row_count)
                self.partial.replace(self.store)
        return np.load(self.store, mmap_mode="r")

    def _read_record(self) -> Any:
        """The record, or None where there is none, or one of something else."""
        try:
            record = read_json(self.record)
            return record if record["made_from"] == self.made_from else None
        except (CourseError, KeyError, TypeError):
            return None

    def _fits(self, record: Any, rows: np.ndarray) -> bool:
        """Whether a record tells of these rows: how many files of the zip are done with, and which were skipped."""
        done, skipped = record["members_done"], dict(record["skipped"])
        known = {member.filename for member in self.members[:done]}
        sound = type(done) is int and 0 <= done <= len(self.members) and skipped.keys() <= known
        lengths = {len(self.members), done - len(skipped)} if done == len(self.members) else {len(self.members)}
        sound = sound and all(isinstance(reason, str) for reason in skipped.values())
        same_rows = rows.dtype == self.dtype and rows.shape[1:] == self.shape[1:]
        return sound and same_rows and len(rows) in lengths

    def _write_record(self, **more: Any) -> None:
        record = {"made_from": self.made_from, "engine": self.engine, "members_done": self.members_done}
        write_json(record | {"skipped": self.skipped} | more, self.record)


def keep_first_rows(path: Path, count: int) -> None:
    """Cut a `.npy` file off after some rows, in place: a copy could be too large for the disk.

    NumPy leaves room in the header for the number of rows, so that what follows stays where it is.
    """
    with path.open("r+b") as file:
        np.lib.format.read_magic(file)
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        file.seek(0)
        header = {"shape": (count, *shape[1:]), "fortran_order": fortran_order, "descr": dtype.str}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + dtype.itemsize * int(np.prod((count, *shape[1:]))))


def open_table(
    zip_fn: str | Path,
    members: list[zipfile.ZipInfo],
    encoder: keras.Model,
    preprocess_for_model: Preprocess,
    input_shape: tuple[int, int],
    store: Path | None,
    dtype: str = "float32",
) -> EmbeddingTable:
    """An empty table in memory, or with a `store` the one on disk, as far as it got with this zip and encoder.

    Raises:
        CourseError: if the encoder expects pictures of another size, or if the disk is too full.
    """
    expected = tuple(encoder.inputs[0].shape[1:3])
    if any(side not in (None, given) for side, given in zip(expected, input_shape, strict=True)):
        raise CourseError(f"The encoder expects pictures of {expected} pixels, but input_shape is {input_shape}.")
    row_shape = encoder.compute_output_shape((1, *input_shape, 3))[1:]
    if store is None:
        return _with_engine(EmbeddingTable(zip_fn, members, row_shape, dtype), encoder)
    made_from = {
        "zip": Path(zip_fn).name,
        "bytes": Path(zip_fn).stat().st_size,
        "pictures": _checksum(repr([(member.filename, member.CRC) for member in members]).encode()),
        "input_shape": list(input_shape),
        "embedding_shape": list(row_shape),
        **_describe_encoder(encoder, preprocess_for_model),
    }
    return _with_engine(StoredEmbeddingTable(zip_fn, members, row_shape, store, made_from, dtype), encoder)


def _with_engine(table: EmbeddingTable, encoder: keras.Model) -> EmbeddingTable:
    """Decide what computes the rows that a table lacks; `say_what_you_see.vision.fast_encoder.FastEncoder` has the choice."""
    if table.members_done < len(table.members):
        choose_engine = getattr(encoder, "choose_engine", None)
        table.engine = choose_engine(table.engine) if choose_engine else KERAS
    return table


def _describe_encoder(encoder: keras.Model, preprocess_for_model: Preprocess) -> dict[str, str]:
    """Checksums that change when an encoder's weights do, or what preprocessing makes of any level of grey."""
    levels = np.repeat(np.arange(256, dtype="float32"), 3).reshape(1, 16, 16, 3)
    preprocessed = np.asarray(preprocess_for_model(levels))
    weights = getattr(encoder, "weights_checksum", None) or weights_checksum(encoder)
    return {"encoder": weights, "preprocessing": _checksum(preprocessed.tobytes())}


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
