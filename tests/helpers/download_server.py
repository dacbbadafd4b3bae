"""Web servers on this machine for tests, one of which can be told to misbehave."""

import gzip
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

AnyServer = TypeVar("AnyServer", bound=socketserver.BaseServer)


@contextmanager
def running(server: AnyServer) -> Iterator[AnyServer]:
    """Have a server answer until the block ends."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _FolderHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve the files of a folder; the address without a slash at its end."""
    handler = partial(_FolderHandler, directory=str(folder))
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


class Server(ThreadingHTTPServer):
    """Serves `files` by path; /jump leads to /file, /circle to itself. `requests` has path, Range and If-Range.

    Faults in a list are used up from the front, an answer at a time, and None is no fault.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.requests: list[tuple[str, str | None, str | None]] = []
        self.bytes_sent = 0
        self.before_body = lambda: None
        self.cut_after: list[int | None] = []  # close the connection after so many bytes of the body
        self.statuses: list[int | None] = []  # answer with these first
        self.without_ranges = False  # ignore ranges, and send the whole file with status 200
        self.without_length = False  # send no Content-Length, and close the connection at the end
        self.stall_after: int | None = None  # send so many bytes of each body, then nothing more
        self.compressed = False  # send bodies with Content-Encoding: gzip
        self.multipart = False  # answer ranges without Content-Range, as for several of them

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
        if status := server.statuses.pop(0) if server.statuses else None:
            self._answer(status, b"no")
        elif self.path in ("/circle", "/jump"):
            self._answer(302, b"", Location="/circle" if self.path == "/circle" else "/file")
        elif self.path not in server.files:
            self._answer(404, b"no")
        else:
            self._serve(server.files[self.path])

    def _serve(self, content: bytes) -> None:
        server, etag = self.server, self.server.etags.get(self.path)
        headers = {"ETag": etag} if etag else {"Last-Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        same = self.headers.get("If-Range") in (None, *headers.values())
        if server.without_ranges or not (wanted and same):
            if server.compressed:
                content, headers["Content-Encoding"] = gzip.compress(content), "gzip"
            self._answer(200, content, **headers)
        elif (start := int(wanted[1])) >= len(content):
            self._answer(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
        else:
            if not server.multipart:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._answer(206, content[start:], **headers)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        server = self.server
        length = {"Connection": "close"} if server.without_length else {"Content-Length": str(len(body))}
        self.send_response(status)
        for name, value in (headers | length).items():
            self.send_header(name, value)
        self.end_headers()
        cut = server.cut_after.pop(0) if server.cut_after and status in (200, 206) else None
        if cut is not None:
            self.close_connection = True
        self._send(body[:cut])

    def _send(self, body: bytes) -> None:
        self.server.before_body()
        self.server.bytes_sent += len(body)
        self.wfile.write(body[: self.server.stall_after])
        if self.server.stall_after is not None:
            threading.Event().wait(60)

    def log_message(self, *_):
        pass
