"""The widget in notebooks: the same page as `make demo`, asking the kernel in place of a server."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import anywidget

from say_what_you_see.core.errors import CourseError
from say_what_you_see.page.core import MAX_UPLOAD_BYTES, Demo
from say_what_you_see.page.server import PAGE_FOLDER


def _page_file(name: str) -> str:
    return (PAGE_FOLDER / name).read_text(encoding="utf-8")


class CaptionWidget(anywidget.AnyWidget):
    """Shows a demonstration and answers its questions."""

    _esm = _page_file("demo.js") + _page_file("widget.js")
    _css = _page_file("demo.css")

    def __init__(self, demo: Demo) -> None:
        """Make a widget for a demonstration."""
        super().__init__()
        self.demo = demo
        self._upload: tuple[str, bytearray] = ("", bytearray())
        self.on_msg(self._on_message)

    def _on_message(self, _widget: Any, message: dict[str, Any], buffers: list[memoryview]) -> None:
        """Answer a question; whatever goes wrong is an answer, too."""
        try:
            content = self._collect(message, buffers) if "start" in message else message.get("content", {})
            if content is not None:
                self.send({"id": message["id"], "answer": self.demo.answer(str(message.get("question")), content)})
        except CourseError as error:
            self.send({"id": message.get("id"), "error": str(error)})
        except Exception:  # an exception would vanish between kernel and page
            traceback.print_exc(file=sys.__stderr__)
            self.send({"id": message.get("id"), "error": "something went wrong; the kernel's log says more"})

    def _collect(self, message: dict[str, Any], buffers: list[memoryview]) -> bytes | None:
        """Join the parts of a file; None until the last one is there."""
        if message["start"] == 0:
            self._upload = (str(message["id"]), bytearray())
        number, data = self._upload
        if number != message["id"] or message["start"] != len(data):
            return None  # of a file that was given up, for a newer one or because it was too large
        data += b"".join(bytes(part) for part in buffers)
        if len(data) > MAX_UPLOAD_BYTES:
            self._upload = ("", bytearray())
            raise CourseError(f"the file is larger than {MAX_UPLOAD_BYTES / 1e6:.0f} MB")
        if not message["last"]:
            return None
        self._upload = ("", bytearray())
        return bytes(data)
