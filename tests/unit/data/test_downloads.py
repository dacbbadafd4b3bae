"""Downloads, from a server on this machine that can be told to misbehave."""

from __future__ import annotations

import hashlib
import json
import threading
import time

import pytest
from download_server import running_server

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data import resources as downloads
from say_what_you_see.data.fetching import fetch, partial_file, requesting, transfer
from say_what_you_see.data.resources import download

BLOCK = 10_000
CONTENT = b"".join(hashlib.sha256(bytes([number % 256, number // 256])).digest() for number in range(3_200))
OTHER = CONTENT[::-1]
SIZE = len(CONTENT)  # 102,400 bytes, 11 blocks


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


CHECKSUM = sha256(CONTENT)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(partial_file, "BLOCK", BLOCK)
    monkeypatch.setattr(requesting, "CHUNK", 500)
    monkeypatch.setattr(transfer, "_TICK", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "COURSE_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    with running_server() as server:
        server.files = {"/file": CONTENT, "/same": CONTENT, "/other": OTHER}
        server.etags = {"/file": ['"one"']}
        yield server


def files_in(folder):
    """The names in a folder, but for the lock, an empty file that stays until the download is whole."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".file.zip.lock")


def whole(folder):
    """Whether the file is there, right, and nothing beside it, not even the lock."""
    names = [path.name for path in folder.iterdir()]
    return names == ["file.zip"] and (folder / "file.zip").read_bytes() == CONTENT


# Undisturbed


def test_a_whole_download_is_made_once(server, tmp_path):
    path = tmp_path / "new" / "file.zip"
    for _ in range(2):
        assert download(f"{server.url}/file", path, bytes=SIZE, checksum=CHECKSUM) == path
        assert len(server.requests) == 11
    assert whole(path.parent)


def test_several_connections_bring_the_same_bytes(server, tmp_path):
    server.faults.bytes_per_second = 100_000
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)
    assert server.most_active == transfer.CONNECTIONS
    assert len(server.ranges) == len(set(server.ranges)) == 11
    assert server.bytes_sent == SIZE, "no byte twice"


@pytest.mark.parametrize("algorithm", [None, "md5"])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("content", [b"", b"x", CONTENT[:BLOCK], CONTENT[: BLOCK + 1], CONTENT])
def test_any_length_comes_whole(server, tmp_path, content, ranges, algorithm):
    server.files["/file"], server.faults.knows_ranges = content, ranges
    checksum = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}" if algorithm else None
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=checksum)
    assert files_in(tmp_path) == ["file.zip"] and (tmp_path / "file.zip").read_bytes() == content


def test_redirects_are_followed(server, tmp_path):
    download(f"{server.url}/jump", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)
    assert ("/file", f"bytes=0-{BLOCK - 1}", None) in server.requests


# Interrupted, and continued


def test_cut_connections_are_resumed_at_the_byte(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "CONNECTIONS", 1)
    server.faults.cut_after = [1000, 500]
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)
    assert server.requests[:3] == [
        ("/file", "bytes=0-9999", None),
        ("/file", "bytes=1000-9999", '"one"'),
        ("/file", "bytes=1500-9999", '"one"'),
    ]


def test_many_cut_connections_lose_little(server, tmp_path):
    server.faults.cut_after = [3000, 2500, 700, 1500, 9000] * 8
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)
    assert server.bytes_sent <= SIZE + 40 * requesting.CHUNK


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_never_brings_anything_is_given_up(server, tmp_path, ranges):
    server.faults.knows_ranges, server.faults.cut_after = ranges, [0] * 1000
    with pytest.raises(CourseError, match="breaks off.*goes on where it stopped"):
        download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert len(server.requests) <= 3 * transfer.CONNECTIONS


def test_a_server_that_always_starts_over_is_given_up(server, tmp_path):
    server.faults.knows_ranges, server.faults.cut_after = False, [1000] * 1000
    with pytest.raises(CourseError, match="breaks off"):
        download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert len(server.requests) < 10


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.faults.knows_ranges, server.faults.cut_after = False, [1000]
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)
    assert len(server.requests) == 2


def bytes_asked_for(server):
    """How many bytes the ranges of all requests make together."""
    spans = [wanted.removeprefix("bytes=").split("-") for wanted in server.ranges]
    return sum(min(int(last) + 1, SIZE) - int(first) for first, last in spans)


def interrupted(server, path, monkeypatch, checksum=CHECKSUM, url="/file"):
    """Begin a download and press Ctrl-C when about half of it is there; how many bytes are."""
    server.faults.bytes_per_second = 200_000
    with monkeypatch.context() as patch:

        def look(self, bar):
            if self._part.n_done > SIZE // 2:
                raise KeyboardInterrupt

        patch.setattr(transfer.Transfer, "_look", look)
        with pytest.raises(KeyboardInterrupt):
            download(f"{server.url}{url}", path, checksum=checksum)
    server.faults.bytes_per_second = None
    server.requests.clear()
    return sum(json.loads((path.parent / "file.zip.part.json").read_text())["done"])


@pytest.mark.parametrize("checksum", [None, CHECKSUM])
def test_an_earlier_run_is_continued(server, tmp_path, monkeypatch, checksum):
    here = interrupted(server, tmp_path / "file.zip", monkeypatch, checksum)
    assert files_in(tmp_path) == ["file.zip.part", "file.zip.part.json"]
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=checksum)
    assert whole(tmp_path)
    assert here > SIZE // 2 and bytes_asked_for(server) == SIZE - here
    assert all(condition == '"one"' for _, _, condition in server.requests)


def test_another_source_continues_where_a_checksum_tells(server, tmp_path, monkeypatch):
    here = interrupted(server, tmp_path / "file.zip", monkeypatch)
    download(f"{server.url}/same", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path) and bytes_asked_for(server) == SIZE - here


def test_another_source_starts_over_where_no_checksum_tells(server, tmp_path, monkeypatch):
    interrupted(server, tmp_path / "file.zip", monkeypatch, None)
    download(f"{server.url}/other", tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == OTHER


def test_a_beginning_of_the_wrong_file_is_noticed_and_thrown_away(server, tmp_path, monkeypatch):
    interrupted(server, tmp_path / "file.zip", monkeypatch, url="/other")
    download(f"{server.url}/same", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)


@pytest.mark.parametrize("damage", ["note", "no note", "short", "other block"])
@pytest.mark.parametrize("checksum", [None, CHECKSUM])
def test_what_an_earlier_run_left_damaged_does_no_harm(server, tmp_path, monkeypatch, damage, checksum):
    interrupted(server, tmp_path / "file.zip", monkeypatch, checksum)
    part, note = tmp_path / "file.zip.part", tmp_path / "file.zip.part.json"
    if damage == "note":
        note.write_text("{")
    elif damage == "no note":
        note.unlink()
    elif damage == "short":
        part.write_bytes(part.read_bytes()[:100])
    else:
        monkeypatch.setattr(partial_file, "BLOCK", 7_777)
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=checksum)
    assert whole(tmp_path)


@pytest.mark.parametrize("here", [CONTENT[:777], CONTENT[:BLOCK], CONTENT, CONTENT + b"more", OTHER[:777], b""])
@pytest.mark.parametrize("size", [None, SIZE])
def test_a_part_without_a_note_is_the_beginning_of_the_file_or_nothing(server, tmp_path, here, size):
    (tmp_path / "file.zip.part").write_bytes(here)
    download(f"{server.url}/file", tmp_path / "file.zip", bytes=size, checksum=CHECKSUM)
    assert whole(tmp_path)


def test_a_part_without_a_note_is_not_trusted_without_a_checksum(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(OTHER[:777])
    download(f"{server.url}/file", tmp_path / "file.zip")
    assert whole(tmp_path)


# A file that changes


@pytest.mark.parametrize("checksum", [None, CHECKSUM])
def test_a_file_that_changed_since_starts_over(server, tmp_path, monkeypatch, checksum):
    server.files["/file"] = OTHER
    interrupted(server, tmp_path / "file.zip", monkeypatch, checksum)
    server.files["/file"], server.etags["/file"] = CONTENT, ['"two"']
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=checksum)
    assert whole(tmp_path)
    assert server.requests[0][2] == '"one"'


def test_an_etag_that_changes_between_parts_starts_over(server, tmp_path):
    server.etags["/file"] = ['"one"', '"one"', '"one"', '"two"']
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)
    assert server.ranges.count("bytes=0-9999") >= 2


def test_a_weak_etag_that_changes_is_noticed_although_the_server_goes_on(server, tmp_path, monkeypatch):
    server.files["/file"], server.etags["/file"] = OTHER, ['W/"one"']
    interrupted(server, tmp_path / "file.zip", monkeypatch, None)
    server.files["/file"], server.etags["/file"] = CONTENT, ['W/"two"']
    download(f"{server.url}/file", tmp_path / "file.zip")
    assert whole(tmp_path)
    assert {condition for _, _, condition in server.requests} == {None}, "If-Range takes no weak ETag"


def test_a_file_that_changes_all_the_time_is_given_up(server, tmp_path):
    server.etags["/file"] = [f'"{number}"' for number in range(1000)]
    with pytest.raises(CourseError, match="changes while it is read"):
        download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert files_in(tmp_path) == []


# A server that misbehaves


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(server, tmp_path, status):
    server.faults.statuses = [status, status]
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)


def test_a_server_may_say_when_to_come_back(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(fetch.time, "sleep", pauses.append)
    server.faults.statuses, server.faults.retry_after = [503, 503], "7"
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert pauses == [7.0, 7.0]


def test_pauses_grow(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(fetch.time, "sleep", pauses.append)
    monkeypatch.setattr(downloads, "PAUSES", (1.0, 3.0, 10.0))
    server.faults.statuses = [503] * 100
    with pytest.raises(CourseError, match="503"):
        download(f"{server.url}/file", tmp_path / "file.zip")
    assert pauses == [1.0, 3.0, 10.0] and len(server.requests) == 4


def test_a_server_that_allows_two_connections_gets_two(server, tmp_path):
    server.faults.most_connections, server.faults.bytes_per_second = 2, 100_000
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)
    assert server.bytes_sent < SIZE + 5_000, "refused connections cost the others nothing"


def test_silence_is_not_waited_for(server, tmp_path, monkeypatch):
    monkeypatch.setattr(requesting, "TIMEOUT", (1, 0.2))
    server.faults.stall_after, server.faults.stall_seconds = 0, 2.0
    began = time.monotonic()
    with pytest.raises(CourseError, match="does not answer in time"):
        download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert time.monotonic() - began < 2.0


def test_a_stall_in_the_middle_loses_nothing(server, tmp_path, monkeypatch):
    monkeypatch.setattr(requesting, "TIMEOUT", (1, 0.2))
    server.faults.stall_after, server.faults.stall_seconds = 2_000, 1.0
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)


@pytest.mark.parametrize("fault", ["compressed", "multipart", "without_length", "generous"])
@pytest.mark.parametrize("ranges", [True, False])
def test_unusual_answers_are_understood(server, tmp_path, fault, ranges):
    setattr(server.faults, fault, True)
    server.faults.knows_ranges = ranges
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path)


def test_a_length_that_is_not_held_is_noticed(server, tmp_path):
    server.faults.wrong_length, server.faults.knows_ranges = 100, False
    server.faults.without_length = False
    with pytest.raises(CourseError, match="breaks off|in time"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(requesting, "TIMEOUT", (1, 0.2))
        download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert not (tmp_path / "file.zip").exists()


def test_another_size_is_told_before_the_first_byte(server, tmp_path):
    server.faults.bytes_per_second = 1_000
    began = time.monotonic()
    with pytest.raises(CourseError, match=r"102,400 bytes where 13,510,573,713 belong"):
        download(f"{server.url}/file", tmp_path / "file.zip", bytes=13_510_573_713)
    assert time.monotonic() - began < 5 and files_in(tmp_path) == []


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>Please log in</html>", b"\n <html><body>Welcome</body>"])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_web_page_in_place_of_a_file_is_no_file(server, tmp_path, page, ranges):
    server.files["/file"], server.faults.knows_ranges = page * 500, ranges
    with pytest.raises(CourseError, match="sends a web page"):
        download(f"{server.url}/file", tmp_path / "file.zip")
    assert files_in(tmp_path) == []
    assert download(f"{server.url}/file", tmp_path / "page.html").read_bytes() == page * 500


@pytest.mark.parametrize(("path", "reason"), [("/circle", "circles"), ("/missing", "404 Not Found")])
def test_what_cannot_be_had_is_not_asked_for_again_and_again(server, tmp_path, path, reason):
    with pytest.raises(CourseError, match=reason) as caught:
        download(f"{server.url}{path}", tmp_path / "file.zip")
    assert str(tmp_path / "file.zip") in str(caught.value)
    assert len(server.requests) == (1 if path == "/missing" else 31)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "nonsense", "http://", "ftp://127.0.0.1/file"])
def test_other_addresses_are_refused(server, tmp_path, url):
    with pytest.raises(CourseError, match="no address of a file"):
        download(url, tmp_path / "file.zip")


@pytest.mark.parametrize("wrong", [{"checksum": "md5:" + "0" * 32}, {"bytes": 5}])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_wrong_file_is_not_kept(server, tmp_path, wrong, ranges):
    server.faults.knows_ranges = ranges
    with pytest.raises(CourseError, match=r"file\.zip"):
        download(f"{server.url}/file", tmp_path / "file.zip", **wrong)
    assert not (tmp_path / "file.zip").exists()


# Mirrors


def test_mirrors_are_tried_in_turn(server, tmp_path):
    sources = [f"{server.url}/{name}" for name in ("missing", "other", "same")]
    download(sources[0], tmp_path / "file.zip", checksum=CHECKSUM, mirrors=sources[1:])
    assert whole(tmp_path)
    paths = [path for path, _, _ in server.requests]
    assert list(dict.fromkeys(paths)) == ["/missing", "/other", "/same"] and paths.count("/missing") == 1


def test_a_mirror_finishes_what_the_first_source_breaks_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "CONNECTIONS", 1)
    server.faults.cut_after = [9_500, 0, 0]
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM, mirrors=[f"{server.url}/same"])
    assert whole(tmp_path)
    assert ("/same", "bytes=9500-9999", None) in server.requests


def test_the_message_names_all_sources_and_the_way_by_hand(server, tmp_path):
    with pytest.raises(CourseError) as caught:
        download(f"{server.url}/other", tmp_path / "file.zip", checksum=CHECKSUM, mirrors=[f"{server.url}/missing"])
    for text in (f"{server.url}/other: ", "checksum", f"{server.url}/missing: ", "404", str(tmp_path / "file.zip")):
        assert text in str(caught.value)
    assert "goes on where it stopped" not in str(caught.value)


# This computer


def test_a_file_brought_by_hand_must_have_the_right_size(server, tmp_path):
    (tmp_path / "file.zip").write_bytes(b"half")
    with pytest.raises(CourseError, match="4 bytes"):
        download(f"{server.url}/file", tmp_path / "file.zip", bytes=SIZE)
    assert server.requests == []
    assert (tmp_path / "file.zip").read_bytes() == b"half", "what the user brought is not ours to remove"


def test_offline_says_how_to_bring_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PAUSES", (0.0, 0.0))
    with running_server() as server:
        url = f"{server.url}/file"
    with pytest.raises(CourseError, match="offline") as caught:
        download(url, tmp_path / "file.zip")
    for text in ("file.zip", url, str(tmp_path / "file.zip"), "goes on where it stopped"):
        assert text in str(caught.value)
    assert files_in(tmp_path) == []


def test_a_full_disk_is_told_beforehand(server, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(CourseError, match="Make room"):
        download(f"{server.url}/file", tmp_path / "file.zip")
    assert server.bytes_sent <= BLOCK


def test_a_disk_that_fills_up_is_told_and_the_beginning_stays(server, tmp_path, monkeypatch):
    written = partial_file.PartialFile._write_at

    def write_at(self, position, data):
        if position > SIZE // 2:
            raise OSError(28, "No space left on device")
        written(self, position, data)

    with monkeypatch.context() as patch:
        patch.setattr(partial_file.PartialFile, "_write_at", write_at)
        with pytest.raises(CourseError, match="is full. Make room"):
            download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    server.requests.clear()
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert whole(tmp_path) and bytes_asked_for(server) < 0.8 * SIZE


@pytest.mark.parametrize("name", ["file.zip", "file.zip.part"])
def test_a_folder_where_a_file_should_be_is_named(server, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(CourseError, match=r"file\.zip"):
        download(f"{server.url}/file", tmp_path / "file.zip")
    assert files_in(tmp_path) == [name]


def test_two_at_a_time_download_once(server, tmp_path, capsys):
    server.faults.bytes_per_second = 100_000
    results = []

    def work():
        results.append(download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == [tmp_path / "file.zip"] * 3 and whole(tmp_path)
    assert server.bytes_sent == SIZE
    assert capsys.readouterr().err.count("Another process is at file.zip; waiting for it.") == 2


def test_the_bar_shows_speed_and_time_left(server, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("COURSE_PROGRESS", raising=False)
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert "102k/102k" in (error := capsys.readouterr().err) and "B/s" in error
