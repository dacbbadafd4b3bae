"""Serves the page in the browser, on this computer only.

Only 127.0.0.1 is bound, and without the token in the address nothing but the page's style and script is served. Other
pages in the same browser are refused by their Host (DNS rebinding) or Origin (request forgery). Requests cannot name
files on the disk: the three that are served are read when the server starts.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import socket
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import parse_json
from say_what_you_see.page.demo import MAX_UPLOAD_BYTES, Demo

HEADER_SECONDS = 10
"""A connection that sends no request within this time is closed."""

MOST_CONNECTIONS = 100
"""Further ones are closed at once: a process may have only a few hundred files and connections open."""

PAGE_FOLDER = Path(__file__).parent / "static"
ADDRESS = "127.0.0.1"
_MOST_BYTES = 1_000_000_000  # of a body; what is too large for a picture is discarded as it arrives
_OWN_NAMES = {"127.0.0.1", "localhost", "::1"}
_CONTENT_TYPES = {"index.html": "text/html", "demo.css": "text/css", "demo.js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _Server(HTTPServer):
    def handle_stream(self, stream: IOStream, address: tuple) -> None:
        if len(self._connections) < MOST_CONNECTIONS:
            super().handle_stream(stream, address)
        else:
            stream.close()


@stream_request_body
class _Handler(RequestHandler):
    """Serves the page and answers its questions, one after another in a separate thread.

    Strangers are refused before the body of their request arrives. A body that is too large is read to its end, or the
    browser would see a broken connection instead of the answer.
    """

    def initialize(self, demo: Demo, token: str, worker: ThreadPoolExecutor, files: dict[str, bytes]) -> None:
        self.demo, self.token, self.worker, self.files = demo, token, worker, files
        self.body, self.body_size = bytearray(), 0

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        try:
            asked = urlsplit(f"//{self.request.host}").hostname
        except ValueError:
            asked = None
        if asked not in _OWN_NAMES:
            raise HTTPError(403, reason="This page is for 127.0.0.1 only.")
        origin = self.request.headers.get("Origin")
        if origin is not None and origin != f"http://{self.request.host}":
            raise HTTPError(403, reason="Requests from other pages are refused.")
        if self.request.method == "POST":
            self._check_token(self.request.headers.get("Authorization", "").removeprefix("token "))

    def data_received(self, chunk: bytes) -> None:
        self.body_size += len(chunk)
        if self.body_size <= MAX_UPLOAD_BYTES:
            self.body += chunk

    def get(self, path: str) -> None:
        if path == "":
            self._check_token(self.get_query_argument("token", ""))
            path = "index.html"
        elif path not in self.files or path == "index.html":
            raise HTTPError(404, reason="There is no such page.")
        self.set_header("Content-Type", f"{_CONTENT_TYPES[path]}; charset=utf-8")
        self.finish(self.files[path])

    async def post(self, path: str) -> None:
        if self.body_size > MAX_UPLOAD_BYTES:
            raise HTTPError(413, reason=f"The file is larger than {MAX_UPLOAD_BYTES / 1e6:.0f} MB.")
        question = path.removeprefix("api/")
        content = bytes(self.body)
        if question != "add":
            content = parse_json(content or b"{}", MAX_UPLOAD_BYTES, "The question")
        self.finish(await asyncio.get_running_loop().run_in_executor(self.worker, self.demo.answer, question, content))

    def _check_token(self, given: str) -> None:
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise HTTPError(403, reason="Open the address that the program printed: it ends with a token.")

    def log_exception(self, *error: Any) -> None:
        """Print unexpected errors in the terminal, but not that somebody was refused."""
        if not isinstance(error[1], HTTPError | CourseError):
            traceback.print_exception(*error)

    def write_error(self, status_code: int, **details: Any) -> None:
        error = details.get("exc_info", (None, None, None))[1]
        message = "Something went wrong; the terminal says more."
        if isinstance(error, CourseError):
            self.set_status(400)
            message = str(error)
        elif isinstance(error, HTTPError):
            message = error.reason or "That is not possible here."
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps({"error": message}))


@dataclass
class DemoServer:
    """Serves a demonstration from a thread of its own."""

    demo: Demo
    port: int = 0  # 0 takes a free one
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))  # without it no question is answered
    _stop: Callable[[], Any] | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{ADDRESS}:{self.port}/?token={self.token}"

    def start(self) -> DemoServer:
        """Bind the port and start answering.

        Raises:
            CourseError: if the port is taken.
        """
        try:
            sockets = bind_sockets(self.port, ADDRESS, family=socket.AF_INET)
        except OSError as error:
            raise CourseError(
                f"Port {self.port} cannot be used ({error.strerror}). Choose another --port, or leave it out."
            ) from error
        self.port = sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(sockets)), daemon=True)
        self._thread.start()
        return self

    async def _serve(self, sockets: list[socket.socket]) -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopping.set)
        with ThreadPoolExecutor(1) as worker:
            warming = loop.create_task(self._warm_up(worker))
            files = {name: (PAGE_FOLDER / name).read_bytes() for name in _CONTENT_TYPES}
            arguments = {"demo": self.demo, "token": self.token, "worker": worker, "files": files}
            application = Application([("/(.*)", _Handler, arguments)], log_function=lambda handler: None)
            limits = {"max_body_size": _MOST_BYTES, "body_timeout": 120, "idle_connection_timeout": HEADER_SECONDS}
            server = _Server(application, **limits)
            server.add_sockets(sockets)
            await stopping.wait()
            warming.cancel()
            server.stop()
            await server.close_all_connections()

    async def _warm_up(self, worker: ThreadPoolExecutor) -> None:
        """Compile all encoders, each queued behind the questions that have arrived meanwhile."""
        for model in self.demo.models.values():
            await asyncio.get_running_loop().run_in_executor(worker, model.captioner.compile_encoder)

    def stop(self) -> None:
        """Stop the server."""
        if self._stop and self._thread:
            self._stop()
            self._thread.join(timeout=30)

    def wait(self) -> None:
        """Wait until the server stops, or until Ctrl-C."""
        while self._thread and self._thread.is_alive():
            self._thread.join(timeout=0.5)
