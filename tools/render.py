"""Execute a notebook in a kernel of its own, and turn it into a page that needs no other file."""

from __future__ import annotations

import asyncio
import atexit
import copy
import os
import re
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jinja2 import DictLoader
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from say_what_you_see.core.files import atomic_path
from tools.first_cells import without_badge
from tools.notebooks import code_cells

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_NOTEBOOK_LINK = re.compile(r'(href="(?:\./)?[0-9]{2}_\w+)\.ipynb(?=["#])')
_REPOSITORY_LINK = re.compile(r'(?<=href=")(\.\./[^"#?]+)')

_TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% macro with_alt(picture, output, kind) -%}
{{ picture | replace('<img', '<img alt="' ~ ((output | get_metadata('alt', kind)) or '') | escape ~ '"', 1) }}
{%- endmacro %}
{% block data_png %}{{ with_alt(super(), output, 'image/png') }}{% endblock %}
{% block data_jpg %}{{ with_alt(super(), output, 'image/jpeg') }}{% endblock %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_js_mathjax %}{% if resources.has_formulas %}{{ super() }}{% endif %}{% endblock %}
"""


class NotebookFailed(Exception):
    """A cell of a notebook failed, or its kernel died.

    Attributes:
        cell: number of the cell as Jupyter shows it in front of it, [1] being the first; 0 before that.
        source: the cell's source.
        error: name of the error and its message, without colours.
    """

    def __init__(self, cell: int, source: str, error: str):
        super().__init__(error)
        self.cell, self.source, self.error = cell, source, error


class ProgressLine:
    """The one line about a notebook as it runs: name, cells done, time.

    In a terminal the line is redrawn; elsewhere a dot is added for every cell.
    """

    def __init__(self, name: str, total: int):
        self.name, self.total, self.done = name, total, 0
        self.start = time.monotonic()
        self._live = sys.stdout.isatty()
        self._print(f"{name:<28}" if not self._live else self._text())

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def cell_done(self) -> None:
        """Count one more cell."""
        self.done += 1
        self._print("." if not self._live else self._text())

    def tick(self) -> None:
        """Show the time that has passed, where the line can be redrawn."""
        if self._live:
            self._print(self._text())

    def finish(self, note: str = "") -> None:
        """End the line, with a word on how it went."""
        text = self._text() if self._live else f" {self.done}/{self.total} cells  {clock(self.seconds)}"
        self._print(f"{text}  {note}".rstrip() + "\n")

    def _text(self) -> str:
        return f"\r{self.name:<28} {self.done:>3}/{self.total} cells  {clock(self.seconds)}"

    @staticmethod
    def _print(text: str) -> None:
        print(text, end="", flush=True)


def clock(seconds: float) -> str:
    """Minutes and seconds, as in 3:07; with hours from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _ThisPython(KernelSpecManager):
    """Knows one kernel: the Python that runs this, whatever kernels the machine has under that name."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())


class _ThisPythonKernel(AsyncKernelManager):
    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return _ThisPython()


class _Stopped(Exception):
    """The user asked to stop while no cell was running."""


class NotebookRun:
    """One run of a notebook: its kernel, which cell it is at, and how to interrupt it.

    The kernel is looked after in a thread, so that Ctrl-C reaches us, and we can pass it on
    to the running cell: that one may want to leave its files in order.
    """

    def __init__(self, notebook: NotebookNode, folder: Path, log: Path, line: ProgressLine):
        self.line, self.log = line, log
        self.cell, self.source, self.stop_requests = 0, "", 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self.client = NotebookClient(
            notebook,
            kernel_manager_class=_ThisPythonKernel,
            kernel_name="python3",
            timeout=None,
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
            on_cell_start=self._before_cell,
            on_cell_execute=self._at_cell,
            on_cell_executed=lambda **_: line.cell_done(),
        )

    def execute(self) -> None:
        """Execute all cells; the notebook then holds their outputs.

        Raises:
            NotebookFailed: if a cell fails or the kernel dies.
            KeyboardInterrupt: if the user stopped it; the kernel has ended by then.
        """
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(asyncio.run, self._execute())
            while not future.done():
                self._wait(future)
        if self.stop_requests:
            raise KeyboardInterrupt
        self._raise_failure(future)

    def _wait(self, future: Future) -> None:
        try:
            wait([future], timeout=1)
            self.line.tick()
        except KeyboardInterrupt:
            self.stop_requests += 1
            self._pass_on_stop()

    def _pass_on_stop(self) -> None:
        """Interrupt the cell that is running; end the kernel when asked twice."""
        manager = self.client.km
        if self.loop and manager and manager.has_kernel:
            stop = manager.interrupt_kernel() if self.stop_requests == 1 else manager.signal_kernel(_KILL)
            asyncio.run_coroutine_threadsafe(stop, self.loop)

    async def _execute(self) -> None:
        self.loop = asyncio.get_running_loop()
        try:
            with open(self.log, "wb") as log:
                await self.client.async_execute(stderr=log)
        finally:  # nbclient forgets this when a kernel does not start, and fails over it when Python ends
            atexit.unregister(self.client._cleanup_kernel)

    def _before_cell(self, **_: object) -> None:
        if self.stop_requests:
            raise _Stopped

    def _at_cell(self, cell: NotebookNode, **_: object) -> None:
        self.cell, self.source = self.cell + 1, cell.source

    def _raise_failure(self, future: Future) -> None:
        error = future.exception()
        if isinstance(error, CellExecutionError):
            message = f"{error.ename}: {error.evalue}" if error.evalue else error.ename
            raise NotebookFailed(self.cell, self.source, _ANSI.sub("", message)) from error
        if isinstance(error, RuntimeError):  # nbclient's and jupyter_client's way to say that the kernel died
            raise NotebookFailed(self.cell, self.source, f"The kernel died. {self._last_words()}") from error
        if error:
            raise error

    def _last_words(self) -> str:
        """The end of what the kernel's process wrote, or the usual reason for silence."""
        lines = _ANSI.sub("", self.log.read_text(encoding="utf-8", errors="replace")).splitlines()
        words = "\n".join([line for line in lines if line.strip() and not line.startswith("[IPKernelApp]")][-5:])
        return f"Its last words:\n{words}" if words else "It said nothing: often, memory has run out."


