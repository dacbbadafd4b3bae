"""Zips of pictures are listed, read and sampled, and what is no such zip is named."""

import pytest
from hostile_files import write_zip

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.archives import image_members, open_zip, sample_zip


def test_members_are_the_pictures_in_the_order_of_the_zip(tmp_path):
    pictures = ["b.JPG", "a.png", "folder/c.webp"]
    others = ["folder/", "notes.txt", "__MACOSX/._b.jpg", ".hidden.png", "d.jpeg.part"]
    path = write_zip(tmp_path / "a.zip", dict.fromkeys([*others[:2], *pictures, *others[2:]], b""))
    assert [member.filename for member in image_members(path)] == pictures


def test_what_is_no_zip_of_pictures_is_named(tmp_path):
    (tmp_path / "page.zip").write_text("<html>not found</html>")
    (tmp_path / "folder.zip").mkdir()
    write_zip(tmp_path / "empty.zip", {})
    write_zip(tmp_path / "texts.zip", {"a.txt": b"a"})
    for name in ("missing.zip", "page.zip", "folder.zip", "empty.zip", "texts.zip"):
        with pytest.raises(CourseError, match=name):
            image_members(tmp_path / name)


def test_a_sample_is_part_of_the_whole_in_order_and_the_same_for_the_same_seed(tmp_path):
    contents = {f"{i}.png": bytes([i]) for i in range(40)} | {"notes.txt": b""}
    whole = write_zip(tmp_path / "whole.zip", contents)
    samples = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        sample_zip(whole, tmp_path / name, rate=0.25, seed=seed)
        with open_zip(tmp_path / name) as archive:
            samples.append({member.filename: archive.read(member) for member in archive.infolist()})
    assert samples[0] == samples[1] != samples[2]
    for sample in samples:
        assert len(sample) == 10 and sample.items() <= contents.items()
        assert list(sample) == [name for name in contents if name in sample]


def test_a_sample_has_at_least_one_picture_and_a_rate_that_is_no_fraction_is_refused(tmp_path):
    whole = write_zip(tmp_path / "whole.zip", {"a.png": b"a", "b.png": b"b"})
    sample_zip(whole, tmp_path / "sample.zip", rate=0.001)
    assert len(image_members(tmp_path / "sample.zip")) == 1
    for rate in (0, 1.5):
        with pytest.raises(CourseError, match=f"not {rate}"):
            sample_zip(whole, tmp_path / "sample.zip", rate=rate)
