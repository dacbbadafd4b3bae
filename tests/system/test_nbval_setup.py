"""How pytest runs the notebooks: small, in one data folder that is removed, comparing what is tagged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from notebook_samples import executed, notebook, printed, write

from tools.notebooks import REPOSITORY

WARN = "import sys\nprint('took 3 s', file=sys.stderr)\nprint('same')"
LEAVE = (
    "import os, pathlib\n"
    "data = pathlib.Path(os.environ['COURSE_DATA'])\n"
    "(data / 'left').write_text(os.environ['COURSE_SIZE'])\n"
    "(pathlib.Path.cwd() / 'where').write_text(str(data))"
)


def run_nbval(folder: Path, *notebooks: nbformat.NotebookNode) -> subprocess.CompletedProcess:
    for number, made in enumerate(notebooks):
        write(made, folder / f"{number:02}_lesson.ipynb")
    shutil.copy(REPOSITORY / "conftest.py", folder)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_stderr_is_not_compared_and_stdout_is(tmp_path):
    good = executed(WARN, 1, printed("took 2 s\n", "stderr"), printed("same\n"), tags=("nbval-check-output",))
    free = executed("print('any')", 2, printed("other\n"))
    result = run_nbval(tmp_path, notebook(good, free))
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout

    bad = executed(WARN, 1, printed("other\n"), tags=("nbval-check-output",))
    result = run_nbval(tmp_path, notebook(bad))
    assert result.returncode == 1
    assert "1 failed" in result.stdout


def test_notebooks_share_a_small_run_that_leaves_nothing(tmp_path):
    read = "import os, pathlib\nassert pathlib.Path(os.environ['COURSE_DATA'], 'left').read_text() == 'small'"
    result = run_nbval(tmp_path, notebook(executed(LEAVE, 1)), notebook(executed(read, 1)))
    assert result.returncode == 0, result.stdout
    data = Path((tmp_path / "where").read_text())
    assert not data.exists() and REPOSITORY not in data.parents
