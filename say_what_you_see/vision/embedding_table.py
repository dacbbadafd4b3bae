"""A table of embeddings that is filled batch by batch, in memory or in a file that survives an interruption."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

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
from say_what_you_see.core.text import visible


@dataclass(frozen=True)
class ImageBatch:
    """Some images of a zip, ready for an encoder."""

    images: np.ndarray  # preprocessed, float32 (batch size, height, width, 3); padding follows the last image
    count: int  # the number of images
    skipped: dict[str, str]  # the names of files that could not be read, each with the reason

    @property
    def members_read(self) -> int:
        """The number of files of the zip that went into this batch."""
        return self.count + len(self.skipped)


class EmbeddingTable:
    """The embeddings of the images of a zip.

    With a store, rows go to `<store>.partial.npy`, and after every batch a record in `<store>.json` says what they
    are made from and how many there are. The store itself appears when all is done; the record then lists the file
    names.

    Args:
        members: the images of the zip.
        row_shape: the shape of an embedding.
        store: the `.npy` file to make; None keeps all in memory.
        made_from: what the embeddings depend on. Rows of an earlier run are kept if it is the same.
    """

    def __init__(
        self,
        zip_fn: str | Path,
        members: list[zipfile.ZipInfo],
        row_shape: tuple[int, ...],
        dtype: str = "float32",
        store: Path | None = None,
        made_from: dict[str, Any] | None = None,
    ):
        self.zip_fn, self.members, self.made_from = Path(zip_fn), members, made_from
        self.shape, self.dtype = (len(members), *row_shape), np.dtype(dtype)
        self.members_done = 0  # skipped ones included
        self.skipped: dict[str, str] = {}  # the names of files that could not be read, each with the reason
        self.engine: str | None = None  # the engine that computes the embeddings; None before there are any
        self._waiting: tuple[ImageBatch, np.ndarray] | None = None
        self.store = Path(store) if store else None
        self._rows: Any  # an array; with a store a memory map, None after it is closed
        if self.store is None:
            self._rows = np.empty(self.shape, self.dtype)
            return
        self._partial, self._record = self.store.with_suffix(".partial.npy"), self.store.with_suffix(".json")
        for path in (self.store, self._partial, self._record):
            check_is_no_folder(path)
        if not self._resume(self.store):
            self._start(self.store)

    @property
    def row_count(self) -> int:
        """The number of rows that are filled."""
        return self.members_done - len(self.skipped)

    def add(self, batch: ImageBatch, embeddings: np.ndarray) -> None:
        """Append the embeddings of a batch, (batch size, *row shape); those of the padding are dropped.

        Embeddings that are still being computed are waited for when the next ones are added, so that the engine never
        runs out of work.
        """
        self._append_waiting()
        self._waiting = batch, embeddings
        if isinstance(embeddings, np.ndarray):
            self._append_waiting()

    def finish(self) -> tuple[np.ndarray, list[str]]:
        """Print which images were skipped; returns the embeddings and the file names, row by row."""
        self._append_waiting()
        if self.skipped:
            print(visible(f"{self.zip_fn.name}: skipped {len(self.skipped)} of {len(self.members)} pictures."))
            print("\n".join(visible(f"  {name}: {reason}") for name, reason in self.skipped.items()))
        if not self.row_count:
            raise CourseError(f"None of the pictures in {self.zip_fn} could be read. Get a complete copy.")
        names = self.file_names()
        if self.store is None:
            return self._rows[: self.row_count], names
        if not self.store.exists():
            self._write_record(file_names=names)
            self._rows = None  # closes the file, as some systems require before it is renamed
            with write_errors_explained(self.store, self._partial):
                self._cut_off_partial()
                self._partial.replace(self.store)
        return np.load(self.store, mmap_mode="r"), names

    def file_names(self) -> list[str]:
        """The file name for each row, without folders unless two images would then have the same name."""
        paths = [member.filename for member in self.members if member.filename not in self.skipped]
        names = [PurePosixPath(path).name for path in paths]
        return names if len(set(names)) == len(names) else paths

    def _append_waiting(self) -> None:
        if self._waiting is None:
            return
        (batch, embeddings), self._waiting = self._waiting, None
        self._rows[self.row_count : self.row_count + batch.count] = np.asarray(embeddings)[: batch.count]
        self.skipped.update(batch.skipped)
        self.members_done += batch.members_read
        if self.store is not None:
            self._rows.flush()
            self._write_record()

    def _start(self, store: Path) -> None:
        make_folder(store.parent)
        with write_errors_explained(store, self._partial):
            store.unlink(missing_ok=True)
            self._record.unlink(missing_ok=True)
            self._check_space(store)
            self._rows = np.lib.format.open_memmap(self._partial, "w+", dtype=self.dtype, shape=self.shape)
        reserve(self._partial, self._rows.offset + self._rows.nbytes)

    def _resume(self, store: Path) -> bool:
        """Resume with the rows of an earlier run on the same inputs; False if there are none."""
        is_finished = store.exists()
        try:
            record = read_json(self._record)
            rows = np.lib.format.open_memmap(*((store, "r") if is_finished else (self._partial, "r+")))
            done, skipped = record["members_done"], dict(record["skipped"])
            cut_off = [done - len(skipped)] if done == len(self.members) else []
            lengths = cut_off if is_finished else [len(self.members), *cut_off]  # a run may be killed after the cut
            is_sound = isinstance(done, int) and len(skipped) <= done <= len(self.members)
            has_shape = rows.dtype == self.dtype and rows.shape in [(length, *self.shape[1:]) for length in lengths]
            if not (is_sound and has_shape and record["made_from"] == self.made_from):
                return False
        except (CourseError, OSError, ValueError, TypeError, KeyError):  # nothing there, or damaged
            return False
        self._rows, self.members_done, self.skipped = rows, done, skipped
        self.engine = record.get("engine")
        self._check_space(store)
        if not is_finished:
            reserve(self._partial, rows.offset + rows.nbytes)
        return True

    def _check_space(self, store: Path) -> None:
        row = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        check_space(store, row * (len(self.members) - self.members_done))

    def _cut_off_partial(self) -> None:
        """Drop the unused rows, one per skipped image, in place: a copy could be too large for the disk.

        NumPy leaves room in the header for any number of rows, so that the rows stay where they are.
        """
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
        shape = (self.row_count, *self.shape[1:])
        with self._partial.open("r+b") as file:
            np.lib.format.write_array_header_1_0(file, header | {"shape": shape})
            file.truncate(file.tell() + self.dtype.itemsize * int(np.prod(shape)))

    def _write_record(self, **more: Any) -> None:
        record = {"made_from": self.made_from, "engine": self.engine, "members_done": self.members_done}
        write_json(record | {"skipped": self.skipped} | more, self._record)
