"""Work through the core notebooks in order: `python -m tools.run_course`, which is what `make course` calls.

`--all` goes on with the advanced ones (`make advanced`), and names choose some.

Executed copies and pages go to `build/`; the notebooks themselves stay as they are, unless
`--in-place` is given. What has been finished with the same code and settings is not done again.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import contextlib
import hashlib
import json
import os
import re
import signal
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.core.settings import DATASETS, Settings, read_settings
from say_what_you_see.core.text import visible
from tools.notebooks import (
    NOTEBOOKS,
    REPOSITORY,
    code_cells,
    find_notebooks,
    normalise,
    read_notebook,
    write_notebook,
)
from tools.render import write_page

BUILD = REPOSITORY / "build"
"""Where executed copies and pages go."""

_LAST_OF_CORE = "05"  # the number of the notebook that ends the core: a whole caption generator
_TEMPORARY = ("checkpoints", ".")  # what names start with that come and go: training tidies up after itself
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TO_GO_ON = "To go on, give the same command again (such as make course): finished notebooks are used again."


class CourseStopped(Exception):
    """The run ended early; the message says why and how to go on."""

    def __init__(self, message: str, status: int):
        super().__init__(f"{message}\n{_TO_GO_ON}")
        self.status = status


@dataclass(frozen=True)
class Run:
    """Where one run finds its notebooks, where it puts them, and the settings that it runs with."""

    settings: Settings
    notebooks: Path = NOTEBOOKS
    build: Path = BUILD
    in_place: bool = False

    def executed(self, path: Path) -> Path:
        """Where the executed copy of a notebook goes."""
        return path if self.in_place else self.build / "notebooks" / path.name

    def page(self, path: Path) -> Path:
        """Where the page of a notebook goes."""
        return self.build / "html" / f"{path.stem}.html"

    @property
    def record(self) -> Path:
        """Where it is written down which notebooks are finished."""
        return self.build / "course.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the course; the result is the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.run_course", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="run only these (03, or 03_prepare_captions)")
    parser.add_argument("--all", action="store_true", help="run the advanced notebooks, too")
    parser.add_argument("--in-place", action="store_true", help="write the outputs into the notebooks themselves")
    parser.add_argument("--notebooks", type=Path, default=NOTEBOOKS, metavar="FOLDER", help="folder of the notebooks")
    parser.add_argument("--build", type=Path, default=BUILD, metavar="FOLDER", help="folder for copies and pages")
    options = parser.parse_args(arguments)
    os.environ.setdefault("COURSE_START", str(Path.cwd()))  # kernels start in the folder of the notebooks
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # the kernel of this Python, whatever else is installed
    try:
        run = Run(read_settings(), options.notebooks.resolve(), options.build.resolve(), options.in_place)
        _check_in_place(run)
        run_course(run, options.names, core_only=not options.all)
    except (CourseError, CourseStopped) as error:
        print(f"\n{error}", file=sys.stderr)
        return getattr(error, "status", 1)
    return 0


def _check_in_place(run: Run) -> None:
    """Outputs are committed as everybody gets them."""
    built_in = replace(read_settings({}), data_folder=run.settings.data_folder)
    if run.in_place and run.settings != built_in:
        raise CourseError(
            "--in-place writes the outputs that are committed, and those are from the built-in settings.\n"
            "Unset DATASET, ENCODER, COURSE_SIZE, COURSE_SEED and COURSE_SPLIT, or leave --in-place out."
        )


def run_course(run: Run, names: Sequence[str] = (), core_only: bool = False) -> None:
    """Execute the notebooks that are not finished, write their pages, and say how it went.

    Args:
        run: the folders and settings.
        names: beginnings of the names of the notebooks to run; none means all.
        core_only: without names, leave out the advanced notebooks.

    Raises:
        CourseError: if the notebooks cannot be read, or a name fits none of them.
        CourseStopped: if a cell fails, the kernel dies, or the user interrupts.
    """
    start = time.monotonic()
    paths = find_notebooks(run.notebooks)
    selected = select(paths, names, core_only)
    fingerprint = _fingerprint(_inputs(run.settings))
    for path in paths:
        notebook = read_notebook(path)
        fingerprint = _fingerprint([fingerprint, *(cell.source for cell in code_cells(notebook))])
        if path in selected and not _use_again(run, path, notebook, fingerprint):
            _execute_and_write(run, path, notebook, fingerprint)
    _print_end(run, selected, time.monotonic() - start)


def select(paths: Sequence[Path], names: Sequence[str], core_only: bool = False) -> list[Path]:
    """The notebooks whose names start with one of `names`; where no name is given, all, or those of the core.

    Raises:
        CourseError: if a name fits no notebook.
    """
    stems = [Path(name).name.removesuffix(".ipynb") for name in names]
    for stem in stems:
        if not any(path.stem.startswith(stem) for path in paths):
            raise CourseError(f"No notebook starts with {stem!r}. There are: {', '.join(path.stem for path in paths)}.")
    if not stems:
        return [path for path in paths if not core_only or path.stem[:2] <= _LAST_OF_CORE]
    return [path for path in paths if path.stem.startswith(tuple(stems))]


def _use_again(run: Run, path: Path, notebook: NotebookNode, fingerprint: str) -> bool:
    """Use a finished notebook again, with the present text around its cells; whether that is possible."""
    entry = _read_record(run).get(path.stem, {})
    made = [run.settings.dataset_folder / name for name in entry.get("made", ())]
    files = [run.executed(path), run.page(path), *made]
    if run.in_place or entry.get("fingerprint") != fingerprint or not all(file.exists() for file in files):
        return False
    finished = read_notebook(run.executed(path))
    if [cell.source for cell in finished.cells] != [cell.source for cell in notebook.cells]:
        for cell, done in zip(code_cells(notebook), code_cells(finished), strict=True):
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
        _write(run, path, notebook)
    print(f"{path.stem:<28} used again", flush=True)
    return True


def _execute_and_write(run: Run, path: Path, notebook: NotebookNode, fingerprint: str) -> None:
    """Execute a notebook, write copy and page, and note that it is finished."""
    folder = run.settings.dataset_folder
    before = _files_in(folder)
    failed = run.build / "failed" / path.name
    failed.unlink(missing_ok=True)
    try:
        execute_notebook(notebook, path.stem, path.parent, run.build / "kernel.log")
    except CourseStopped as error:
        if error.status == 1:
            write_notebook(notebook, failed)
            note = f"The notebook as far as it came, with the whole traceback: {failed}"
            raise CourseStopped(str(error).replace(_TO_GO_ON, note), 1) from error
        raise
    _write(run, path, notebook)
    made = sorted(name for name, state in _files_in(folder).items() if before.get(name) != state)
    write_json({"notebooks": _read_record(run) | {path.stem: {"fingerprint": fingerprint, "made": made}}}, run.record)


def _write(run: Run, path: Path, notebook: NotebookNode) -> None:
    normalise(notebook)
    write_notebook(notebook, run.executed(path))
    write_page(notebook, path.stem, run.notebooks, run.page(path))


def execute_notebook(notebook: NotebookNode, name: str, folder: Path, log: Path) -> None:
    """Execute a notebook in a fresh kernel of this Python, with one line of progress on standard output.

    Args:
        notebook: is given its outputs, as far as it comes.
        name: what to call it on the line.
        folder: the current folder of the kernel.
        log: file for what the kernel's process says outside cells.

    Raises:
        CourseStopped: if a cell fails, the kernel dies, or the user interrupts: the cell is interrupted, too, and has
            a few seconds to leave its files in order.
    """
    for cell in notebook.cells:  # what is committed must not pass for what was executed now
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    total, start, cells = len(code_cells(notebook)), time.monotonic(), []

    def at_cell(cell: NotebookNode, **_: object) -> None:
        cells.append(cell)

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=at_cell,
        on_cell_executed=lambda **_: print(".", end="", flush=True),
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"{name:<28} ", end="", flush=True)
    note = "failed"
    try:
        asyncio.run(_execute_cells(client, log))
        note = ""
    except KeyboardInterrupt:
        note = "stopped"
        raise CourseStopped(f"Stopped in {name}.", 130) from None
    except CellExecutionError as error:
        message = f"{error.ename}: {error.evalue}" if error.evalue else error.ename
        raise CourseStopped(_failure(name, cells, message), 1) from error
    except RuntimeError as error:  # nbclient's and jupyter_client's way to say that the kernel died
        raise CourseStopped(_failure(name, cells, f"The kernel died. {_last_words(log)}"), 1) from error
    finally:
        done = len(cells) - bool(note and cells)
        print(f" {done}/{total} cells  {_clock(time.monotonic() - start)}  {note}".rstrip(), flush=True)


async def _execute_cells(client: NotebookClient, log: Path) -> None:
    """Execute all cells. Ctrl-C goes to the cell that is running; the second time, the kernel is killed.

    Raises:
        KeyboardInterrupt: if the user stopped it.
    """
    stop_requests = 0

    def stop() -> None:
        nonlocal stop_requests
        stop_requests += 1
        kernel = client.km
        asyncio.ensure_future(kernel.interrupt_kernel() if stop_requests == 1 else kernel.shutdown_kernel(now=True))

    try:
        with open(log, "wb") as output:
            async with client.async_setup_kernel(stderr=output):
                with contextlib.suppress(NotImplementedError):  # on Windows, asyncio ends the kernel at Ctrl-C
                    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop)
                for index, cell in enumerate(client.nb.cells):
                    await client.async_execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
                    if stop_requests:
                        break
    except (CellExecutionError, RuntimeError):
        if not stop_requests:
            raise
    finally:  # nbclient forgets this when a kernel does not start, and fails over it when Python ends
        atexit.unregister(client._cleanup_kernel)
    if stop_requests:
        raise KeyboardInterrupt


def _failure(name: str, cells: Sequence[NotebookNode], message: str) -> str:
    """Which cell failed, and why."""
    if not cells:
        return f"{name}.ipynb failed before its first cell.\n\n{message}\n"
    lines = cells[-1].source.splitlines()
    source = textwrap.indent("\n".join([*lines[:6], *(["..."] if len(lines) > 6 else [])]), "    ")
    return f"{name}.ipynb failed in cell [{len(cells)}]:\n\n{source}\n\n{_ANSI.sub('', message)}\n"


def _last_words(log: Path) -> str:
    """The end of what the kernel's process wrote, or the usual reason for silence."""
    lines = _ANSI.sub("", log.read_text(encoding="utf-8", errors="replace")).splitlines()
    words = "\n".join([line for line in lines if line.strip() and not line.startswith("[IPKernelApp]")][-5:])
    return f"Its last words:\n{words}" if words else "It said nothing: often, memory has run out."


