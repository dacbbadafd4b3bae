"""Downloads, from a server on this machine that can be told to misbehave."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from utils import downloads
from utils.downloads import RESOURCES, download
from utils.errors import CourseError

CONTENT = bytes(range(256)) * 400
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT at any path but /missing; the server's attributes say how badly."""

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        if self.path == "/missing" or server.failures:
            server.failures = max(server.failures - 1, 0)
            return self.send_error(404 if self.path == "/missing" else 503)
        wanted = self.headers.get("Range") if server.knows_ranges else None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            return self.end_headers()
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = start + server.cut_after.pop(0) if server.cut_after else len(CONTENT)
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSES", (0.0, 0.0))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.ranges, server.cut_after, server.knows_ranges, server.failures = [], [], True, 0
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_whole_download_is_made_once(server, tmp_path):
    path = tmp_path / "new" / "file.zip"
    for _ in range(2):
        assert download(f"{server.url}/file", path, bytes=len(CONTENT), checksum=CHECKSUM) == path
    assert path.read_bytes() == CONTENT
    assert len(server.ranges) == 1
    assert files_in(path.parent) == ["file.zip"]


def test_a_cut_connection_is_resumed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "_CHUNK", 500)
    server.cut_after = [1000, 500]
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=1500-"]


def test_an_earlier_run_is_continued(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:777])
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert server.ranges == ["bytes=777-"]
    assert files_in(tmp_path) == ["file.zip"]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_part_that_is_whole_needs_no_bytes(server, tmp_path, size):
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    download(f"{server.url}/file", tmp_path / "file.zip", bytes=size, checksum=CHECKSUM)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_fetched_anew(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT + b"more")
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.knows_ranges, server.cut_after = False, [1000]
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.failures = 2
    download(f"{server.url}/file", tmp_path / "file.zip", checksum=CHECKSUM)
    assert len(server.ranges) == 3


@pytest.mark.parametrize("wrong", [{"checksum": "md5:" + "0" * 32}, {"bytes": 5}])
def test_a_wrong_file_is_not_kept(server, tmp_path, wrong):
    with pytest.raises(CourseError, match=r"file\.zip"):
        download(f"{server.url}/file", tmp_path / "file.zip", **wrong)
    assert files_in(tmp_path) == []


def test_a_file_brought_by_hand_must_have_the_right_size(server, tmp_path):
    (tmp_path / "file.zip").write_bytes(b"half")
    with pytest.raises(CourseError, match="4 bytes"):
        download(f"{server.url}/file", tmp_path / "file.zip", bytes=len(CONTENT))
    assert server.ranges == []
    assert (tmp_path / "file.zip").read_bytes() == b"half", "what the user brought is not ours to remove"


def test_what_is_not_there_is_not_asked_for_twice(server, tmp_path):
    with pytest.raises(CourseError, match="404") as caught:
        download(f"{server.url}/missing", tmp_path / "file.zip")
    assert str(tmp_path / "file.zip") in str(caught.value)
    assert len(server.ranges) == 1


def test_offline_says_how_to_bring_the_file(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(CourseError, match="offline") as caught:
        download(f"{server.url}/file", tmp_path / "file.zip")
    for text in ("file.zip", server.url, str(tmp_path / "file.zip")):
        assert text in str(caught.value)


def test_an_interrupted_download_keeps_its_part(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "_CHUNK", 1000)
    real_progress = downloads.progress

    def interrupted_progress(**options):
        bar = real_progress(**options)
        bar.update = lambda count: (_ for _ in ()).throw(KeyboardInterrupt)
        return bar

    monkeypatch.setattr(downloads, "progress", interrupted_progress)
    with pytest.raises(KeyboardInterrupt):
        download(f"{server.url}/file", tmp_path / "file.zip")
    assert files_in(tmp_path) == ["file.zip.part"]
    assert CONTENT.startswith((tmp_path / "file.zip.part").read_bytes())


def test_a_full_disk_is_told_beforehand(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(CourseError, match="Make room"):
        download(f"{server.url}/file", tmp_path / "file.zip")


def test_resources_are_complete():
    assert len({resource.name for resource in RESOURCES}) == len(RESOURCES)
    for resource in RESOURCES:
        algorithm, _, digits = resource.checksum.partition(":")
        assert len(bytes.fromhex(digits)) == hashlib.new(algorithm).digest_size
        assert resource.url.endswith("/" + resource.name)
        assert resource.licence
        assert resource.purpose
