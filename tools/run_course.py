"""Work through the core notebooks in order: `python -m tools.run_course`, which is what `make course` calls.

`--all` goes on with the advanced ones (`make advanced`), and names select some.

Executed copies and pages go to `build/`; the notebooks themselves stay as they are, unless
`--in-place` is given. What was finished with the same code and settings is not done again.
"""

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, read_note, sha256_of, write_json
from say_what_you_see.core.settings import Settings, read_settings
from say_what_you_see.core.text import visible
from tools.execute import CourseStopped, clock, execute_notebook
from tools.notebooks import NOTEBOOKS, REPOSITORY, code_cells, find_notebooks, normalise, read_notebook, write_notebook
from tools.render import write_page

BUILD = REPOSITORY / "build"  # where executed copies and pages go
_RECORD = "course.json"  # says which notebooks are finished
_LAST_OF_CORE = "05"  # the number of the notebook that ends the core, with a complete caption generator
_TEMPORARY = ("checkpoints", ".")  # how the names of temporary files start: training removes them itself
_TO_GO_ON = "To go on, run the same command again (such as make course): finished notebooks are used again."


@dataclass(frozen=True)
class Run:
    """Where a run finds its notebooks, where it puts them, and the settings that it runs with."""

    settings: Settings
    notebooks: Path
    build: Path
    in_place: bool

    def executed(self, path: Path) -> Path:
        """Where the executed copy of a notebook goes."""
        return path if self.in_place else self.build / "notebooks" / path.name

    def page(self, path: Path) -> Path:
        """Where the page of a notebook goes."""
        return self.build / "html" / f"{path.stem}.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the course; return the exit status."""
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
        settings = read_settings()
        if options.in_place and settings != replace(read_settings({}), data_folder=settings.data_folder):
            raise CourseError(
                "Committed outputs must come from the built-in settings. Unset DATASET and the other variables."
            )
        run = Run(settings, options.notebooks.resolve(), options.build.resolve(), options.in_place)
        run_course(run, options.names, core_only=not options.all)
    except CourseError as error:
        print(f"\n{error}", file=sys.stderr)
        return getattr(error, "status", 1)
    return 0


def run_course(run: Run, names: Sequence[str], core_only: bool) -> None:
    """Execute the notebooks that are not finished, write their pages, and say how it went.

    Args:
        names: how the names of the notebooks to run begin; if empty, all are run.
        core_only: without names, leave out the advanced notebooks.
    """
    start = time.monotonic()
    paths = find_notebooks(run.notebooks)
    selected = select(paths, names, core_only)
    fingerprint = _fingerprint_of_inputs(run.settings)
    for path in paths:
        notebook = read_notebook(path)
        fingerprint = _fingerprint(fingerprint, *(cell.source for cell in code_cells(notebook)))
        if path in selected and not _use_again(run, path, notebook, fingerprint):
            _execute_and_write(run, path, notebook, fingerprint)
    captions = run.settings.work_folder / "example_captions.json"
    if not run.in_place and captions.exists():
        print("\n" + captions_as_text(read_json(captions)))
    count = f"{len(selected)} notebook{'s' * (len(selected) != 1)}"
    print(f"\n{count} in {clock(time.monotonic() - start)} minutes.")
    print(f"To read them, open {run.page(selected[0])}")


def select(paths: Sequence[Path], names: Sequence[str], core_only: bool) -> list[Path]:
    """The notebooks whose names start with one of `names`; if no name is given, all, or those of the core."""
    stems = tuple(Path(name).stem for name in names)
    for stem in stems:
        if not any(path.stem.startswith(stem) for path in paths):
            raise CourseError(f"No notebook starts with {stem!r}. There are: {', '.join(path.stem for path in paths)}.")
    if not stems:
        return [path for path in paths if not core_only or path.stem[:2] <= _LAST_OF_CORE]
    return [path for path in paths if path.stem.startswith(stems)]


