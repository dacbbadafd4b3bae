"""The notebooks at full size, against what is committed: `make test-full`. Takes as long as the course."""

import os

import nbformat
import pytest
from compare_notebooks import differences

from tools.notebooks import REPOSITORY, find_notebooks, read_notebook
from tools.run_course import BUILD, main

SETTINGS = ("DATASET", "ENCODER", "COURSE_SIZE", "COURSE_SEED", "COURSE_SPLIT", "COURSE_DATA")


@pytest.mark.full
def test_the_course_gives_what_is_committed(tmp_path_factory, monkeypatch, capfd):
    """With FULL_REUSE=1, data/ and build/ are used, and what is finished there is not done again."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    data, build = REPOSITORY / "data", BUILD
    if os.environ.get("FULL_REUSE") != "1":
        data, build = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("build")
        monkeypatch.setenv("COURSE_DATA", str(data))
    with capfd.disabled():
        assert main(["--build", str(build)]) == 0
    found = []
    for path in find_notebooks():
        text = (build / "notebooks" / path.name).read_text(encoding="utf-8").replace(str(data), "data")
        executed = nbformat.reads(text, as_version=4)
        found += [f"{path.name}: {difference}" for difference in differences(read_notebook(path), executed)]
    assert not found, "\n".join(found)
