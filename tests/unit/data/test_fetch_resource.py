"""The table of resources: found, brought by hand, downloaded, mirrored, and checked."""

import hashlib
import json

import pytest
from download_server import Server, running, serve_folder

from say_what_you_see.commands.main import main
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import sha256_of
from say_what_you_see.core.settings import read_settings
from say_what_you_see.data import resources as downloads
from say_what_you_see.data.checksums import RECORD, sha256_of_file, verify
from say_what_you_see.data.mirror import make_mirror
from say_what_you_see.data.resources import Resource, fetch_resource

CONTENT = b"PK" + bytes(range(256)) * 40


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content).hexdigest()


@pytest.fixture
def server(monkeypatch, data_folder, no_proxy):
    """Serves the table of this test: files of two data sets, weights, and one given out on request."""
    monkeypatch.setattr("say_what_you_see.data.download.ATTEMPTS", 1)
    monkeypatch.delenv("COURSE_MIRROR", raising=False)
    with running(Server()) as server:
        server.files = {"/known.zip": CONTENT, "/text.zip": CONTENT[1:], "/w.h5": CONTENT[::-1]}
        table = (
            Resource("coco", "known.zip", (server.url,), len(CONTENT), md5(CONTENT), "free", "tests"),
            Resource("flickr8k", "text.zip", (server.url,), None, md5(CONTENT[1:]), "free", "tests"),
            Resource("weights", "w.h5", (server.url,), None, md5(CONTENT[::-1]), "free", "tests"),
            Resource("asked", "asked.zip", (), None, None, "none", "tests", page=f"{server.url}/page"),
        )  # fmt: skip
        monkeypatch.setattr(downloads, "RESOURCES", table)
        yield server


@pytest.mark.parametrize("place", [None, "data/coco/known.zip", "data/known.zip"])
def test_a_file_is_checked_once_and_used_again_at_once(server, tmp_path, data_folder, place, monkeypatch):
    """Whether it was downloaded or brought by hand."""
    if place:
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(CONTENT)
    path = fetch_resource("known.zip", data_folder / "coco")
    assert path == tmp_path / (place or "data/coco/known.zip") and path.read_bytes() == CONTENT
    entry = json.loads(path.with_name(RECORD).read_text())["known.zip"]
    assert entry["checksum"] == md5(CONTENT) and entry["bytes"] == len(CONTENT)
    monkeypatch.setattr("say_what_you_see.data.checksums.hash_file", lambda *_: pytest.fail("it was checked before"))
    assert fetch_resource("known.zip", data_folder / "coco") == path and len(server.requests) == (place is None)


def test_a_sha256_checksum_is_remembered_until_the_file_changes(tmp_path, monkeypatch):
    path = tmp_path / "known.zip"
    path.write_bytes(CONTENT)
    verify(path, f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")
    with monkeypatch.context() as patch:
        patch.setattr("say_what_you_see.data.checksums.hash_file", lambda *_: pytest.fail("it was read again"))
        assert sha256_of_file(path) == hashlib.sha256(CONTENT).hexdigest()
    path.write_bytes(CONTENT[::-1] + b"more")
    assert sha256_of_file(path) == hashlib.sha256(CONTENT[::-1] + b"more").hexdigest()


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[::-1]])
def test_a_wrong_file_that_replaced_the_right_one_is_named_and_stays(server, data_folder, content):
    path = fetch_resource("known.zip", data_folder / "coco")
    path.write_bytes(content)
    with pytest.raises(CourseError, match=r"known\.zip has"):
        fetch_resource("known.zip", data_folder / "coco")
    assert path.read_bytes() == content and len(server.requests) == 1


def test_what_is_given_out_on_request_is_not_asked_of_a_server(server, data_folder):
    with pytest.raises(CourseError, match=r"on request only.*/page.*asked\.zip"):
        fetch_resource("asked.zip", data_folder / "asked")
    assert server.requests == []


def test_a_damaged_record_counts_as_none(server, data_folder):
    path = fetch_resource("text.zip", data_folder / "flickr8k")
    path.with_name(RECORD).write_text("{")
    assert fetch_resource("text.zip", data_folder / "flickr8k") == path
    assert json.loads(path.with_name(RECORD).read_text())["text.zip"]["bytes"] == path.stat().st_size


# Mirrors


@pytest.fixture
def classroom(tmp_path):
    """Python's own web server for a folder, as a teacher starts it."""
    (tmp_path / "mirror").mkdir()
    with serve_folder(tmp_path / "mirror") as url:
        yield tmp_path / "mirror", url


def test_a_mirror_is_made_served_and_downloaded_from(server, classroom, data_folder, monkeypatch, capsys):
    folder, url = classroom
    assert main(["mirror", str(folder)]) == 0
    assert "COURSE_MIRROR=" in capsys.readouterr().out
    places = ["coco/known.zip", "flickr8k/text.zip", "w.h5"]
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {place: sha256_of(folder / place) for place in places}
    server.requests.clear()
    monkeypatch.setenv("COURSE_MIRROR", f"{url}/")
    for name, place in zip(("known.zip", "text.zip", "w.h5"), places, strict=True):
        assert main(["resources", name]) == 0
        assert (data_folder / place).read_bytes() == (folder / place).read_bytes()
    assert server.requests == [], "the publisher is left in peace"


def test_a_mirror_takes_what_the_data_folder_has_and_keeps_what_it_has(server, data_folder, tmp_path):
    settings = read_settings({"COURSE_DATA": str(data_folder)})
    fetch_resource("known.zip", data_folder / "coco")
    server.requests.clear()
    paths = make_mirror(tmp_path / "mirror", settings, ["coco"])
    assert [path.read_bytes() for path in paths] == [CONTENT] and server.requests == []
    (data_folder / "coco" / "known.zip").unlink()
    assert make_mirror(tmp_path / "mirror", settings, ["coco"]) == paths and server.requests == []
    with pytest.raises(CourseError, match="called cocoa.*coco, flickr8k, weights"):
        make_mirror(tmp_path / "mirror", settings, ["cocoa"])


def test_a_mirror_without_the_right_file_gives_way_to_the_publisher(server, classroom, data_folder, monkeypatch):
    folder, url = classroom
    (folder / "coco").mkdir()
    (folder / "coco" / "known.zip").write_bytes(CONTENT[::-1])
    monkeypatch.setenv("COURSE_MIRROR", url)
    assert fetch_resource("known.zip", data_folder / "coco").read_bytes() == CONTENT
    assert server.paths == ["/known.zip"]
