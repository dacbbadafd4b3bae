"""Executes a notebook in a fresh kernel, with one line of progress, and says why a notebook stopped."""

import asyncio
import atexit
import contextlib
import signal
import textwrap
import time
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert.filters import strip_ansi
from nbconvert.preprocessors import ClearOutputPreprocessor
from nbformat import NotebookNode

from say_what_you_see.core.errors import CourseError
from tools.notebooks import code_cells


class CourseStopped(CourseError):
    """The run ended early; the message says why, and `status` is the exit status."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


def execute_notebook(notebook: NotebookNode, name: str, folder: Path, log: Path) -> None:
    """Execute a notebook in a kernel that runs in this folder; what the kernel prints outside cells goes to a log.

    Raises:
        CourseStopped: if a cell fails, the kernel dies, or the user interrupts: then the cell is interrupted, too, and
            has a few seconds to leave its files in order.
    """
    # Committed outputs must not be taken for new ones.
    ClearOutputPreprocessor(remove_metadata_fields=set()).preprocess(notebook, {})
    total, start, begun, note = len(code_cells(notebook)), time.monotonic(), [], "failed"
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"{name:<28} ", end="", flush=True)
    try:
        _execute(notebook, folder, log, begun)
        note = ""
    except KeyboardInterrupt:
        note = "stopped"
        raise CourseStopped(f"Stopped in {name}.", 130) from None
    except CellExecutionError as error:
        raise CourseStopped(_failure(name, begun, f"{error.ename}: {error.evalue}"), 1) from error
    except RuntimeError as error:  # how nbclient and jupyter_client report that the kernel died
        raise CourseStopped(_failure(name, begun, f"The kernel died. {_last_words(log)}"), 1) from error
    finally:
        done = len(begun) - bool(note and begun)
        print(f" {done}/{total} cells  {clock(time.monotonic() - start)}  {note}".rstrip(), flush=True)


def _execute(notebook: NotebookNode, folder: Path, log: Path, begun: list[NotebookNode]) -> None:
    """Execute all cells, adding each to `begun`. Ctrl-C interrupts the cell; a second Ctrl-C kills the kernel."""
    stops = 0

    def stop() -> None:
        nonlocal stops
        stops += 1
        kernel = client.km
        asyncio.ensure_future(kernel.interrupt_kernel() if stops == 1 else kernel.shutdown_kernel(now=True))

    def listen(**_: object) -> None:
        with contextlib.suppress(NotImplementedError):  # on Windows, Ctrl-C is an exception
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop)

    def begin(cell: NotebookNode, **_: object) -> None:
        if stops:
            raise RuntimeError("Even if the interrupted cell ends without an error, the next one does not begin.")
        begun.append(cell)

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        on_notebook_start=listen,
        on_cell_execute=begin,
        on_cell_executed=lambda **_: print(".", end="", flush=True),
    )
    try:
        with open(log, "wb") as output:
            client.execute(stderr=output)
    except Exception:
        if not stops:
            raise
    finally:  # nbclient does not do this when a kernel fails to start, and then raises an error when Python exits
        atexit.unregister(client._cleanup_kernel)
    if stops:
        raise KeyboardInterrupt


def _failure(name: str, begun: list[NotebookNode], message: str) -> str:
    """The message that says which cell failed, and why."""
    if not begun:
        return f"{name}.ipynb failed before its first cell.\n\n{message}\n"
    lines = begun[-1].source.splitlines()
    source = textwrap.indent("\n".join(lines[:6] + ["..."] * (len(lines) > 6)), "    ")
    return f"{name}.ipynb failed in cell [{len(begun)}]:\n\n{source}\n\n{strip_ansi(message)}\n"


def _last_words(log: Path) -> str:
    """The end of what the kernel's process wrote, or, if it wrote nothing, the usual reason."""
    lines = strip_ansi(log.read_text(encoding="utf-8", errors="replace")).splitlines()
    words = "\n".join([line for line in lines if line.strip() and not line.startswith("[IPKernelApp]")][-5:])
    return f"Its last output:\n{words}" if words else "It printed nothing: often this means that memory ran out."


def clock(seconds: float) -> str:
    """Minutes and seconds, as in 3:07."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
