"""Pictures from the web: one that takes too long is left."""

import socketserver
import time

import pytest
from download_server import running

from say_what_you_see.core.errors import CourseError
from say_what_you_see.vision import sources


class _SlowHandler(socketserver.BaseRequestHandler):
    """Answers a byte at a time, and for long."""

    def handle(self) -> None:
        for letter in self.server.answer:
            self.request.sendall(bytes([letter]))
            time.sleep(0.02)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"])
def test_a_server_that_sends_a_byte_at_a_time_is_left(monkeypatch, answer):
    monkeypatch.setattr(sources, "MAX_SECONDS", 2)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _SlowHandler) as server, running(server):
        server.daemon_threads, server.answer = True, answer + b"X-Slow: " * 200
        with pytest.raises(CourseError, match="within 2 seconds"):
            sources.fetch_image(f"http://127.0.0.1:{server.server_address[1]}/a.jpg")
