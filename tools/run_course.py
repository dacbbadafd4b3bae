"""Work through the core notebooks in order: `python -m tools.run_course`, which is what `make course` calls.

`--all` goes on with the advanced ones (`make advanced`), and names choose some.

Executed copies and pages go to `build/`; the notebooks themselves stay as they are, unless
`--in-place` is given. What has been finished with the same code and settings is not done again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.core.settings import DATASETS, Settings, read_settings
from say_what_you_see.core.text import visible
from tools.notebooks import (
    NOTEBOOKS,
    REPOSITORY,
    chosen,
    code_cells,
    find_notebooks,
    normalise,
    read_notebook,
    write_notebook,
)
from tools.render import NotebookFailed, execute_notebook, peak_memory, write_page

BUILD = REPOSITORY / "build"
"""Where executed copies and pages go."""

_DEFAULTS = read_settings({})
_LAST_OF_CORE = "05"  # the number of the notebook that ends the core: a whole caption generator
_LEFT_OUT = ("checkpoints", ".")  # what names start with that come and go: training tidies up after itself


@dataclass
class Record:
    """What was finished: for each notebook its fingerprint, its page's, its seconds and the files that it made."""

    path: Path
    notebooks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record; none, or a damaged one, is as good as nothing done."""
        try:
            notebooks = read_json(path)["notebooks"]
            return cls(path, {name: entry for name, entry in notebooks.items() if "fingerprint" in entry})
        except (CourseError, LookupError, TypeError, AttributeError):
            return cls(path)

    def holds(self, name: str, fingerprint: str, folder: Path) -> bool:
        """Whether the notebook was finished with this fingerprint, and what it made is still there."""
        entry = self.notebooks.get(name, {})
        return entry.get("fingerprint") == fingerprint and all((folder / made).exists() for made in entry["made"])

    def add(self, name: str, **entry: Any) -> None:
        """Note that a notebook is finished."""
        self.notebooks[name] = entry
        write_json({"notebooks": self.notebooks}, self.path)


@dataclass(frozen=True)
class Run:
    """Where one run finds its notebooks, where it puts them, and what it runs on."""

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

    def failed(self, path: Path) -> Path:
        """Where a notebook goes that failed, as far as it came."""
        return self.build / "failed" / path.name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the course; the result is the exit status."""
    options = _parser().parse_args(arguments)
    os.environ.setdefault("COURSE_START", str(Path.cwd()))  # kernels start in the folder of the notebooks
    try:
        run = Run(read_settings(), options.notebooks.resolve(), options.build.resolve(), options.in_place)
        _check_in_place(run)
        run_course(run, options.names or (() if options.all else core_of(run.notebooks)))
    except CourseError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except _CourseStopped as error:
        print(f"\n{error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print(f"\nStopped. {_TO_GO_ON}", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.run_course", description=(__doc__ or "").strip())
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="run only these (03, or 03_prepare_captions)")
    parser.add_argument("--all", action="store_true", help="run the advanced notebooks, too")
    parser.add_argument("--in-place", action="store_true", help="write the outputs into the notebooks themselves")
    parser.add_argument("--notebooks", type=Path, default=NOTEBOOKS, metavar="FOLDER", help="folder of the notebooks")
    parser.add_argument("--build", type=Path, default=BUILD, metavar="FOLDER", help="folder for copies and pages")
    return parser


def core_of(folder: Path) -> list[str]:
    """The names of the notebooks that build the caption generator; the advanced ones come after them."""
    return [path.stem for path in find_notebooks(folder) if path.stem[:2] <= _LAST_OF_CORE]


