"""How the notebooks are tested: `python -m pytest --nbval-lax --nbval-current-env notebooks`.

They run in order on a few dozen pictures, and hand their files on to each other in a temporary
folder. Outputs are compared in cells tagged `nbval-check-output`.
"""

import os
import tempfile
from pathlib import Path

import pytest

_SETTINGS = {"DATASET": "scenes", "ENCODER": "inception_v3", "COURSE_SIZE": "small", "COURSE_SEED": "0"}
collect_ignore = ["notebooks/exercises"]  # copies with empty functions, for people


def pytest_configure(config: pytest.Config) -> None:
    """Have the notebooks run small, and away from the course's own data."""
    if config.getoption("nbval_lax", False) or config.getoption("nbval", False):
        folder = tempfile.TemporaryDirectory(prefix="course_data_", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ.update(_SETTINGS, COURSE_DATA=str(Path(folder.name).resolve()), COURSE_PROGRESS="off")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave stderr out of comparisons: it holds progress bars and what TensorFlow says about the machine."""
    for item in items:
        if hasattr(item.parent, "skip_compare"):
            item.parent.skip_compare = (*item.parent.skip_compare, "stderr")
