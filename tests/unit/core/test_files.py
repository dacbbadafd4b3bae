"""Files are whole or absent, and what goes wrong is explained."""

import os

import pytest

from say_what_you_see.core import files
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import (
    atomic_folder,
    atomic_path,
    make_folder,
    read_bytes,
    read_json,
    slug,
    write_json,
)


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


def test_what_others_are_writing_stays(tmp_path):
    with atomic_path(tmp_path / "slow.txt") as temporary:
        temporary.write_text("half")
        write_json([], tmp_path / "quick.json")
        assert temporary.exists()


@pytest.mark.parametrize("text", ["[" + "[]," * 400 + "[]]", '{"a": "' + "x" * 2000 + '"}', "[" + "0," * 999 + "0]"])
def test_json_of_too_many_bytes_or_values_is_not_parsed(text, tmp_path, monkeypatch):
    (tmp_path / "large.json").write_text(text)
    monkeypatch.setattr(files.json, "loads", pytest.fail)
    with pytest.raises(CourseError, match=r"large\.json"):
        read_json(tmp_path / "large.json", limit=2000)


@pytest.mark.parametrize("size", [1, 200_000])
def test_bytes_are_read_up_to_a_limit(size, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"a" * size)
    assert read_bytes(tmp_path / "a.jpg", size) == b"a" * size
    with pytest.raises(CourseError, match=r"a\.jpg is too large"):
        read_bytes(tmp_path / "a.jpg", size - 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_devices_and_silent_pipes_are_refused_and_pipes_with_something_in_them_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIPE_SECONDS", 0)
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, reason in ((tmp_path / "pipe.jpg", "a pipe that delivered nothing"), ("/dev/zero", "a device")):
        with pytest.raises(CourseError, match=reason):
            read_bytes(path, 100)
    monkeypatch.setattr(files, "PIPE_SECONDS", 60)
    reading, writing = os.pipe()
    os.write(writing, b"a picture")
    os.close(writing)
    assert read_bytes(f"/dev/fd/{reading}", 100) == b"a picture"
    os.close(reading)


@pytest.mark.parametrize(("text", "expected"), [("My Photos (2)", "my_photos_2"), ("été", "ete"), ("../..", "unnamed")])
def test_slug(text, expected):
    assert slug(text) == expected


KILLED_WITHIN = """
import os, signal, sys
from say_what_you_see.core.files import atomic_folder
with atomic_folder(sys.argv[1]) as temporary:
    (temporary / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills by a signal")
def test_what_a_killed_process_left_goes_when_the_next_one_writes(tmp_path, run_python):
    (tmp_path / ".part-0123abcd-data.json").write_text("half")
    (tmp_path / ".part-of-mine.json").write_text("whole")
    (tmp_path / ".part-89abcdef-link").symlink_to(tmp_path / ".part-of-mine.json")
    killed = run_python(KILLED_WITHIN, tmp_path / "made", check=False)
    assert killed.returncode == -9 and len(list(tmp_path.iterdir())) == 3
    with atomic_folder(tmp_path / "made") as temporary:
        assert list(temporary.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {".part-of-mine.json", ".part-89abcdef-link", "made"}


def test_what_is_in_the_way_is_named_and_left(tmp_path):
    (tmp_path / "data.json" / "inside").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CourseError, match=r"data\.json is a folder"):
        write_json([1], tmp_path / "data.json")
    for write in (lambda: write_json([1], tmp_path / "file" / "data.json"), lambda: make_folder(tmp_path / "file")):
        with pytest.raises(CourseError, match="file"):
            write()
    assert (tmp_path / "data.json" / "inside").is_dir() and (tmp_path / "file").read_text() == "mine"