_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no SIGKILL


def execute_notebook(notebook: NotebookNode, name: str, folder: Path, log: Path) -> float:
    """Execute a notebook in a fresh kernel of this Python, with one line of progress on standard output.

    Args:
        notebook: is given its outputs, as far as it comes.
        name: what to call it on the line.
        folder: the current folder of the kernel.
        log: file for what the kernel's process says outside cells.

    Returns:
        How many seconds it took.

    Raises:
        NotebookFailed, KeyboardInterrupt: see `NotebookRun.execute`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    _forget_outputs(notebook)
    line = ProgressLine(name, len(code_cells(notebook)))
    note = "stopped"
    try:
        NotebookRun(notebook, folder, log, line).execute()
        note = ""
    except NotebookFailed:
        note = "failed"
        raise
    finally:
        line.finish(note)
    return line.seconds


def _forget_outputs(notebook: NotebookNode) -> None:
    """What is committed must not pass for what was executed now."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def peak_memory() -> int | None:
    """The most memory in bytes that a kernel held at a time, of those that have ended; None on Windows."""
    if os.name != "posix":
        return None
    import resource

    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return kilobytes * (1 if sys.platform == "darwin" else 1024)  # macOS counts bytes


def write_page(notebook: NotebookNode, name: str, folder: Path, path: Path) -> None:
    """Write a notebook as an HTML page that holds its pictures, with their alternative texts, and loads no script.

    The one exception are formulas: a page that has some loads MathJax where there is a network. The badge that opens
    a notebook in Colab is left out, since its picture is on the network.

    Args:
        notebook: an executed notebook.
        name: title of the page.
        folder: where the notebook's relative paths to pictures count from.
        path: the file to write.
    """
    exporter = HTMLExporter(
        template_file="course.html.j2",
        extra_loaders=[DictLoader({"course.html.j2": _TEMPLATE})],
        embed_images=True,
        exclude_anchor_links=True,
    )
    resources = {"metadata": {"name": name, "path": str(folder)}, "has_formulas": _has_formulas(notebook)}
    shown = copy.deepcopy(notebook)
    for cell in shown.cells[:1]:
        cell.source = without_badge(cell.source)
    html, _ = exporter.from_notebook_node(shown, resources=resources)
    html = _NOTEBOOK_LINK.sub(r"\1.html", html)
    html = _REPOSITORY_LINK.sub(partial(_from_page, folder=folder, page=path), html)
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")


def _from_page(link: re.Match, folder: Path, page: Path) -> str:
    """A link to another file of the course, as it must stand in the page instead of in the notebook."""
    target = (folder / link[1]).resolve()
    return Path(os.path.relpath(target, page.resolve().parent)).as_posix() if target.exists() else link[1]


def _has_formulas(notebook: NotebookNode) -> bool:
    texts = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return any(re.search(r"\$[^$\n]+\$|\\\(|\\\[", text) for text in texts)
