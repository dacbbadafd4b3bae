"""Zips of pictures are listed, read and sampled, and what is no such zip is named."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.archives import image_members, open_zip, read_member, sample_zip


def make_zip(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def test_members_are_the_pictures_in_the_order_of_the_zip(tmp_path):
    names = [
        "b.JPG",
        "a.png",
        "folder/",
        "folder/c.webp",
        "notes.txt",
        "__MACOSX/._b.jpg",
        ".hidden.png",
        "d.jpeg.part",
    ]
    path = make_zip(tmp_path / "a.zip", dict.fromkeys(names, b""))
    assert [member.filename for member in image_members(path)] == ["b.JPG", "a.png", "folder/c.webp"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_the_last_counts(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"old")
        archive.writestr("a.png", b"new")
    (member,) = image_members(path)
    with open_zip(path) as archive:
        assert read_member(archive, member) == b"new"


def test_what_is_no_zip_of_pictures_is_named(tmp_path):
    (tmp_path / "page.zip").write_text("<html>not found</html>")
    (tmp_path / "folder.zip").mkdir()
    make_zip(tmp_path / "empty.zip", {})
    make_zip(tmp_path / "texts.zip", {"a.txt": b"a"})
    for name in ("missing.zip", "page.zip", "folder.zip", "empty.zip", "texts.zip"):
        with pytest.raises(CourseError, match=name):
            image_members(tmp_path / name)


def test_a_member_with_a_wrong_checksum_is_named(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"a.png": b"some bytes"})
    path.write_bytes(path.read_bytes().replace(b"some bytes", b"some bites"))
    with open_zip(path) as archive, pytest.raises(CourseError, match=r"a\.png in .*a\.zip"):
        read_member(archive, archive.infolist()[0])


def test_a_sample_is_part_of_the_whole_in_order_and_the_same_for_the_same_seed(tmp_path):
    contents = {f"{i}.png": bytes([i]) for i in range(40)} | {"notes.txt": b""}
    whole = make_zip(tmp_path / "whole.zip", contents)
    samples = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        sample_zip(whole, tmp_path / name, rate=0.25, seed=seed)
        with open_zip(tmp_path / name) as archive:
            samples.append({member.filename: archive.read(member) for member in archive.infolist()})
    assert samples[0] == samples[1] != samples[2]
    for sample in samples:
        assert len(sample) == 10 and sample.items() <= contents.items()
        assert list(sample) == [name for name in contents if name in sample]


def test_a_sample_has_at_least_one_picture_and_a_sensible_rate(tmp_path):
    whole = make_zip(tmp_path / "whole.zip", {"a.png": b"a", "b.png": b"b"})
    sample_zip(whole, tmp_path / "sample.zip", rate=0.001)
    assert len(image_members(tmp_path / "sample.zip")) == 1
    for rate in (0, 1.5, -1):
        with pytest.raises(CourseError):
            sample_zip(whole, tmp_path / "other.zip", rate=rate)
    with pytest.raises(CourseError):
        sample_zip(tmp_path / "missing.zip", tmp_path / "other.zip")
    assert not (tmp_path / "other.zip").exists()
