"""How pytest runs the notebooks: small, in one data folder that is removed, comparing what is tagged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from notebook_samples import executed, notebook, printed, write

from tools.notebooks import REPOSITORY

WARN = "import sys\nprint('took 3 s', file=sys.stderr)\nprint('same')"
LEAVE = (
    "import os, pathlib\ndata = pathlib.Path(os.environ['COURSE_DATA'])\n"
    "(data / 'left').write_text(os.environ['COURSE_SIZE'])\n(pathlib.Path.cwd() / 'where').write_text(str(data))"
)
READ = "import os, pathlib\nassert pathlib.Path(os.environ['COURSE_DATA'], 'left').read_text() == 'small'"


def test_outputs_are_compared_where_tagged_and_data_is_shared_and_removed(tmp_path):
    tags = ("nbval-check-output",)
    good = executed(WARN, 1, printed("took 2 s\n", "stderr"), printed("same\n"), tags=tags)
    free = executed("print('any')", 2, printed("other\n"))
    bad = executed(WARN, 1, printed("other\n"), tags=tags)
    for number, cells in enumerate([(good, free), (bad,), (executed(LEAVE, 1),), (executed(READ, 1),)]):
        write(notebook(*cells), tmp_path / f"{number:02}_lesson.ipynb")
    shutil.copy(REPOSITORY / "conftest.py", tmp_path)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "."]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1 and "1 failed, 4 passed" in result.stdout, result.stdout
    data = Path((tmp_path / "where").read_text())
    assert not data.exists() and REPOSITORY not in data.parents
