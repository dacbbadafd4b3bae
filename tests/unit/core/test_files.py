"""Files are whole or absent, and what goes wrong is explained."""

from __future__ import annotations

import pytest

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_folder, atomic_path, read_json, slug, write_json


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_file_or_folder_appears_only_when_whole(is_folder, tmp_path):
    path = tmp_path / "new" / "name.txt"
    atomic = atomic_folder if is_folder else atomic_path

    def write(temporary, text):
        (temporary / "part" if is_folder else temporary).write_text(text)

    with atomic(path) as temporary:
        write(temporary, "first")
        assert not path.exists() and (temporary.parent, temporary.suffix) == (path.parent, path.suffix)
    with pytest.raises(KeyboardInterrupt), atomic(path) as temporary:
        write(temporary, "half")
        raise KeyboardInterrupt
    assert (path / "part" if is_folder else path).read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_process_left_goes_when_the_next_one_writes(tmp_path):
    left, others = tmp_path / ".part-0123abcd-data.json", tmp_path / ".part-of-mine.json"
    left.write_text("half")
    others.write_text("whole")
    write_json([], tmp_path / "data.json")
    assert not left.exists() and others.exists()


def test_what_others_are_writing_stays(tmp_path):
    with atomic_path(tmp_path / "slow.txt") as temporary:
        temporary.write_text("half")
        write_json([], tmp_path / "quick.json")
        assert temporary.exists()


def test_json_errors_name_the_file(tmp_path):
    (tmp_path / "half.json").write_text('{"a": ')
    for name in ("half.json", "missing.json"):
        with pytest.raises(CourseError, match=name):
            read_json(tmp_path / name)


@pytest.mark.parametrize(("text", "expected"), [("My Photos (2)", "my_photos_2"), ("été", "ete"), ("../..", "unnamed")])
def test_slug(text, expected):
    assert slug(text) == expected
