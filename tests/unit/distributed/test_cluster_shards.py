"""Shards: whole or made again, with a manifest; and the blocks that they are made from. Nothing here starts Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="reading these sources takes requirements-ray.txt")

from cluster_samples import REPOSITORY, SIDE, jpegs, write_tar, write_zip

from say_what_you_see.core.errors import CourseError
from say_what_you_see.distributed import pipeline
from say_what_you_see.distributed.pipeline import END, PICTURE, UNREADABLE, BlockReader
from say_what_you_see.distributed.shards import FORMATS, MANIFEST_FILE, ShardPlan, ShardWriter, read_shards
from say_what_you_see.distributed.sources import Part, find_sources
from say_what_you_see.vision.pictures import crop_and_resize

PICTURES = jpegs(45)
BAD = [7, 13]
KINDS = [(kind, form) for kind, forms in FORMATS.items() for form in forms]


def shard_plan(folder: Path, kind: str = "embeddings", form: str = "npy", **facts) -> ShardPlan:
    return ShardPlan(folder, kind, form, {"sources": "some", **facts}, size=8)


@pytest.fixture(params=["zip", "tar"])
def parts(request, tmp_path) -> list[Part]:
    write = {"zip": write_zip, "tar": write_tar}[request.param]
    return find_sources([str(write(tmp_path / f"p.{request.param}", PICTURES))], 20).parts


def blocks_of(part: Part, batch_size: int = 4) -> list[dict]:
    """Blocks as the workers give them back: the 'embedding' is the mean colour, the caption tells the red of it."""
    blocks = []
    for block in BlockReader((SIDE, SIDE), batch_size).blocks(part):
        pixels = block.pop("pixels").astype("float32")
        block["embedding"] = pixels.mean(axis=(1, 2))
        block["captions"] = np.array([json.dumps([[f"red {red}", 0.5]]) for red in pixels.mean(axis=(1, 2))[:, 0]])
        blocks.append(block)
    return blocks


def expected() -> tuple[list[str], np.ndarray]:
    good = [picture for index, picture in enumerate(PICTURES) if index not in BAD]
    return [name for name, _ in good], np.stack([crop_and_resize(data, (SIDE, SIDE)).mean((0, 1)) for _, data in good])


def write(writer: ShardWriter, parts: list[Part], most: int | None = None) -> list[int]:
    """Write what is missing, or stop after so many blocks as a killed run does; returns the parts that were begun."""
    begun = []
    for part in writer.missing(parts):
        begun.append(part.index)
        writer.begin(part)
        for block in blocks_of(part):
            if most == 0:
                return begun
            writer.add(block, {"embeddings": "embedding", "captions": "captions"}[writer.plan.kind])
            most = most - 1 if most else None
    writer.finish(parts)
    return begun


def read_back(folder: Path) -> tuple[list[str], list]:
    shards = list(read_shards(folder))
    return [name for names, _ in shards for name in names], [row for _, rows in shards for row in rows]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(pipeline, "BLOCK_PICTURES", 8)


def test_blocks_have_whole_batches_and_end_with_a_row_that_says_so(parts):
    for part in parts:
        blocks = list(BlockReader((SIDE, SIDE), 4).blocks(part))
        assert [len(block["state"]) for block in blocks[:-1]] == [8] * (len(blocks) - 1)
        states = np.concatenate([block["state"] for block in blocks])
        assert states[-1] == END and set(states[:-1].tolist()) <= {PICTURE, UNREADABLE}
    reasons = [reason for part in parts for block in blocks_of(part) for reason in block["reason"] if reason]
    assert reasons == ["the file is no picture of a known format", "the file is truncated"]


def test_readers_do_without_keras():
    program = (
        "import sys, say_what_you_see.distributed.pipeline; sys.exit(bool({'keras', 'tensorflow'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY).returncode == 0


@pytest.mark.parametrize(("kind", "form"), KINDS)
def test_shards_hold_all_pictures_in_order(parts, tmp_path, kind, form):
    writer = ShardWriter(shard_plan(tmp_path / "out", kind, form))
    write(writer, parts)
    names, rows = read_back(tmp_path / "out")
    expected_names, means = expected()
    assert names == expected_names
    if kind == "embeddings":
        np.testing.assert_allclose(np.stack(rows), means, rtol=1e-5)
    else:
        assert [float(row[0]["caption"].removeprefix("red ")) for row in rows] == pytest.approx(means[:, 0].tolist())
    assert [name for name, _ in writer.skipped(parts)] == [PICTURES[index][0] for index in BAD]


def test_the_manifest_counts_and_has_checksums(parts, tmp_path):
    write(ShardWriter(shard_plan(tmp_path / "out")), parts)
    manifest = json.loads((tmp_path / "out" / MANIFEST_FILE).read_text())
    assert (manifest["rows"], manifest["skipped"], manifest["made_from"]) == (43, 2, {"sources": "some"})
    assert [shard["first_row"] for shard in manifest["shards"]] == np.cumsum(
        [0, *(shard["rows"] for shard in manifest["shards"][:-1])]
    ).tolist()
    assert all(len(shard["sha256"]) == 64 for shard in manifest["shards"])
    assert max(shard["rows"] for shard in manifest["shards"]) == 8


@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 4, 5])
def test_a_run_that_was_killed_goes_on_after_the_last_whole_shard(parts, tmp_path, blocks):
    folder = tmp_path / "out"
    write(ShardWriter(shard_plan(folder)), parts, most=blocks)
    assert not (folder / MANIFEST_FILE).exists()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    write(ShardWriter(shard_plan(folder)), parts)
    names, rows = read_back(folder)
    expected_names, means = expected()
    assert names == expected_names
    np.testing.assert_allclose(np.stack(rows), means, rtol=1e-5)
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before, "whole shards were made again"


def test_nothing_is_read_again_when_all_is_done(parts, tmp_path):
    write(ShardWriter(shard_plan(tmp_path / "out")), parts)
    assert write(ShardWriter(shard_plan(tmp_path / "out")), parts) == []


@pytest.mark.parametrize("damage", ["cut", "gone", "other bytes", "record cut"])
def test_a_shard_that_is_not_whole_is_made_again(parts, tmp_path, damage):
    folder = tmp_path / "out"
    write(ShardWriter(shard_plan(folder)), parts)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    path = folder / "000000-0001.npy"
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "record cut":
        path.with_suffix(".json").write_text('{"made_')
    else:
        path.write_bytes(data[:-5] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    assert write(ShardWriter(shard_plan(folder)), parts) == [0]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_results_of_something_else_are_left_alone(parts, tmp_path):
    write(ShardWriter(shard_plan(tmp_path / "out")), parts)
    with pytest.raises(CourseError, match="of another model or other options"):
        ShardWriter(shard_plan(tmp_path / "out", weights="others"))


def test_parts_without_a_readable_picture_are_done_too(tmp_path):
    parts = find_sources([str(write_tar(tmp_path / "none.tar", []))], 8).parts
    parts += find_sources([str(write_zip(tmp_path / "bad.zip", [("a.jpg", b"x"), ("b.jpg", b"y")]))], 8).parts[:0]
    writer = ShardWriter(shard_plan(tmp_path / "out"))
    with pytest.raises(CourseError, match="None of the 0 pictures could be read"):
        write(writer, parts)
    assert writer.missing(parts) == []


def test_unfinished_work_is_not_read(parts, tmp_path):
    write(ShardWriter(shard_plan(tmp_path / "out")), parts, most=2)
    with pytest.raises(CourseError, match="not finished"):
        list(read_shards(tmp_path / "out"))