def _read_record(run: Run) -> dict[str, dict[str, Any]]:
    """Fingerprint and files of each finished notebook; no record, or a damaged one, is as good as nothing done."""
    try:
        entries = read_json(run.record)["notebooks"]
        return {name: entry for name, entry in entries.items() if {"fingerprint", "made"} <= set(entry)}
    except (CourseError, LookupError, TypeError, AttributeError):
        return {}


def _fingerprint(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _inputs(settings: Settings) -> dict[str, Any]:
    """What the outputs depend on beside the notebooks: settings, our code, our weights, the user's files."""
    package = REPOSITORY / "say_what_you_see"
    sources = sorted([*package.rglob("*.py"), *(package / "shipped").glob("*.h5")])
    given = [Path(settings.dataset)] if settings.dataset not in DATASETS else []
    given += [Path(settings.encoder)] if settings.encoder.endswith(".keras") else []
    return {
        "code": {path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sources},
        "settings": {key: str(value) for key, value in asdict(settings).items()},
        "given": [_files_in(path) if path.is_dir() else _state(path) for path in given],
    }


def _files_in(folder: Path) -> dict[str, list[int]]:
    """Size and time of every file in a folder, by its path in it; hidden files and checkpoints left out."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    kept = {name: path for name, path in paths.items() if not any(part.startswith(_TEMPORARY) for part in name.parts)}
    return {name.as_posix(): _state(path) for name, path in kept.items()}


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _print_end(run: Run, selected: Sequence[Path], seconds: float) -> None:
    """Captions, time, and where the pages are."""
    captions = run.settings.work_folder / "example_captions.json"
    if not run.in_place and captions.exists():
        print("\n" + captions_as_text(read_json(captions)))
    count = f"{len(selected)} notebook{'s' * (len(selected) != 1)}"
    print(f"\n{count} in {_clock(seconds)} minutes.")
    print(f"To read them, open {run.page(selected[0])}")


def _clock(seconds: float) -> str:
    """Minutes and seconds, as in 3:07."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def captions_as_text(examples: Sequence[dict[str, Any]], count: int = 5) -> str:
    """Pictures with the model's caption and reference captions, as text.

    Args:
        examples: dictionaries with "file", "caption" and "references".
        count: how many to show at most.
    """
    blocks = ["What the model says about pictures that it has never seen:"]
    for example in examples[:count]:
        lines = [f"  {example['file']}", f"    {'model':<11}{example['caption']}"]
        lines += [f"    {who:<11}{text}" for who, text in zip(("reference", ""), example["references"], strict=False)]
        blocks.append("\n".join(lines))
    return visible("\n\n".join(blocks))


if __name__ == "__main__":
    sys.exit(main())
