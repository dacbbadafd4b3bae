"""Results on disk: a shard for each part of the sources, with a record beside it, and a manifest when all are there.

The record says what the shard was made from and which pictures could not be read, and has the shard's checksum: if both
match, the shard is complete and is not made again.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, read_json, read_note, sha256_of, write_json
from say_what_you_see.core.text import visible
from say_what_you_see.distributed.worker import Results

MANIFEST_FILE = "manifest.json"
FORMATS = {"embeddings": ("npy", "parquet"), "captions": ("jsonl", "parquet")}
"""The formats that shards can have, the default first."""

_FORMAT = 1
_NAMED = 20  # at most this many pictures that could not be read are named; the records name all


class ShardFolder:
    """A folder of results.

    Args:
        kind: "embeddings" or "captions".
        form: one of `FORMATS`.
        made_from: sources, model and options, which determine the results.
        parts: how many parts the sources have.
    """

    def __init__(self, folder: Path, kind: str, form: str, made_from: dict[str, Any], parts: int) -> None:
        self.folder, self.kind, self.form, self.made_from, self.parts = folder, kind, form, made_from, range(parts)
        text = json.dumps({"made_from": made_from, "kind": kind, "form": form}, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        for path in sorted(self.folder.glob("??????*.json"))[:1]:
            if read_note(path).get("made_from") not in (None, self.digest):
                raise CourseError(
                    f"{self.folder} holds results from other pictures, another model or other options, or the pictures "
                    "have changed since. Give another --output folder, or remove this one."
                )

    def missing(self) -> list[int]:
        """The numbers of the parts without a complete shard."""
        return [part for part in self.parts if not self._is_whole(part)]

    def write(self, part: int, results: Results, engine: str) -> None:
        """Write a shard, and its record once the shard is complete."""
        record = {
            "made_from": self.digest, "part": part, "engine": engine, "rows": len(results.names),
            "skipped": results.skipped,
        }  # fmt: skip
        if results.names:
            path = self._record_path(part).with_suffix(f".{self.form}")
            with atomic_path(path) as partial:
                _write(partial, self.kind, self.form, results)
            record |= {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
            if self.form == "npy":
                record["names"] = results.names
        write_json(record, self._record_path(part))

    def finish(self) -> None:
        """Write the manifest, and print what was made and which pictures could not be read."""
        shards, rows, skipped = [], 0, 0
        named: list[list[str]] = []
        for part in self.parts:
            record = read_json(self._record_path(part))
            kept = {key: record[key] for key in ("file", "rows", "bytes", "sha256", "engine") if key in record}
            shards.append({**kept, "record": self._record_path(part).name, "first_row": rows})
            rows, skipped = rows + record["rows"], skipped + len(record["skipped"])
            named += record["skipped"][: _NAMED - len(named)]
        if not rows:
            raise CourseError(f"None of the {skipped} pictures could be read; the records in {self.folder} say why.")
        manifest = {
            "format": _FORMAT, "kind": self.kind, "form": self.form, "rows": rows, "skipped": skipped,
            "made_from": self.made_from, "shards": shards,
        }  # fmt: skip
        write_json(manifest, self.folder / MANIFEST_FILE)
        self._report(manifest, named)

    def _report(self, manifest: dict[str, Any], named: list[list[str]]) -> None:
        if skipped := manifest["skipped"]:
            print(f"Skipped {skipped} of {manifest['rows'] + skipped} pictures.")
            print("\n".join(visible(f"  {name}: {reason}") for name, reason in named))
        if skipped > len(named):
            print(f"  and {skipped - len(named)} more, named in the records of the shards.")
        count = sum("file" in shard for shard in manifest["shards"])
        made = f"{self.kind.capitalize()}: {manifest['rows']} in {count} shards"
        print(visible(f"{made}, {self.folder / MANIFEST_FILE}"))

    def _record_path(self, part: int) -> Path:
        return self.folder / f"{part:06d}.json"

    def _is_whole(self, part: int) -> bool:
        record = read_note(self._record_path(part))
        if "file" not in record:
            return "rows" in record  # none of its pictures could be read
        path = self.folder / record["file"]
        return path.is_file() and sha256_of(path) == record["sha256"]


def read_shards(folder: str | Path) -> Iterator[tuple[list[str], Any]]:
    """The results of a folder, shard by shard: names, and embeddings (n, ...) or n lists of captions."""
    folder = Path(folder)
    if not (folder / MANIFEST_FILE).exists():
        raise CourseError(f"There is no {MANIFEST_FILE} in {folder}: the work is not finished. Start it again.")
    manifest = read_json(folder / MANIFEST_FILE)
    for shard in manifest["shards"]:
        if "file" in shard:
            yield _read(folder / shard["file"], manifest["kind"], manifest["form"], folder / shard["record"])


def _write(path: Path, kind: str, form: str, results: Results) -> None:
    if form == "npy":
        np.save(path, results.values)
        return
    if kind == "captions":
        pairs = zip(results.names, results.values, strict=True)
        rows = [{"picture": name, **captions[0], "captions": captions} for name, captions in pairs]
        if form == "jsonl":
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            return
    import pyarrow as pa
    from pyarrow import parquet

    if kind == "captions":
        table = pa.Table.from_pylist(rows)
    else:
        array = np.stack(results.values)
        flat = pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array[0].size)
        shape = {"shape": json.dumps(array.shape[1:])}
        table = pa.table({"name": results.names, "embedding": flat}, metadata=shape)
    parquet.write_table(table, path)


def _read(path: Path, kind: str, form: str, record: Path) -> tuple[list[str], Any]:
    if form == "npy":
        return read_json(record)["names"], np.load(path, mmap_mode="r", allow_pickle=False)
    if form == "jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [row["picture"] for row in rows], [row["captions"] for row in rows]
    from pyarrow import parquet

    table = parquet.read_table(path)
    if kind == "captions":
        return table.column("picture").to_pylist(), table.column("captions").to_pylist()
    shape = json.loads(table.schema.metadata[b"shape"])
    flat = table.column("embedding").combine_chunks().flatten().to_numpy()
    return table.column("name").to_pylist(), flat.reshape(-1, *shape)
