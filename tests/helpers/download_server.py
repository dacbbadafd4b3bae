"""A web server on this machine that can be told to misbehave, for the tests of downloads."""

from __future__ import annotations

import gzip
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Faults:
    """What the server does wrong; lists are used up from the front, an answer at a time.

    Attributes:
        cut_after: close the connection after so many bytes of the body.
        statuses: answer with these first.
        retry_after: the header that goes with them.
        knows_ranges: if not, ranges are ignored, and the whole file is sent with status 200.
        without_length: send no Content-Length, and close the connection at the end.
        stall_after: send so many bytes of each body, then nothing more.
        compressed: send bodies with Content-Encoding: gzip.
        wrong_length: claim that the file has so many bytes more.
        multipart: answer ranges without Content-Range, as for several of them.
    """

    cut_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    retry_after: str | None = None
    knows_ranges: bool = True
    without_length: bool = False
    stall_after: int | None = None
    compressed: bool = False
    wrong_length: int = 0
    multipart: bool = False


class Server(ThreadingHTTPServer):
    """Serves `files` by path; /jump leads to /file, /circle to itself. `requests` has path, Range and If-Range."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, list[str]] = {}
        self.faults = Faults()
        self.requests: list[tuple[str, str | None, str | None]] = []
        self.bytes_sent = 0
        self.lock = threading.Lock()
        self.before_body = lambda: None
        self.ended = threading.Event()

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each request."""
        return [wanted for _, wanted, _ in self.requests]

    def etag(self, path: str) -> str | None:
        """The ETag of a file; of several, each answer takes the next, and the last stays."""
        etags = self.etags.get(path, [])
        return (etags.pop(0) if len(etags) > 1 else etags[0]) if etags else None

    def handle_error(self, *_):
        """Connections that the test ends are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        with server.lock:
            server.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
            status = server.faults.statuses.pop(0) if server.faults.statuses else None
        if status:
            self._answer(status, b"no", {"Retry-After": server.faults.retry_after})
        elif self.path in ("/circle", "/jump"):
            self._answer(302, b"", {"Location": "/circle" if self.path == "/circle" else "/file"})
        elif self.path not in server.files:
            self._answer(404, b"no")
        else:
            self._serve(server.files[self.path])

    def _serve(self, content: bytes) -> None:
        faults = self.server.faults
        with self.server.lock:
            etag = self.server.etag(self.path)
        headers = {"ETag": etag, "Last-Modified": "Sat, 01 Jan 2022 00:00:00 GMT" if etag is None else None}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        condition = self.headers.get("If-Range")
        if not wanted or not faults.knows_ranges or (condition and condition not in headers.values()):
            if faults.compressed:
                return self._answer(200, gzip.compress(content), {**headers, "Content-Encoding": "gzip"})
            return self._answer(200, content, headers)
        start = int(wanted[1])
        stop = min(int(wanted[2]) + 1, len(content)) if wanted[2] else len(content)
        if start >= len(content):
            return self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        total = len(content) + faults.wrong_length
        if not faults.multipart:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total}"
        self._answer(206, content[start:stop], headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str | None] | None = None) -> None:
        faults = self.server.faults
        self.send_response(status)
        for name, value in (headers or {}).items():
            if value is not None:
                self.send_header(name, value)
        if faults.without_length:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body) + (faults.wrong_length if status == 200 else 0)))
        self.end_headers()
        with self.server.lock:
            cut = faults.cut_after.pop(0) if faults.cut_after and status in (200, 206) else None
        self._send(body if cut is None else body[:cut])
        if cut is not None or faults.without_length:
            self.close_connection = True
            self.connection.close()

    def _send(self, body: bytes) -> None:
        server = self.server
        server.before_body()
        with server.lock:
            server.bytes_sent += len(body)
        if server.faults.stall_after is not None:
            self.wfile.write(body[: server.faults.stall_after])
            self.wfile.flush()
            server.ended.wait(60)
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def running_server():
    """A server that ends with the block."""
    server = Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
