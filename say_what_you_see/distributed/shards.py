"""Results on disk: shards of embeddings or captions, each with a record, and a manifest when all are there.

A shard has the results of at most so many pictures of one part of the sources, which makes a killed run forget no more
than one shard. Its record says what it was made from, how many pictures went into it and which could not be read, and
has its checksum: where both fit, the shard is whole and not made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, make_folder, read_json, sha256_of, write_json
from say_what_you_see.distributed.pipeline import END, PICTURE, Block
from say_what_you_see.distributed.sources import Part

MANIFEST_FILE = "manifest.json"
FORMATS = {"embeddings": ("npy", "parquet"), "captions": ("jsonl", "parquet")}
"""The forms that shards can have, the usual one first."""

_FORMAT = 1


@dataclass(frozen=True)
class ShardPlan:
    """What is written where.

    Attributes:
        folder: of the results.
        kind: "embeddings" or "captions".
        form: one of `FORMATS`.
        made_from: sources, model and options: other ones make other results.
        size: pictures in a shard, at most.
    """

    folder: Path
    kind: str
    form: str
    made_from: dict[str, Any]
    size: int

    @property
    def digest(self) -> str:
        """What the record of each shard remembers of `made_from`."""
        facts = {"made_from": self.made_from, "size": self.size, "kind": self.kind, "form": self.form}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class ShardWriter:
    """Writes shards from blocks that come in order.

    Attributes:
        engine: what computes the embeddings of the shards that are written, for their records.

    Raises:
        CourseError: if the folder holds shards of something else.
    """

    def __init__(self, plan: ShardPlan) -> None:
        self.plan = plan
        self.digest, self.engine = plan.digest, ""
        make_folder(plan.folder)
        self._refuse_others()
        self._part = self._number = -1
        self._rows: list[tuple[int, str, str, Any]] = []

    def missing(self, parts: Sequence[Part]) -> list[Part]:
        """The parts that are not done, from the first picture that no whole shard has."""
        missing = []
        for part in parts:
            records = list(self._whole_shards(part.index))
            if not records or not records[-1]["last"]:
                missing.append(replace(part, first=sum(record["pictures"] for record in records)))
        return missing

    def begin(self, part: Part) -> None:
        """Get ready for the blocks of a part."""
        self._part, self._rows = part.index, []
        self._number = len(list(self._whole_shards(part.index)))

    def add(self, block: Block, column: str) -> None:
        """Take the rows of a block that belong to the part at hand; writes a shard when it is full or the part ends."""
        for row in np.flatnonzero(block["part"] == self._part):
            if block["state"][row] == END:
                self._write(last=True)
            else:
                if len(self._rows) == self.plan.size:
                    self._write(last=False)
                value = block[column][row] if block["state"][row] == PICTURE else None
                self._rows.append((block["state"][row], str(block["name"][row]), str(block["reason"][row]), value))

    def finish(self, parts: Sequence[Part]) -> dict[str, Any]:
        """Write the manifest, and return it.

        Raises:
            CourseError: if not one picture could be read.
        """
        shards: list[dict[str, Any]] = []
        first, skipped = 0, 0
        for part in parts:
            for record in self._records(part.index):
                shard = {key: record[key] for key in ("file", "rows", "bytes", "sha256", "engine") if key in record}
                record_file = self._record_path(part.index, record["number"]).name
                shards.append({**shard, "record": record_file, "first_row": first})
                first, skipped = first + record["rows"], skipped + len(record["skipped"])
        if not first:
            raise CourseError(
                f"None of the {skipped} pictures could be read; the records in {self.plan.folder} say why."
            )
        facts = {"kind": self.plan.kind, "form": self.plan.form, "rows": first, "skipped": skipped}
        manifest = {"format": _FORMAT, **facts, "made_from": self.plan.made_from, "shards": shards}
        write_json(manifest, self.plan.folder / MANIFEST_FILE)
        return manifest

    def skipped(self, parts: Sequence[Part]) -> Iterator[tuple[str, str]]:
        """Names of the pictures that could not be read, and why."""
        for part in parts:
            for record in self._records(part.index):
                yield from (tuple(pair) for pair in record["skipped"])

    def _write(self, last: bool) -> None:
        """Write the rows at hand: the shard first, its record when that is whole."""
        good = [(name, value) for state, name, _, value in self._rows if state == PICTURE]
        record = {
            "made_from": self.digest, "part": self._part, "number": self._number, "last": last,
            "engine": self.engine, "pictures": len(self._rows), "rows": len(good),
            "skipped": [[name, reason] for state, name, reason, _ in self._rows if state != PICTURE],
        }  # fmt: skip
        if good:
            path = self._record_path(self._part, self._number).with_suffix(f".{self.plan.form}")
            _WRITERS[self.plan.kind, self.plan.form](path, [name for name, _ in good], [value for _, value in good])
            record |= {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
            if self.plan.form == "npy":
                record["names"] = [name for name, _ in good]
        write_json(record, self._record_path(self._part, self._number))
        self._number, self._rows = self._number + 1, []

    def _record_path(self, part: int, number: int) -> Path:
        return self.plan.folder / f"{part:06d}-{number:04d}.json"

    def _records(self, part: int) -> Iterator[dict[str, Any]]:
        """The records of a part's shards, as far as there are any."""
        number = 0
        while (path := self._record_path(part, number)).exists():
            yield read_json(path)
            number += 1

    def _whole_shards(self, part: int) -> Iterator[dict[str, Any]]:
        """The records of a part's shards up to the first that is not whole."""
        try:
            for record in self._records(part):
                path = self.plan.folder / record.get("file", "")
                if "file" in record and (not path.is_file() or sha256_of(path) != record["sha256"]):
                    return
                yield record
        except (CourseError, KeyError, TypeError, AttributeError):  # a damaged record is as good as none
            return

    def _refuse_others(self) -> None:
        """Look whether the folder's first record is of the same work."""
        for path in sorted(self.plan.folder.glob("??????-????.json"))[:1]:
            try:
                known = read_json(path)["made_from"]
            except (CourseError, KeyError, TypeError):
                continue
            if known != self.digest:
                raise CourseError(
                    f"{self.plan.folder} holds results of other pictures, of another model or other options, or the "
                    "pictures were changed since. Give another --output folder, or remove this one."
                )


