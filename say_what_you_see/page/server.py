"""Serves the page in the browser, on this computer only.

Only 127.0.0.1 is bound, and other programs on the computer need the token that stands in the address. A page from
elsewhere that the same browser shows gets nothing either: a foreign Host (DNS rebinding) or Origin (request forgery)
is refused. The browser names no files: the four that are served are read when the server starts.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import re
import secrets
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from say_what_you_see.core.errors import CourseError
from say_what_you_see.page.core import MAX_UPLOAD_BYTES, Demo

PAGE_FOLDER = Path(__file__).parent / "static"
ADDRESS = "127.0.0.1"
_OWN_NAMES = {"127.0.0.1", "localhost", "::1"}
_MAX_WISH_BYTES = 10_000
_FILES = {"/": "text/html", "/demo.css": "text/css", "/demo.js": "text/javascript", "/page.js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@stream_request_body
class _Handler(RequestHandler):
    """What all answers have in common: who may ask, and how errors are told.

    Who may not ask is told so before anything but the headers is read, and no form is taken apart.
    """

    def initialize(self, token: str, **_: Any) -> None:
        self.token = token

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        if urlsplit(f"//{self.request.host}").hostname not in _OWN_NAMES:
            raise HTTPError(403, reason="This page is for 127.0.0.1 only.")
        origin = self.request.headers.get("Origin")
        if origin is not None and origin != f"http://{self.request.host}":
            raise HTTPError(403, reason="Another page may not ask.")

    def data_received(self, chunk: bytes) -> None:
        """Pass over what is sent where nothing is expected."""

    def check_token(self, given: str) -> None:
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise HTTPError(403, reason="Open the address that the program printed: it ends with a token.")

    def log_exception(self, *error: Any) -> None:
        """Errors of our own go to the terminal; that somebody was refused does not."""
        if not isinstance(error[1], HTTPError | CourseError):
            traceback.print_exception(*error)

    def write_error(self, status_code: int, **details: Any) -> None:
        error = details.get("exc_info", (None, None, None))[1]
        if isinstance(error, CourseError):
            self.set_status(400)
            message = str(error)
        elif isinstance(error, HTTPError):
            message = error.reason or "There is no such page."
        else:
            message = "Something went wrong; the terminal says more."
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps({"error": message}))


class _FileHandler(_Handler):
    """The page, for who knows the token, and the public files that it consists of."""

    def initialize(self, token: str, pages: dict[str, bytes]) -> None:
        super().initialize(token)
        self.pages = pages

    def get(self) -> None:
        if self.request.path == "/":
            self.check_token(self.get_query_argument("token", ""))
        self.set_header("Content-Type", f"{_FILES[self.request.path]}; charset=utf-8")
        self.finish(self.pages[self.request.path])


class _QuestionHandler(_Handler):
    """Answers the page's questions, one after another in a thread of their own."""

    def initialize(self, token: str, demo: Demo, worker: ThreadPoolExecutor) -> None:
        super().initialize(token)
        self.demo, self.worker = demo, worker

    def prepare(self) -> None:
        super().prepare()
        self.check_token(self.request.headers.get("Authorization", "").removeprefix("token "))
        self.received = bytearray()
        self.most = MAX_UPLOAD_BYTES if self.path_args == ["add"] else _MAX_WISH_BYTES

    def data_received(self, chunk: bytes) -> None:
        """Keep what is sent, but not more than makes sense; `post` refuses what is longer."""
        self.received += chunk[: self.most + 1 - len(self.received)]

    async def post(self, question: str) -> None:
        content = bytes(self.received) if question == "add" else self._wish()
        loop = asyncio.get_running_loop()
        self.finish(await loop.run_in_executor(self.worker, self.demo.answer, question, content))

    def _wish(self) -> dict[str, Any]:
        if len(self.received) > self.most:
            raise HTTPError(413, reason="That is too much.")
        try:
            wish = json.loads(bytes(self.received) or "{}")
        except (ValueError, RecursionError) as error:
            raise HTTPError(400, reason="That is no JSON.") from error
        if not isinstance(wish, dict):
            raise HTTPError(400, reason="That is no wish.")
        return wish


def make_application(demo: Demo, token: str, worker: ThreadPoolExecutor) -> Application:
    """All that the server answers to."""
    pages = {path: (PAGE_FOLDER / (path[1:] or "index.html")).read_bytes() for path in _FILES}
    return Application(
        [
            *((re.escape(path), _FileHandler, {"token": token, "pages": pages}) for path in _FILES),
            ("/api/(overview|add|caption)", _QuestionHandler, {"token": token, "demo": demo, "worker": worker}),
        ],
        default_handler_class=_Nothing,
        default_handler_args={"token": token},
        log_function=lambda handler: None,
    )


class _Nothing(_Handler):
    """For every other path."""

    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404, reason="There is no such page.")


@dataclass
class DemoServer:
    """Serves a demonstration from a thread of its own.

    Attributes:
        demo: what is served.
        port: where; 0 takes a free one.
        token: without it nothing is answered.
    """

    demo: Demo
    port: int = 0
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _stopping: Callable[[], Any] | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{ADDRESS}:{self.port}/?token={self.token}"

    def start(self) -> DemoServer:
        """Bind the port and begin to answer.

        Raises:
            CourseError: if the port is taken.
        """
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
        self._stopping = lambda: loop.call_soon_threadsafe(stopping.set)
        with ThreadPoolExecutor(1) as worker:
            worker.submit(self._warm_up, worker, self.demo.warm_up())
            application = make_application(self.demo, self.token, worker)
            server = HTTPServer(application, max_body_size=MAX_UPLOAD_BYTES, body_timeout=120)
            server.add_sockets(sockets)
            await stopping.wait()
            server.stop()
            await server.close_all_connections()

    def _warm_up(self, worker: ThreadPoolExecutor, steps: Iterator[None]) -> None:
        """Do one step and queue the next one behind the questions that have come meanwhile."""
        for _ in itertools.islice(steps, 1):
            with suppress(RuntimeError):  # the server ends
                worker.submit(self._warm_up, worker, steps)

    def stop(self) -> None:
        """End it."""
        if self._stopping and self._thread:
            self._stopping()
            self._thread.join(timeout=30)

    def wait(self) -> None:
        """Wait until it ends, or until Ctrl-C."""
        while self._thread and self._thread.is_alive():
            self._thread.join(timeout=0.5)
