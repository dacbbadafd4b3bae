"""Steps in trouble: what they say, and that going on works when the trouble is over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import (
    LEFTOVER,
    atomic_folder,
    atomic_path,
    folder_in_use,
    make_folder,
    write_errors_explained,
    write_json,
)

HARNESS = Path(__file__).parents[1].joinpath("helpers", "trouble_harness.py")
NAMESPACE = ["unshare", "--mount"]
QUICK = ("resources", "embed", "prepare", "records")
TROUBLES = ("full", "readonly", "folder", "vanished", "clock")


def may_mount() -> bool:
    """Whether this process may mount things in a namespace of its own, as root in most containers may."""
    try:
        tried = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def troubled(stages: tuple[str, ...], *options: str) -> list[dict]:
    """What the harness reports of these stages in all troubles; without mounts of those that need none."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    troubles, start = (TROUBLES, NAMESPACE) if may_mount() else (TROUBLES[2:], [])
    command = [*start, sys.executable, str(HARNESS), *troubles, *options, "--stages", *stages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * 3600, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_a_step_in_trouble_names_the_file_and_goes_on_afterwards():
    found = troubled(QUICK)
    print("\n".join(f"{facts['stage']}, {facts['what']}: {facts['said']}" for facts in found))
    assert len(found) >= 3 * len(QUICK) - 1
    assert [facts for facts in found if facts["faults"]] == []


@pytest.mark.full
def test_every_step_in_every_trouble_names_the_file_and_goes_on_afterwards():
    found = troubled((*QUICK, "train", "train-records"), "--all")
    assert len(found) > 60 and [facts for facts in found if facts["faults"]] == []


def test_what_a_killed_process_left_goes_when_the_next_one_writes(tmp_path):
    left, others = tmp_path / ".part-0123abcd-data.json", tmp_path / ".part-of-mine.json"
    left.write_text("half")
    others.write_text("whole")
    write_json([1], tmp_path / "data.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == [others.name, "data.json"]


KILLED_WITHIN = """
import os, signal, sys
from say_what_you_see.core.files import atomic_folder
with atomic_folder(sys.argv[1]) as staging:
    (staging / "inside").mkdir()
    (staging / "inside" / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills by a signal")
def test_a_folder_that_a_killed_process_left_goes_when_the_next_one_writes(tmp_path):
    (tmp_path / ".part-of-mine").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / ".part-89abcdef-link").symlink_to(tmp_path / "mine")
    killed = subprocess.run([sys.executable, "-c", KILLED_WITHIN, tmp_path / "made"], check=False)
    assert killed.returncode == -9 and [path for path in tmp_path.iterdir() if LEFTOVER.fullmatch(path.name)]
    with atomic_folder(tmp_path / "made") as staging:
        assert list(staging.iterdir()) == []
        (staging / "whole").touch()
    assert {path.name for path in tmp_path.iterdir()} == {".part-of-mine", "mine", ".part-89abcdef-link", "made"}
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["whole"]


def test_a_folder_that_fails_leaves_the_older_one_and_one_that_ends_well_takes_its_place(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "old").touch()
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "made") as staging:
        (staging / "new").touch()
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["made", "old"]
    with atomic_folder(tmp_path / "made") as staging:
        (staging / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["made", "new"]


def test_what_others_write_at_the_same_time_stays(tmp_path):
    code = "import sys; from pathlib import Path; from say_what_you_see.core.files import folder_in_use\n"
    code += "with folder_in_use(Path(sys.argv[1])):\n    print(flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout.readline()
        theirs = tmp_path / ".part-0123abcd-data.json"
        theirs.write_text("half")
        folder = tmp_path / ".part-0123abcd-folder"
        folder.mkdir()
        write_json([1], tmp_path / "data.json")
        assert theirs.exists() and folder.exists()
        other.kill()
    write_json([1], tmp_path / "data.json")
    assert not theirs.exists() and not folder.exists()


def test_one_process_may_write_several_files_of_a_folder_at_once(tmp_path):
    with atomic_path(tmp_path / "one") as one, atomic_path(tmp_path / "two") as two, folder_in_use(tmp_path):
        one.write_text("1")
        two.write_text("2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_folder_or_a_file_in_the_way_is_named_and_left(tmp_path):
    (tmp_path / "data.json" / "inside").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CourseError, match=r"data\.json is a folder"):
        write_json([1], tmp_path / "data.json")
    for way in (lambda: write_json([1], tmp_path / "file" / "data.json"), lambda: make_folder(tmp_path / "file")):
        with pytest.raises(CourseError, match=r"file"):
            way()
    assert (tmp_path / "data.json" / "inside").is_dir() and (tmp_path / "file").read_text() == "mine"


def test_errors_about_other_files_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out"):
        (tmp_path / "another").read_text()
    with pytest.raises(CourseError, match="disk is full"), write_errors_explained(tmp_path / "out"):
        raise OSError(28, "No space left on device")
