"""Parts of folders, zips, tars and Parquet files: all pictures, once, in order."""

import pickle
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="reading these sources takes requirements-ray.txt")

import pyarrow as pa
from cluster_samples import jpegs, write_folder, write_parquet, write_tar
from hostile_files import write_zip
from pyarrow import fs, parquet

from say_what_you_see.core.errors import CourseError
from say_what_you_see.distributed import sources
from say_what_you_see.distributed.sources import find_parts, pictures_of

PICTURES = jpegs(45)
WRITERS = {"zip": write_zip, "tar": write_tar, "folder": write_folder, "parquet": write_parquet}


@pytest.fixture(params=WRITERS)
def source(request, tmp_path) -> Path:
    name = "pictures" if request.param == "folder" else f"pictures.{request.param}"
    return WRITERS[request.param](tmp_path / name, PICTURES)


def read_all(inputs: list[Path | str], part_size: int = 8, **options) -> list[tuple[str, bytes]]:
    parts, _ = find_parts([str(each) for each in inputs], part_size, **options)
    return [(name, data) for part in parts for name, data in pictures_of(pickle.loads(pickle.dumps(part)))]


def test_every_picture_comes_once_and_in_order_also_from_an_address(source, monkeypatch):
    parts, _ = find_parts([str(source)], 8)
    assert len(parts) > 3 or parts[0].kind == "tar"
    assert all(part.pictures is None or 0 < part.pictures <= 8 for part in parts)
    assert read_all([source]) == PICTURES
    bucket = fs.SubTreeFileSystem(str(source.parent), fs.LocalFileSystem())
    monkeypatch.setattr(sources, "open_filesystem", lambda address: (bucket, address.removeprefix("s3://bucket/")))
    assert read_all([f"s3://bucket/{source.name}"]) == PICTURES


def test_of_a_folder_shards_and_pictures_below_it_are_taken_in_natural_order(tmp_path):
    folder = tmp_path / "all"
    write_folder(folder / "sub", PICTURES[6:8])
    for name, pictures in (("shard10.tar", PICTURES[3:6]), ("shard9.tar", PICTURES[:3])):
        write_tar(folder / name, pictures)
    write_folder(folder / ".hidden", PICTURES[:1])
    assert read_all([folder]) == [*PICTURES[:6], *((f"sub/{name}", data) for name, data in PICTURES[6:8])]


def test_columns_can_be_named(tmp_path):
    names, data = zip(*PICTURES[:3], strict=True)
    columns = {"thumb": [b"x"] * 3, "big": data, "name": ["a", "b", "c"], "code": names}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert read_all([tmp_path / "a.parquet"], columns=("big", "code")) == PICTURES[:3]
    with pytest.raises(CourseError, match="columns thumb, big, name, code, of which thumb, big hold bytes"):
        find_parts([str(tmp_path / "a.parquet")], 8, columns=("name", ""))


@pytest.mark.parametrize(("cut", "whole"), [("in a picture", 3), ("in a header", 3), ("in a header", 0)])
def test_a_tar_that_is_cut_off_or_damaged_says_so_in_place_of_the_next_picture(tmp_path, cut, whole):
    path = write_tar(tmp_path / "a.tar", PICTURES[:5])
    data = bytearray(path.read_bytes())
    header = data.index(PICTURES[whole][0].encode())
    if cut == "in a picture":
        del data[header + 700 :]
    else:
        data[header : header + 400] = b"\xff" * 400
    path.write_bytes(data)
    [part], _ = find_parts([str(path)], 8)
    found = list(pictures_of(part))
    assert [name for name, _ in found] == [name for name, _ in PICTURES[:whole]] + ["a.tar"]
    assert "damaged" in str(found[-1][1])


def test_a_source_that_a_node_does_not_see_is_an_error_of_the_run(source):
    [part, *_], _ = find_parts([str(source)], 8)
    source.rename(source.with_name("elsewhere"))
    with pytest.raises(CourseError, match="All machines of the cluster must see the pictures"):
        list(pictures_of(part))


def test_what_changed_shows(source):
    before = find_parts([str(source)], 8)
    assert find_parts([str(source)], 8) == before
    if source.is_dir():
        (source / PICTURES[0][0]).unlink()
    else:
        WRITERS[source.suffix.lstrip(".")](source, PICTURES[1:])
    assert find_parts([str(source)], 8)[1] != before[1]


@pytest.mark.parametrize(("name", "message"), [
    ("a.tar.gz", "compressed tar"), ("a.txt", "neither a folder nor"), ("a.zip", "not a zip file"),
    ("a.parquet", "not a complete Parquet file"), ("missing/a.zip", "nothing at"),
])  # fmt: skip
def test_what_cannot_be_read_is_explained(tmp_path, name, message):
    if "/" not in name:
        (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(CourseError, match=message):
        find_parts([str(tmp_path / name)], 8)
