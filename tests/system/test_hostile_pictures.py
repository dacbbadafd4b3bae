"""Good and bad pictures, mixed, in one `caption --json`: the good are captioned, each bad one has its own error."""

from __future__ import annotations

import io
import json
import os
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fuzz_readers import Reader, damaged
from hostile_files import animation, picture

from say_what_you_see.commands.main import main

GOOD, BAD, EITHER = "good", "bad", "either"
PICTURES = [picture(kind, (48, 32)) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF")] + [animation("GIF", 3)]
NAMES = ["a", "Ü", "狗", "كلب", " ", "\n", "[x]", "*", "~", "'", '"', "\\", "%s", "\x1b[2J", "\u202e", "👩\u200d🚀",
         os.fsdecode(b"gr\xfcn"), "-", "#0", "http:", "@", ";", "$(x)", "e\u0301", "\x85", "\u2028"]  # fmt: skip
NO_NAMES = ["", "a\0b", "\0", "x" * 300, "/".join(["x" * 200] * 30), "~nosuchuser/x", "nowhere.jpg", "[", "*" * 300,
            "[" * 5000 + "*", "\ud800", "http://", "http://[", "https://]", "http://a..b/", "HTTP://", "http:///x",
            "http://127.0.0.1:99999/", "http://127.0.0.1:1/", "http://me:secret@127.0.0.1:1/", "http://\0/",
            "http://" + "a" * 300, "http://x y/", "http://%00/", "http://☃☃" + "☃" * 70, "ftp://x/y"]  # fmt: skip
ANSWERS = {
    "good": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PICTURES[0]), PICTURES[0]),
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + PICTURES[0],
    "text": b"HTTP/1.1 200 OK\r\n\r\n<html>Please log in</html>",
    "missing": b"HTTP/1.1 404 Where\x1b[2J\r\n\r\n",
    "nothing": b"",
    "no HTTP": bytes(range(256)),
    "no length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx",
    "no gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip",
    "no chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    "no port": b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
    "no host": b"HTTP/1.1 302 Found\r\nLocation: http://a..b/\r\nContent-Length: 0\r\n\r\n",
    "a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "a circle": b"HTTP/1.1 302 Found\r\nLocation: ?a_circle\r\nContent-Length: 0\r\n\r\n",
}  # fmt: skip
"""What a server answers, byte for byte."""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        wanted = self.rfile.readline(65_536).split()
        while self.rfile.readline(65_536).strip():
            pass
        self.wfile.write(ANSWERS[wanted[1].decode().rpartition("?")[2].replace("_", " ")])


@pytest.fixture
def server(no_proxy) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"me:secret@127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def make_items(folder: Path, server: str) -> list[tuple[str, list[str]]]:
    """Arguments of the command, each with what has to become of the pictures that it stands for."""
    items = [(name, [BAD]) for name in NO_NAMES]
    items += [(f"http://{server}/?{name.replace(' ', '_')}", [GOOD if name == "good" else BAD]) for name in ANSWERS]
    pictures, rng = Reader(PICTURES, lambda path: None, ".png"), np.random.default_rng(0)
    contents = [(PICTURES[number % len(PICTURES)], name, GOOD) for number, name in enumerate(NAMES)]
    contents += [(data, "bad", BAD) for data in (b"", b"text", PICTURES[1][:300], bytes(100))]
    contents += [(damaged(pictures, rng), "damaged", EITHER) for _ in range(100)]
    for number, (data, name, fate) in enumerate(contents):
        path = folder / f"{number} {name}.png"
        path.write_bytes(data)
        items.append((str(path), [fate]))
    for number, target in enumerate([folder / "link 0", folder / "gone", Path("/proc/self/mem")]):
        (folder / f"link {number}").symlink_to(target)
        items.append((str(folder / f"link {number}"), [BAD]))
    for count in range(3):
        (folder / f"folder {count}").mkdir()
        (folder / f"folder {count}" / "loop").symlink_to(folder / f"folder {count}" / "loop")
        for number in range(count):
            (folder / f"folder {count}" / f"{number}.jpg").write_bytes(PICTURES[0])
        items.append((str(folder / f"folder {count}"), [GOOD] * count or [BAD]))
    return [items[index] for index in rng.permutation(len(items))]


def test_good_pictures_are_captioned_whatever_stands_between_them(
    course_environ, server, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "items").mkdir()
    items = make_items(tmp_path / "items", server)
    listed = [item for item in items[::4] if item[0].strip() and "\n" not in item[0] and item[0] != "\ud800"]
    arguments = [item for item in items if item not in listed]
    arguments[50:50] = [("-", [fate for _, fates in listed for fate in fates])]
    names = "\ufeff" + "\n".join(name for name, _ in listed)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(names.encode("utf-8", "surrogateescape"))))
    status = main(["caption", "--json", *(name for name, _ in arguments)])
    output, errors = capsys.readouterr()
    pictures = json.loads(output, parse_constant=refuse_constant)["pictures"]
    for entry, fate in zip(pictures, [fate for _, fates in arguments for fate in fates], strict=True):
        assert (("error" in entry) == (fate == BAD)) or fate == EITHER, entry
        assert entry["error"] if "error" in entry else 0 < entry["probability"] <= 1, entry
    assert status == 1 and "Traceback" not in errors and "me:secret" not in output + errors
