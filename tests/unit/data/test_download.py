"""Downloads, from a server on this machine that can be told to misbehave."""

import hashlib
import random
import threading

import pytest
from download_server import Server, running

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data import download as downloads
from say_what_you_see.data.download import download

CONTENT = random.Random(1).randbytes(102_400)
OTHER = CONTENT[::-1]
SIZE = len(CONTENT)
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, which are not waited for."""
    pauses: list[float] = []
    monkeypatch.setattr(downloads.time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def server(monkeypatch, no_proxy):
    monkeypatch.setattr(downloads, "BACKOFF", 0.0)
    monkeypatch.setattr(downloads, "CHUNK", 500)
    with running(Server()) as server:
        server.files = {"/file": CONTENT, "/same": CONTENT, "/other": OTHER}
        server.etags = {"/file": '"one"'}
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "downloads" / "file.zip"


def names_beside(path):
    """The names in the folder, but for the lock, an empty file that stays until the download is whole."""
    return sorted(file.name for file in path.parent.iterdir() if file.name != ".file.zip.lock")


def is_whole(path):
    """Whether the file is there, right, and nothing beside it, not even the lock."""
    return [file.name for file in path.parent.iterdir()] == ["file.zip"] and path.read_bytes() == CONTENT


def begin(server, path, checksum=None, url="/file", length=60_000):
    """Let a download break off when so many bytes are there, as often as it is tried."""
    server.cut_after = [length] + [0] * (downloads.ATTEMPTS - 1)
    with pytest.raises(CourseError, match="goes on where it stopped"):
        download(f"{server.url}{url}", path, checksum=checksum)
    server.requests.clear()
    assert names_beside(path) == ["file.zip.part", "file.zip.part.json"]


def test_a_whole_download_is_made_once(server, path):
    for _ in range(2):
        assert download(f"{server.url}/jump", path, bytes=SIZE, checksum=CHECKSUM) == path
    assert is_whole(path) and server.requests == [("/jump", None, None), ("/file", None, None)]


@pytest.mark.parametrize("algorithm", [None, "md5"])
@pytest.mark.parametrize("fault", [None, "compressed", "multipart", "without_length"])
@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_any_length_comes_whole_in_any_form(server, path, content, fault, algorithm):
    server.files["/file"] = content
    if fault:
        setattr(server, fault, True)
    checksum = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}" if algorithm else None
    download(f"{server.url}/file", path, checksum=checksum)
    assert names_beside(path) == ["file.zip"] and path.read_bytes() == content


# Interrupted, and continued


def test_broken_connections_are_resumed_at_the_byte(server, path):
    server.cut_after = [1000, 500, *[10_000] * 9]
    download(f"{server.url}/file", path, checksum=CHECKSUM)
    assert is_whole(path) and server.bytes_sent == SIZE
    assert server.requests[:3] == [("/file", None, None), ("/file", "bytes=1000-", '"one"'),
                                   ("/file", "bytes=1500-", '"one"')]  # fmt: skip


@pytest.mark.parametrize("fault", ["without_ranges", "multipart", "compressed"])
def test_a_server_without_usable_ranges_sends_all_again(server, path, fault):
    setattr(server, fault, True)
    server.cut_after = [1000]
    download(f"{server.url}/file", path, checksum=CHECKSUM)
    assert is_whole(path)


@pytest.mark.parametrize(("without_ranges", "length"), [(False, 0), (True, 0), (True, 1000)])
def test_a_source_that_gets_nowhere_is_given_up(server, path, without_ranges, length):
    server.without_ranges, server.cut_after = without_ranges, [length] * 1000
    with pytest.raises(CourseError, match="broke off.*goes on where it stopped"):
        download(f"{server.url}/file", path, checksum=CHECKSUM)
    assert len(server.requests) <= downloads.ATTEMPTS + 1
    assert names_beside(path) == (["file.zip.part", "file.zip.part.json"] if length else [])


@pytest.mark.parametrize("password", ["", "me:secret@"])
@pytest.mark.parametrize("checksum", [None, CHECKSUM])
def test_an_earlier_run_is_continued_and_no_password_written_down(server, path, checksum, password):
    server.url = server.url.replace("://", f"://{password}")
    begin(server, path, checksum)
    assert "secret" not in path.with_name("file.zip.part.json").read_text()
    download(f"{server.url}/file", path, checksum=checksum)
    assert is_whole(path) and server.requests == [("/file", "bytes=60000-", '"one"')]


@pytest.mark.parametrize("first", ["/file", "/other"])
def test_another_source_continues_where_a_checksum_tells_and_throws_a_wrong_beginning_away(server, path, first):
    begin(server, path, CHECKSUM, url=first)
    download(f"{server.url}/same", path, checksum=CHECKSUM)
    assert is_whole(path) and server.requests[0] == ("/same", "bytes=60000-", None)
    assert len(server.requests) == (1 if first == "/file" else 2)


@pytest.mark.parametrize(("file", "damaged"), [
    ("file.zip.part.json", lambda note: note[:20]), ("file.zip.part.json", lambda note: b'{"block": 20000}'),
    ("file.zip.part.json", None), ("file.zip.part", None),
    ("file.zip.part", lambda part: part[:100]), ("file.zip.part", lambda part: CONTENT + b"more"),
])  # fmt: skip
@pytest.mark.parametrize("checksum", [None, CHECKSUM])
def test_what_an_earlier_run_left_damaged_does_no_harm(server, path, file, damaged, checksum):
    begin(server, path, checksum)
    left = path.with_name(file)
    content = left.read_bytes()
    left.unlink()
    if damaged:
        left.write_bytes(damaged(content))
    download(f"{server.url}/file", path, checksum=checksum)
    assert is_whole(path)


@pytest.mark.parametrize(("weak", "checksum"), [("", None), ("", CHECKSUM), ("W/", CHECKSUM)])
def test_a_file_that_changed_since_starts_over(server, path, weak, checksum):
    server.files["/file"], server.etags["/file"] = OTHER, f'{weak}"one"'
    begin(server, path, checksum)
    server.files["/file"], server.etags["/file"] = CONTENT, f'{weak}"two"'
    download(f"{server.url}/file", path, checksum=checksum)
    assert is_whole(path)
    assert server.requests[0] == ("/file", "bytes=60000-", None if weak else '"one"'), "If-Range takes no weak ETag"


# A server that misbehaves


def test_a_busy_server_is_asked_again_after_growing_pauses(server, path, monkeypatch, pauses):
    monkeypatch.setattr(downloads, "BACKOFF", 1.0)
    server.statuses = [503, 429, 500]
    download(f"{server.url}/file", path, checksum=CHECKSUM)
    assert is_whole(path) and pauses == [1.0, 2.0, 4.0]


def test_silence_is_not_waited_for(server, path, monkeypatch):
    server.stall_after = 2_000
    with monkeypatch.context() as patch, pytest.raises(CourseError, match="does not answer in time"):
        patch.setattr(downloads, "TIMEOUT", (5, 0.2))
        patch.setattr(downloads, "ATTEMPTS", 1)
        download(f"{server.url}/file", path, checksum=CHECKSUM)
    server.stall_after = None
    download(f"{server.url}/file", path, checksum=CHECKSUM)
    assert is_whole(path)


@pytest.mark.parametrize("fault", ["without_length", "compressed"])
@pytest.mark.parametrize("size", [None, 50_000])
def test_an_endless_body_does_not_fill_the_disk(server, path, monkeypatch, size, fault):
    monkeypatch.setattr(downloads, "LARGEST_UNSTATED", 50_000)
    setattr(server, fault, True)
    with pytest.raises(CourseError, match="more than the 50,000 bytes"):
        download(f"{server.url}/file", path, bytes=size, checksum=CHECKSUM)
    assert names_beside(path) == []


def test_a_size_that_only_the_server_states_is_no_licence_for_any(server, path, monkeypatch):
    monkeypatch.setattr(downloads, "LARGEST_UNSTATED", SIZE - 1)
    with pytest.raises(CourseError, match="more than the 102,399 allowed here"):
        download(f"{server.url}/file", path)
    monkeypatch.setattr(downloads, "LARGEST_UNSTATED", SIZE)
    assert download(f"{server.url}/file", path).stat().st_size == SIZE


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>Please log in</html>", b"\n <html><body>Welcome</body>"])
def test_a_web_page_in_place_of_a_file_is_no_file(server, path, page):
    server.files["/file"] = page * 500
    with pytest.raises(CourseError, match="sends a web page"):
        download(f"{server.url}/file", path)
    assert names_beside(path) == []
    assert download(f"{server.url}/file", path.with_suffix(".html")).read_bytes() == page * 500


@pytest.mark.parametrize(("path_on_server", "reason"), [("/circle", "circles"), ("/missing", "404 Not Found")])
def test_what_cannot_be_had_is_not_asked_for_again_and_again(server, path, path_on_server, reason):
    with pytest.raises(CourseError, match=reason) as caught:
        download(f"{server.url}{path_on_server}", path)
    assert str(path) in str(caught.value) and "goes on where it stopped" not in str(caught.value)
    assert len(server.requests) == (1 if path_on_server == "/missing" else 31)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "nonsense", "http://", "ftp://127.0.0.1/file"])
def test_other_addresses_are_refused(path, url):
    with pytest.raises(CourseError, match="not the address of a file"):
        download(url, path)


@pytest.mark.parametrize(("wrong", "reason"), [
    ({"checksum": "md5:" + "0" * 32}, "checksum"), ({"bytes": 13_510_573_713}, "instead of 13,510,573,713"),
])  # fmt: skip
def test_a_wrong_file_is_not_kept(server, path, wrong, reason):
    with pytest.raises(CourseError, match=rf"file\.zip.*{reason}"):
        download(f"{server.url}/file", path, **wrong)
    assert names_beside(path) == []


# Several sources


def test_mirrors_are_tried_in_turn_and_all_named(server, path):
    sources = [f"{server.url}/{name}" for name in ("missing", "other", "same")]
    with pytest.raises(CourseError) as caught:
        download(sources[0], path, checksum=CHECKSUM, mirrors=sources[1:2])
    for text in (f"{sources[0]}: ", "404", f"{sources[1]}: ", "checksum", str(path)):
        assert text in str(caught.value)
    download(sources[0], path, checksum=CHECKSUM, mirrors=sources[1:])
    assert is_whole(path)
    assert server.paths == ["/missing", "/other"] * 2 + ["/same"]


# This computer


def test_offline_says_how_to_bring_the_file(path, pauses):
    with running(Server()) as server:
        url = f"{server.url}/file"
    with pytest.raises(CourseError, match="offline") as caught:
        download(url, path)
    for text in (url, str(path), "goes on where it stopped"):
        assert text in str(caught.value)
    assert names_beside(path) == [] and len(pauses) == downloads.ATTEMPTS - 1


def test_a_full_disk_is_noticed_beforehand(server, path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(CourseError, match="Make room"):
        download(f"{server.url}/file", path)
    assert names_beside(path) == []


@pytest.mark.parametrize("name", ["file.zip", "file.zip.part"])
def test_a_folder_where_a_file_should_be_is_named(server, path, name):
    path.with_name(name).mkdir(parents=True)
    with pytest.raises(CourseError, match=r"file\.zip"):
        download(f"{server.url}/file", path)
    assert names_beside(path) == [name]


def test_several_at_a_time_download_once(server, path):
    arrived, go_on = threading.Event(), threading.Event()
    server.before_body = lambda: (arrived.set(), go_on.wait(60))
    results = []

    def work():
        results.append(download(f"{server.url}/file", path, checksum=CHECKSUM))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert arrived.wait(60)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert results == [path] * 3 and is_whole(path) and server.bytes_sent == SIZE
