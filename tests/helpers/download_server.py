"""Web servers on this machine for tests, one of which can be told to misbehave."""

import gzip
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """Have a server answer until the block ends."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _FolderHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve the files of a folder; the address without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_FolderHandler, directory=str(folder)))
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}"


@dataclass
class Faults:
    """What the server does wrong; lists are used up from the front, an answer at a time, and None is no fault.

    Attributes:
        cut_after: close the connection after so many bytes of the body.
        statuses: answer with these first.
        knows_ranges: if not, ranges are ignored, and the whole file is sent with status 200.
        without_length: send no Content-Length, and close the connection at the end.
        stall_after: send so many bytes of each body, then nothing more.
        compressed: send bodies with Content-Encoding: gzip.
        multipart: answer ranges without Content-Range, as for several of them.
    """

    cut_after: list[int | None] = field(default_factory=list)
    statuses: list[int | None] = field(default_factory=list)
    knows_ranges: bool = True
    without_length: bool = False
    stall_after: int | None = None
    compressed: bool = False
    multipart: bool = False


class Server(ThreadingHTTPServer):
    """Serves `files` by path; /jump leads to /file, /circle to itself. `requests` has path, Range and If-Range."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.faults = Faults()
        self.requests: list[tuple[str, str | None, str | None]] = []
        self.bytes_sent = 0
        self.before_body = lambda: None

    @property
    def paths(self) -> list[str]:
        """What was asked for."""
        return [path for path, _, _ in self.requests]

    def handle_error(self, *_):
        """Connections that the test ends are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        if status := server.faults.statuses.pop(0) if server.faults.statuses else None:
            self._answer(status, b"no")
        elif self.path in ("/circle", "/jump"):
            self._answer(302, b"", Location="/circle" if self.path == "/circle" else "/file")
        elif self.path not in server.files:
            self._answer(404, b"no")
        else:
            self._serve(server.files[self.path])

    def _serve(self, content: bytes) -> None:
        faults, etag = self.server.faults, self.server.etags.get(self.path)
        headers = {"ETag": etag} if etag else {"Last-Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        same = self.headers.get("If-Range") in (None, *headers.values())
        if not (wanted and same and faults.knows_ranges):
            if faults.compressed:
                content, headers["Content-Encoding"] = gzip.compress(content), "gzip"
            self._answer(200, content, **headers)
        elif (start := int(wanted[1])) >= len(content):
            self._answer(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
        else:
            if not faults.multipart:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._answer(206, content[start:], **headers)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        faults = self.server.faults
        length = {"Connection": "close"} if faults.without_length else {"Content-Length": str(len(body))}
        self.send_response(status)
        for name, value in (headers | length).items():
            self.send_header(name, value)
        self.end_headers()
        cut = faults.cut_after.pop(0) if faults.cut_after and status in (200, 206) else None
        if cut is not None:
            self.close_connection = True
        self._send(body[:cut])

    def _send(self, body: bytes) -> None:
        self.server.before_body()
        self.server.bytes_sent += len(body)
        if self.server.faults.stall_after is None:
            self.wfile.write(body)
        else:
            self.wfile.write(body[: self.server.faults.stall_after])
            threading.Event().wait(60)

    def log_message(self, *_):
        pass


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that ends with the block."""
    server = Server()
    with running(server):
        yield server
