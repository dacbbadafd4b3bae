"""Small files in place of the resources of the course, served on this machine."""

from __future__ import annotations

import dataclasses
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from say_what_you_see.core.files import sha256_of
from say_what_you_see.data import resources
from say_what_you_see.data.resources import Resource


def write_zip(path: Path, members: Mapping[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip with these members; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve the files of a folder; the address without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def published_table(folder: Path, url: str) -> tuple[Resource, ...]:
    """The table of resources in which those that the folder holds are these small files at this address."""

    def small(resource: Resource) -> Resource:
        path = folder / resource.name
        if not path.exists():
            return resource
        size, checksum = path.stat().st_size, f"sha256:{sha256_of(path)}"
        return dataclasses.replace(resource, url=f"{url}/{resource.name}", bytes=size, checksum=checksum)

    return tuple(map(small, resources.RESOURCES))
