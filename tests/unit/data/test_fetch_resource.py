"""The table of resources: found, brought by hand, downloaded, mirrored, checked, and pinned where nobody says how."""

import hashlib
import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from download_server import running_server, serve_folder
from hostile_files import write_zip

from say_what_you_see.commands.main import main
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import sha256_of
from say_what_you_see.core.pickles import save_pickle
from say_what_you_see.core.settings import read_settings
from say_what_you_see.data import resources as downloads
from say_what_you_see.data.checksums import RECORD
from say_what_you_see.data.contents import check_array, check_members, check_names, check_pictures
from say_what_you_see.data.mirror import make_mirror
from say_what_you_see.data.resources import Resource, fetch_resource

CONTENT = b"PK" + bytes(range(256)) * 40
ARRAY = np.arange(12, dtype="float32").reshape(3, 4)


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content).hexdigest()


@pytest.fixture
def server(monkeypatch, tmp_path, no_proxy):
    """Serves the table of this test: a file with a checksum, one without, weights, and one given out on request."""
    monkeypatch.setattr("say_what_you_see.data.download.ATTEMPTS", 1)
    monkeypatch.delenv("COURSE_MIRROR", raising=False)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    with running_server() as server:
        server.files = {"/known.zip": CONTENT, "/embeds.pickle": pickle.dumps(ARRAY), "/w.h5": CONTENT[::-1]}
        contents = partial(check_array, shape=(3, 4), dtype="float32")
        table = (
            Resource("coco", "known.zip", f"{server.url}/known.zip", len(CONTENT), md5(CONTENT), "free", "tests"),
            Resource("field", "embeds.pickle", f"{server.url}/embeds.pickle", None, None, "free", "tests",
                     check_contents=contents),
            Resource("weights", "w.h5", f"{server.url}/w.h5", None, md5(CONTENT[::-1]), "free", "tests"),
            Resource("asked", "asked.zip", f"{server.url}/page", None, None, "none", "tests", by_request=True),
        )  # fmt: skip
        monkeypatch.setattr(downloads, "RESOURCES", table)
        yield server


@pytest.fixture
def data(tmp_path) -> Path:
    return tmp_path / "data"


# With a checksum


@pytest.mark.parametrize("place", [None, "data/coco/known.zip", "data/known.zip"])
def test_a_file_is_checked_once_and_used_again_at_once(server, tmp_path, data, place, monkeypatch):
    """Whether it was downloaded or brought by hand."""
    if place:
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(CONTENT)
    path = fetch_resource("known.zip", data / "coco")
    assert path == tmp_path / (place or "data/coco/known.zip") and path.read_bytes() == CONTENT
    entry = json.loads(path.with_name(RECORD).read_text())["known.zip"]
    assert entry["checksum"] == md5(CONTENT) and entry["bytes"] == len(CONTENT)
    monkeypatch.setattr("say_what_you_see.data.checksums.hash_file", lambda *_: pytest.fail("it was checked before"))
    assert fetch_resource("known.zip", data / "coco") == path and len(server.requests) == (place is None)


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[::-1]])
def test_a_wrong_file_that_replaced_the_right_one_is_named_and_stays(server, data, content):
    path = fetch_resource("known.zip", data / "coco")
    path.write_bytes(content)
    with pytest.raises(CourseError, match=r"known\.zip has"):
        fetch_resource("known.zip", data / "coco")
    assert path.read_bytes() == content and len(server.requests) == 1


def test_what_is_given_out_on_request_is_not_asked_of_a_server(server, data):
    with pytest.raises(CourseError, match=r"on request only.*/page.*asked\.zip"):
        fetch_resource("asked.zip", data / "asked")
    assert server.requests == []


# Without a checksum


def test_the_first_copy_is_checked_pinned_and_said(server, data, capsys):
    path = fetch_resource("embeds.pickle", data / "field")
    text = capsys.readouterr().out
    assert "Nobody has published a checksum of embeds.pickle" in text and "(3, 4), float32" in text
    assert sha256_of(path) in text and RECORD in text
    fetch_resource("embeds.pickle", data / "field")
    assert capsys.readouterr().out == "", "said once"


@pytest.mark.parametrize("by_hand", [True, False])
def test_another_copy_must_equal_the_pinned_one(server, data, by_hand, capsys):
    path = fetch_resource("embeds.pickle", data / "field")
    first, other = path.read_bytes(), pickle.dumps(ARRAY + 1)
    capsys.readouterr()

    def bring(content: bytes) -> None:
        path.unlink(missing_ok=True)
        server.files["/embeds.pickle"] = content
        if by_hand:
            path.write_bytes(content)

    bring(other)
    with pytest.raises(CourseError, match="instead of sha256:" + hashlib.sha256(first).hexdigest()):
        fetch_resource("embeds.pickle", data / "field")
    bring(first)
    assert fetch_resource("embeds.pickle", data / "field").read_bytes() == first
    assert capsys.readouterr().out == "", "said once"


