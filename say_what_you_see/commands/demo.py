"""The command `say-what-you-see demo`: caption pictures on a page in the browser."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

from say_what_you_see.core.settings import Settings


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("--port", type=_port, default=0, metavar="N", help="port on 127.0.0.1 (default: any free one)")
    command.add_argument(
        "--model", type=Path, metavar="FOLDER",
        help="model folder (default: all that were trained, or else the one that comes with the course)",
    )  # fmt: skip
    command.add_argument("--no-browser", action="store_true", help="only print the address of the page")


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    print("Loading the model ...", flush=True)
    from say_what_you_see.page.examples import make_demo
    from say_what_you_see.page.server import DemoServer

    server = DemoServer(make_demo(settings, options.model), options.port).start()
    print(f"The page is at {server.url}\nOnly this computer can open it. Ctrl-C ends it.", flush=True)
    try:
        if not options.no_browser:
            webbrowser.open(server.url)
        server.wait()
    except KeyboardInterrupt:
        print("\nEnded.")
    finally:
        server.stop()
    return 0


def _port(text: str) -> int:
    """A port: a whole number below 65536; 0 takes a free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port, a whole number from 0 to 65535")
    return int(text)