def read_shards(folder: str | Path) -> Iterator[tuple[list[str], Any]]:
    """The results of a folder, shard by shard: names, and embeddings (n, ...) or n lists of captions.

    Raises:
        CourseError: if the folder has no manifest, since the work is not done.
    """
    folder = Path(folder)
    if not (folder / MANIFEST_FILE).exists():
        raise CourseError(f"There is no {MANIFEST_FILE} in {folder}: the work is not finished. Start it again.")
    manifest = read_json(folder / MANIFEST_FILE)
    for shard in manifest["shards"]:
        if "file" in shard:
            read = _READERS[manifest["kind"], manifest["form"]]
            yield read(folder / shard["file"], folder / shard["record"])


def _write_npy(path: Path, names: list[str], values: list[np.ndarray]) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, np.stack(values))


def _write_embeddings(path: Path, names: list[str], values: list[np.ndarray]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    array = np.stack(values)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array[0].size)
    shape = {"shape": json.dumps(array.shape[1:])}
    with atomic_path(path) as temporary:
        parquet.write_table(pa.table({"name": names, "embedding": flat}, metadata=shape), temporary)


def _captions_of(name: str, found: str) -> dict[str, Any]:
    captions = [{"caption": sentence, "probability": probability} for sentence, probability in json.loads(found)]
    return {"picture": name, **captions[0], "captions": captions}


def _write_jsonl(path: Path, names: list[str], values: list[str]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for name, found in zip(names, values, strict=True):
            file.write(json.dumps(_captions_of(name, found), ensure_ascii=False) + "\n")


def _write_captions(path: Path, names: list[str], values: list[str]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = [_captions_of(name, found) for name, found in zip(names, values, strict=True)]
    with atomic_path(path) as temporary:
        parquet.write_table(pa.Table.from_pylist(rows), temporary)


def _read_npy(path: Path, record: Path) -> tuple[list[str], np.ndarray]:
    return read_json(record)["names"], np.load(path, mmap_mode="r", allow_pickle=False)


def _read_embeddings(path: Path, record: Path) -> tuple[list[str], np.ndarray]:
    from pyarrow import parquet

    table = parquet.read_table(path)
    shape = json.loads(table.schema.metadata[b"shape"])
    flat = table.column("embedding").combine_chunks().flatten().to_numpy()
    return table.column("name").to_pylist(), flat.reshape(-1, *shape)


def _read_jsonl(path: Path, record: Path) -> tuple[list[str], list[dict[str, Any]]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["picture"] for row in rows], [row["captions"] for row in rows]


def _read_captions(path: Path, record: Path) -> tuple[list[str], list[dict[str, Any]]]:
    from pyarrow import parquet

    rows = parquet.read_table(path).to_pylist()
    return [row["picture"] for row in rows], [row["captions"] for row in rows]


_WRITERS: dict[tuple[str, str], Callable[[Path, list[str], list[Any]], None]] = {
    ("embeddings", "npy"): _write_npy,
    ("embeddings", "parquet"): _write_embeddings,
    ("captions", "jsonl"): _write_jsonl,
    ("captions", "parquet"): _write_captions,
}
_READERS: dict[tuple[str, str], Callable[[Path, Path], tuple[list[str], Any]]] = {
    ("embeddings", "npy"): _read_npy,
    ("embeddings", "parquet"): _read_embeddings,
    ("captions", "jsonl"): _read_jsonl,
    ("captions", "parquet"): _read_captions,
}
