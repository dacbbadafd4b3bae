"""Serves the page in the browser, on this computer only.

Only 127.0.0.1 is bound, and nothing but the page's style and script is given to who does not know the token in the
address: no other page that the same browser shows can know it. The browser names no files: the three that are served
are read when the server starts.
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

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from say_what_you_see.core.errors import CourseError
from say_what_you_see.page.demo import Demo

HEADER_SECONDS = 10
"""Whoever connects and does not ask within this time is disconnected."""

PAGE_FOLDER = Path(__file__).parent / "static"
ADDRESS = "127.0.0.1"
_MOST_BYTES = 100_000_000  # of a body, so that who sends a picture that is too large hears so
_CONTENT_TYPES = {"index.html": "text/html", "demo.css": "text/css", "demo.js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _Handler(RequestHandler):
    """Gives the page and answers its questions, one after another in a thread of their own."""

    def initialize(self, demo: Demo, token: str, worker: ThreadPoolExecutor, files: dict[str, bytes]) -> None:
        self.demo, self.token, self.worker, self.files = demo, token, worker, files

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def get(self, path: str) -> None:
        if path == "":
            self._check_token(self.get_query_argument("token", ""))
            path = "index.html"
        elif path not in self.files or path == "index.html":
            raise HTTPError(404, reason="There is no such page.")
        self.set_header("Content-Type", f"{_CONTENT_TYPES[path]}; charset=utf-8")
        self.finish(self.files[path])

    async def post(self, path: str) -> None:
        self._check_token(self.request.headers.get("Authorization", "").removeprefix("token "))
        question = path.removeprefix("api/")
        content = self.request.body if question == "add" else self._json()
        self.finish(await asyncio.get_running_loop().run_in_executor(self.worker, self.demo.answer, question, content))

    def _check_token(self, given: str) -> None:
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise HTTPError(403, reason="Open the address that the program printed: it ends with a token.")

    def _json(self) -> Any:
        try:
            return json.loads(self.request.body or "{}")
        except (ValueError, RecursionError) as error:
            raise HTTPError(400, reason="That is no JSON.") from error

    def log_exception(self, *error: Any) -> None:
        """Errors of our own go to the terminal; that somebody was refused does not."""
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
        """Bind the port and begin to answer; a port that is taken is a CourseError."""
        try:
            sockets = bind_sockets(self.port, ADDRESS, family=socket.AF_INET)
        except OSError as error:
            raise CourseError(
                f"Port {self.port} cannot be had ({error.strerror}). Name another with --port, or leave it out."
            ) from error
        self.port = sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(sockets)), daemon=True)
        self._thread.start()
        return self

    async def _serve(self, sockets: list[socket.socket]) -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopping.set)
        with ThreadPoolExecutor(1) as worker:
            worker.submit(self.demo.warm_up)
            files = {name: (PAGE_FOLDER / name).read_bytes() for name in _CONTENT_TYPES}
            arguments = {"demo": self.demo, "token": self.token, "worker": worker, "files": files}
            application = Application([("/(.*)", _Handler, arguments)], log_function=lambda handler: None)
            limits = {"max_body_size": _MOST_BYTES, "body_timeout": 120, "idle_connection_timeout": HEADER_SECONDS}
            server = HTTPServer(application, **limits)
            server.add_sockets(sockets)
            await stopping.wait()
            server.stop()
            await server.close_all_connections()

    def stop(self) -> None:
        """End it."""
        if self._stop and self._thread:
            self._stop()
            self._thread.join(timeout=30)

    def wait(self) -> None:
        """Wait until it ends, or until Ctrl-C."""
        while self._thread and self._thread.is_alive():
            self._thread.join(timeout=0.5)