def _use_again(run: Run, path: Path, notebook: NotebookNode, fingerprint: str) -> bool:
    """Reuse a finished notebook, with the current text around its cells; return whether that was possible."""
    entry = _finished(run).get(path.stem, {})
    made = [run.settings.dataset_folder / name for name in entry.get("made", ())]
    files = [run.executed(path), run.page(path), *made]
    if run.in_place or entry.get("fingerprint") != fingerprint or not all(file.exists() for file in files):
        return False
    finished = code_cells(read_notebook(run.executed(path)))
    for cell, done in zip(code_cells(notebook), finished, strict=True):
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    _write(run, path, notebook)
    print(f"{path.stem:<28} used again", flush=True)
    return True


def _execute_and_write(run: Run, path: Path, notebook: NotebookNode, fingerprint: str) -> None:
    """Execute a notebook, write its copy and its page, and record that it is finished."""
    failed, start = run.build / "failed" / path.name, time.time()
    failed.unlink(missing_ok=True)
    try:
        execute_notebook(notebook, path.stem, path.parent, run.build / "kernel.log")
    except CourseStopped as error:
        write_notebook(notebook, failed)
        note = f"The notebook as far as it got, with the whole traceback: {failed}"
        raise CourseStopped(f"{error}\n{note}\n{_TO_GO_ON}", error.status) from error
    _write(run, path, notebook)
    made = [name for name, status in _files_in(run.settings.dataset_folder).items() if status.st_mtime >= start]
    entry = {path.stem: {"fingerprint": fingerprint, "made": made}}
    write_json({"notebooks": _finished(run) | entry}, run.build / _RECORD)


def _write(run: Run, path: Path, notebook: NotebookNode) -> None:
    normalise(notebook)
    write_notebook(notebook, run.executed(path))
    write_page(notebook, path.stem, run.notebooks, run.page(path))


def _finished(run: Run) -> dict[str, dict[str, Any]]:
    """The fingerprint and files of each finished notebook."""
    return read_note(run.build / _RECORD).get("notebooks", {})


def _fingerprint(*data: object) -> str:
    return hashlib.sha256(repr(data).encode()).hexdigest()


def _fingerprint_of_inputs(settings: Settings) -> str:
    """The fingerprint of what outputs depend on besides notebooks: settings, our code and weights, the user's files."""
    package = REPOSITORY / "say_what_you_see"
    sources = sorted([*package.rglob("*.py"), *filter(Path.is_file, package.glob("shipped/**/*"))])
    given = [file for name in (settings.dataset, settings.encoder) for file in _files_in(Path(name)).items()]
    files = [(name, status.st_size, status.st_mtime_ns) for name, status in given]
    return _fingerprint(settings, files, [(path, sha256_of(path)) for path in sources])


def _files_in(place: Path) -> dict[str, os.stat_result]:
    """A file, or every file of a folder by its path within it, without hidden files and checkpoints."""
    paths = sorted(place.rglob("*")) if place.is_absolute() else []  # names such as "coco" are not folders
    names = {path.relative_to(place): path for path in [*paths, place] if path.is_file()}
    kept = {name: path for name, path in names.items() if not any(part.startswith(_TEMPORARY) for part in name.parts)}
    return {name.as_posix(): path.stat() for name, path in kept.items()}


def captions_as_text(examples: Sequence[dict[str, Any]]) -> str:
    """Up to five pictures with the model's and the reference captions: "file", "caption" and "references" of each."""
    blocks = ["What the model says about pictures that it has never seen:"]
    for example in examples[:5]:
        lines = [f"  {example['file']}", f"    {'model':<11}{example['caption']}"]
        lines += [f"    {who:<11}{text}" for who, text in zip(("reference", ""), example["references"], strict=False)]
        blocks.append("\n".join(lines))
    return visible("\n\n".join(blocks))


if __name__ == "__main__":
    sys.exit(main())