class _CourseStopped(Exception):
    """The run ended early; the message says why and how to go on."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


_TO_GO_ON = "To go on, give the same command again (such as make course): finished notebooks are used again."


def _check_in_place(run: Run) -> None:
    """Outputs are committed as everybody gets them."""
    choices = asdict(run.settings) | {"data_folder": None}
    if run.in_place and choices != asdict(_DEFAULTS) | {"data_folder": None}:
        raise CourseError(
            "--in-place writes the outputs that are committed, and those are from the built-in settings.\n"
            "Unset DATASET, ENCODER, COURSE_SIZE, COURSE_SEED and COURSE_SPLIT, or leave --in-place out."
        )


def run_course(run: Run, names: Sequence[str] = ()) -> None:
    """Execute the notebooks that are not finished, write their pages, and say how it went.

    Args:
        run: the folders and settings.
        names: beginnings of the names of the notebooks to run; none means all.

    Raises:
        CourseError: if the notebooks cannot be read, or `names` fit none of them.
    """
    start = time.monotonic()
    paths = find_notebooks(run.notebooks)
    selected = chosen(paths, names)
    record = Record.read(run.build / "course.json")
    fingerprint = _fingerprint(_inputs(run.settings))
    for path in paths:
        notebook = read_notebook(path)
        fingerprint = _fingerprint([fingerprint, *(cell.source for cell in code_cells(notebook))])
        if path in selected:
            _do(run, record, path, notebook, fingerprint)
    _print_end(run, selected, time.monotonic() - start)


def _do(run: Run, record: Record, path: Path, notebook: NotebookNode, fingerprint: str) -> None:
    """Execute one notebook, or use it again."""
    folder = run.settings.dataset_folder
    outputs_exist = run.executed(path).exists() and run.page(path).exists()
    if not run.in_place and outputs_exist and record.holds(path.stem, fingerprint, folder):
        _refresh(run, record, path, notebook)
        print(f"{path.stem:<28} used again", flush=True)
        return
    before = _files_in(folder)
    seconds = _execute(run, path, notebook)
    normalise(notebook)
    write_notebook(notebook, run.executed(path))
    write_page(notebook, path.stem, run.notebooks, run.page(path))
    made = sorted(name for name, state in _files_in(folder).items() if before.get(name) != state)
    record.add(path.stem, fingerprint=fingerprint, text=_text_print(notebook), seconds=round(seconds, 1), made=made)


def _execute(run: Run, path: Path, notebook: NotebookNode) -> float:
    """Execute a notebook; say what to do when that fails."""
    failed = run.failed(path)
    failed.unlink(missing_ok=True)
    try:
        return execute_notebook(notebook, path.stem, path.parent, run.build / "kernel.log")
    except NotebookFailed as error:
        write_notebook(notebook, failed)
        raise _CourseStopped(_failure(path, error, failed), 1) from error
    except KeyboardInterrupt:
        raise _CourseStopped(f"Stopped in {path.stem}. {_TO_GO_ON}", 130) from None


def _failure(path: Path, error: NotebookFailed, failed: Path) -> str:
    """What failed, where and how to go on."""
    lines = error.source.splitlines()
    source = textwrap.indent("\n".join([*lines[:6], *(["..."] if len(lines) > 6 else [])]), "    ")
    where = f"in cell [{error.cell}]:\n\n{source}" if error.cell else "before its first cell."
    return (
        f"{path.name} failed {where}\n\n{error.error}\n\n"
        f"The notebook as far as it came, with the whole traceback: {failed}\n{_TO_GO_ON}"
    )


def _refresh(run: Run, record: Record, path: Path, notebook: NotebookNode) -> None:
    """Give a finished notebook the present text around its cells, where that has changed."""
    if record.notebooks[path.stem].get("text") == _text_print(notebook):
        return
    finished = code_cells(read_notebook(run.executed(path)))
    for cell, done in zip(code_cells(notebook), finished, strict=True):
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    write_notebook(notebook, run.executed(path))
    write_page(notebook, path.stem, run.notebooks, run.page(path))
    record.add(path.stem, **record.notebooks[path.stem] | {"text": _text_print(notebook)})


def _fingerprint(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _text_print(notebook: NotebookNode) -> str:
    """A fingerprint of all that a page shows but outputs."""
    return _fingerprint([(cell.cell_type, cell.source) for cell in notebook.cells])


def _inputs(settings: Settings) -> dict[str, Any]:
    """What the outputs depend on beside the notebooks: settings, our code, our weights, the user's files."""
    sources = [
        *sorted((REPOSITORY / "say_what_you_see").rglob("*.py")),
        *sorted((REPOSITORY / "say_what_you_see" / "shipped").glob("*.h5")),
    ]
    inputs = {str(path.relative_to(REPOSITORY)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sources}
    given = [Path(settings.dataset)] if settings.dataset not in DATASETS else []
    given += [Path(settings.encoder)] if settings.encoder.endswith(".keras") else []
    inputs["settings"] = {key: str(value) for key, value in asdict(settings).items()}
    inputs["given"] = [_files_in(path) if path.is_dir() else _state(path) for path in given]
    return inputs


def _files_in(folder: Path) -> dict[str, list[int]]:
    """Size and time of every file in a folder, by its path in it; hidden files and checkpoints left out."""
    files = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(_LEFT_OUT) for part in parts):
            files["/".join(parts)] = _state(path)
    return files


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _print_end(run: Run, selected: Sequence[Path], seconds: float) -> None:
    """Captions, where the pages are, time and memory."""
    captions = run.settings.work_folder / "example_captions.json"
    if not run.in_place and captions.exists():
        print("\n" + captions_as_text(read_json(captions)))
    memory = peak_memory()
    peak = f", with {memory / 1e9:.1f} GB of memory at most" if memory else ""
    minutes, rest = divmod(round(seconds), 60)
    print(f"\n{len(selected)} notebook{'s' * (len(selected) != 1)} in {minutes} min {rest} s{peak}.")
    print(f"To read them, open {run.page(selected[0])}")


def captions_as_text(examples: Sequence[dict[str, Any]], count: int = 5) -> str:
    """Pictures with the model's caption and what people say, as text.

    Args:
        examples: dictionaries with "file", "caption" and "references".
        count: how many to show at most.
    """
    blocks = ["What the model says about pictures that it has never seen:"]
    for example in examples[:count]:
        rows = [("model", example["caption"]), *(("people", text) for text in example["references"][:2])]
        lines = [f"    {who if number < 2 else '':<8}{text}" for number, (who, text) in enumerate(rows)]
        blocks.append("\n".join([f"  {example['file']}", *lines]))
    return visible("\n\n".join(blocks))


if __name__ == "__main__":
    sys.exit(main())
