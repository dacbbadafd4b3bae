"""Good and bad pictures, mixed, in one `caption --json`: the good are captioned, each bad one has an error of its own.

`FUZZ_ITEMS=100000 python -m pytest tests/system/test_fuzz_caption.py` tries more of them; `FUZZ_SEED` others.
"""

import io
import json
import os
import shutil
import socketserver
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from damage import damaged
from download_server import running
from hostile_files import animation, picture

ITEMS, SEED = int(os.environ.get("FUZZ_ITEMS", "300")), int(os.environ.get("FUZZ_SEED", "0"))
ROUND = min(ITEMS, 1000)
"""So many items are given to one command."""

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
    answering = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler)
    with running(answering):
        yield f"me:secret@127.0.0.1:{answering.server_address[1]}"


class Items:
    """Makes items by chance: arguments of the command, and what has to become of each picture that they stand for."""

    def __init__(self, folder: Path, server: str, rng: Random) -> None:
        self.folder, self.server, self.rng, self.made = folder, server, rng, 0
        folder.mkdir()

    def new_path(self) -> Path:
        self.made += 1
        name = "".join(self.rng.choices(NAMES, k=self.rng.randint(1, 4)))
        return self.folder / f"{self.made} {name}.png"

    def write(self, data: bytes) -> Path:
        path = self.new_path()
        path.write_bytes(data)
        return path

    def item(self) -> tuple[object, list[str]]:
        """An argument, and what has to become of its pictures."""
        match self.rng.choice(["good", "good", "folder", "bad name", "bad file", "bad link", "damaged", "web"]):
            case "good":
                return self.write(self.rng.choice(PICTURES)), [GOOD]
            case "folder":
                return self.folder_of_pictures()
            case "bad name":
                return self.rng.choice(NO_NAMES), [BAD]
            case "bad file":
                return self.write(self.rng.choice([b"", b"text", PICTURES[1][:300], bytes(100)])), [BAD]
            case "bad link":
                path = self.new_path()
                path.symlink_to(self.rng.choice([path, self.folder / "gone", Path("/proc/self/mem")]))
                return path, [BAD]
            case "damaged":
                return self.write(damaged(PICTURES, self.rng)), [EITHER]
        name = self.rng.choice(list(ANSWERS))
        return f"http://{self.server}/?{name.replace(' ', '_')}", [GOOD if name == "good" else BAD]

    def folder_of_pictures(self) -> tuple[Path, list[str]]:
        folder, count = self.new_path(), self.rng.randrange(3)
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.jpg").write_bytes(self.rng.choice(PICTURES))
        (folder / "loop").symlink_to(folder / "loop")
        if count == 2 and self.rng.random() < 0.5:
            (folder / "bad.jpg").write_bytes(b"")
            return folder, [GOOD, GOOD, BAD]
        return folder, [GOOD] * count or [BAD]


def resident(field: str) -> int:
    """The bytes of memory that this process has (VmRSS), or had at most since it was last asked for it (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return 1024 * int(status.partition(f"{field}:")[2].split()[0])


def test_good_pictures_are_captioned_whatever_stands_between_them(command, server, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    command("caption", "nowhere", status=1)  # whatever is loaded once is loaded now
    counts, usual = Counter(), resident("VmRSS")
    for number in range(ITEMS // ROUND):
        items = Items(tmp_path / "items", server, Random(f"{SEED} {number}"))
        arguments, listed = ([items.item() for _ in range(count)] for count in (ROUND * 3 // 4, ROUND // 4))
        listed = [(str(name), fates) for name, fates in listed]
        listed = [(name, fates) for name, fates in listed if name.strip() and "\n" not in name and name != "\ud800"]
        at = items.rng.randrange(len(arguments))
        arguments[at:at] = [("-", [fate for _, fates in listed for fate in fates])]
        names = "\ufeff" * items.rng.randrange(2) + "\n".join(name for name, _ in listed)
        given = names.encode("utf-8", "surrogateescape")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        output, errors = command("caption", "--json", *(name for name, _ in arguments), status=1)
        pictures = json.loads(output, parse_constant=pytest.fail)["pictures"]
        fates = [fate for _, fates in arguments for fate in fates]
        assert len(pictures) == len(fates), f"round {number}"
        for entry, fate in zip(pictures, fates, strict=True):
            assert (("error" in entry) == (fate == BAD)) or fate == EITHER, (number, entry)
            assert entry["error"] if "error" in entry else 0 < entry["probability"] <= 1, (number, entry)
            counts["error" in entry] += 1
        assert "Traceback" not in errors and "me:secret" not in output + errors
        shutil.rmtree(items.folder)
    assert min(counts.values()) > ITEMS / 4
    assert resident("VmHWM") - usual < 400e6
