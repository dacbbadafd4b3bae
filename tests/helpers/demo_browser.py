"""A Chromium without a window for tests, led by its debugging protocol, with packages that Jupyter brings."""

import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket
from waiting import wait_until

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_KEYS = {"Tab": 9, "Enter": 13, "ArrowRight": 39}


class Browser:
    """One page of a running Chromium."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(address, timeout=120, suppress_origin=True, max_size=None)
        self.numbers = itertools.count(1)
        self.problems: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give one command and wait for its result."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self._note(message)

    def _note(self, message: Mapping[str, Any]) -> None:
        """Remember what the page complained about and what it asked for."""
        method, details = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(details["exceptionDetails"])[:1000])
        elif method == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.problems.append(f"{details['entry']['text']} {details['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"])

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are waited for."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.run(f"Boolean({script})"):
                return
            time.sleep(0.05)
        raise AssertionError(f"After {seconds} s still not: {script}\n{self.run('document.body.innerText')[:2000]}")

    @contextmanager
    def changing(self, selector: str) -> Iterator[None]:
        """Wait in the end until the text of an element is another one than before."""
        text = f"document.querySelector({json.dumps(selector)}).textContent"
        before = self.run(text)
        yield
        self.wait_for(f"{text} !== {json.dumps(before)}")

    def text(self, selector: str) -> str:
        """The visible text of an element."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def place_of(self, selector: str) -> dict[str, float]:
        """The middle of an element, scrolled into view."""
        return self.run(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{ block: "center" }});
            const box = element.getBoundingClientRect();
            return {{ x: box.x + box.width / 2, y: box.y + box.height / 2 }};
        }})()""")

    def click(self, selector: str) -> None:
        """Move the mouse there and click."""
        place = self.place_of(selector)
        self.send("Input.dispatchMouseEvent", type="mouseMoved", **place)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def press(self, key: str, times: int = 1, shift: bool = False) -> None:
        details = {"key": key, "windowsVirtualKeyCode": _KEYS[key], "modifiers": 8 * shift}
        text = {"text": "\r"} if key == "Enter" else {}
        for _ in range(times):
            self.send("Input.dispatchKeyEvent", type="keyDown", **details, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", **details)

    def drop(self, selector: str, files: Sequence[Path]) -> None:
        """Drag files over an element and let go, as from a file manager."""
        data = {"items": [], "files": [str(path) for path in files], "dragOperationsMask": 1}
        place = self.place_of(selector)
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, data=data, **place)

    def look(self, width: int, height: int, dark: bool = False, still: bool = True) -> None:
        """Set the window's size, the colours that the user prefers, and whether movement is welcome."""
        self.send("Emulation.setScrollbarsHidden", hidden=True)
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self.send("Emulation.setEmulatedMedia", features=features)


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Start a browser with a fresh profile, and end it in any case; skips the test where none is installed."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if not program:
        pytest.skip("no Chromium is installed (CHROMIUM=path names one)")
    command = [
        program, "--headless=new", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={folder}",
        "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", "--no-proxy-server", "--remote-allow-origins=*",
        *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []), "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        written = folder / "DevToolsActivePort"
        port = wait_until(lambda: written.exists() and written.read_text(), process, 60).split()[0]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        pages = json.loads(opener.open(f"http://127.0.0.1:{port}/json/list", timeout=30).read())
        browser = Browser(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"))
        yield browser
        browser.socket.close()
    finally:
        process.terminate()
        process.wait(timeout=20)