@pytest.mark.parametrize("wrong", [
    ARRAY[:2], ARRAY.astype("float64"), ARRAY.tolist(), np.full((3, 4), np.nan, "float32"), {"a": 1},
], ids=["shape", "dtype", "list", "nan", "dictionary"])  # fmt: skip
def test_a_download_that_holds_something_else_is_not_kept(server, data, wrong):
    server.files["/embeds.pickle"] = pickle.dumps(wrong)
    with pytest.raises(CourseError, match=r"embeds\.pickle holds .*removed"):
        fetch_resource("embeds.pickle", data / "field")
    assert not (data / "field" / "embeds.pickle").exists() and not (data / "field" / RECORD).exists()


def test_a_pickle_that_would_run_a_program_does_not(server, data):
    server.files["/embeds.pickle"] = b"cos\nsystem\n(S'touch " + str(data).encode() + b"/ran'\ntR."
    with pytest.raises(CourseError, match="could run a program"):
        fetch_resource("embeds.pickle", data / "field")
    assert not (data / "ran").exists()


def test_a_damaged_record_counts_as_none(server, data):
    path = fetch_resource("embeds.pickle", data / "field")
    path.with_name(RECORD).write_text("{")
    assert fetch_resource("embeds.pickle", data / "field") == path
    assert json.loads(path.with_name(RECORD).read_text())["embeds.pickle"]["bytes"] == path.stat().st_size


def test_names_pictures_and_members_are_checked(tmp_path):
    pattern = r"COCO_val2014_\d{12}\.jpg"
    names = [f"COCO_val2014_{number:012}.jpg" for number in range(3)]
    save_pickle(names, tmp_path / "names.pickle")
    assert check_names(tmp_path / "names.pickle", 3, pattern) == "3 file names"
    for wrong in (names[:2], [*names[:2], names[0]], [*names[:2], "../x.jpg"], tuple(names), [1, 2, 3]):
        save_pickle(wrong, tmp_path / "wrong.pickle")
        with pytest.raises(CourseError, match="names of 3 pictures"):
            check_names(tmp_path / "wrong.pickle", 3, pattern)
    path = write_zip(tmp_path / "sample.zip", {f"val2014/{name}": b"picture " * 9 for name in names})
    assert check_pictures(path, pattern) == "a whole zip of 3 pictures"
    assert "a whole zip" in check_members(path, [f"val2014/{names[0]}"])
    with pytest.raises(CourseError, match="lacks captions.json"):
        check_members(path, ["captions.json"])
    path.write_bytes(path.read_bytes().replace(b"picture ", b"pictur? ", 1))
    with pytest.raises(CourseError, match="damaged zip"):
        check_pictures(path, pattern)
    with pytest.raises(CourseError, match="0 pictures"):
        check_pictures(write_zip(tmp_path / "other.zip", {"run.sh": b""}), pattern)


# Mirrors


@pytest.fixture
def classroom(tmp_path):
    """Python's own web server for a folder, as a teacher starts it."""
    (tmp_path / "mirror").mkdir()
    with serve_folder(tmp_path / "mirror") as url:
        yield tmp_path / "mirror", url


def test_a_mirror_is_made_served_and_downloaded_from(server, classroom, data, monkeypatch, capsys):
    folder, url = classroom
    assert main(["mirror", str(folder)]) == 0
    assert "COURSE_MIRROR=" in capsys.readouterr().out
    places = ["coco/known.zip", "field/embeds.pickle", "w.h5"]
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {place: sha256_of(folder / place) for place in places}
    server.requests.clear()
    monkeypatch.setenv("COURSE_MIRROR", f"{url}/")
    for name, place in zip(("known.zip", "embeds.pickle", "w.h5"), places, strict=True):
        assert main(["resources", name]) == 0
        assert (data / place).read_bytes() == (folder / place).read_bytes()
    assert server.requests == [], "the publisher is left in peace"


def test_a_mirror_takes_what_the_data_folder_has_and_keeps_what_it_has(server, data, tmp_path):
    settings = read_settings({"COURSE_DATA": str(data)})
    fetch_resource("known.zip", data / "coco")
    server.requests.clear()
    paths = make_mirror(tmp_path / "mirror", settings, ["coco"])
    assert [path.read_bytes() for path in paths] == [CONTENT] and server.requests == []
    (data / "coco" / "known.zip").unlink()
    assert make_mirror(tmp_path / "mirror", settings, ["coco"]) == paths and server.requests == []
    with pytest.raises(CourseError, match="called cocoa.*coco, field, weights"):
        make_mirror(tmp_path / "mirror", settings, ["cocoa"])


@pytest.mark.parametrize("wrong", ["missing", "other bytes"])
def test_a_mirror_without_the_right_file_gives_way_to_the_publisher(server, classroom, data, monkeypatch, wrong):
    folder, url = classroom
    if wrong == "other bytes":
        (folder / "coco").mkdir()
        (folder / "coco" / "known.zip").write_bytes(CONTENT[::-1])
    monkeypatch.setenv("COURSE_MIRROR", url)
    assert fetch_resource("known.zip", data / "coco").read_bytes() == CONTENT
    assert [path for path, *_ in server.requests] == ["/known.zip"]
