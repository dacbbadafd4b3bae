"""No pickle runs anything, fills the memory or keeps the reader busy, whatever is in it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hostile_pickles import FOREIGN, GREEDY, HARMLESS_BUT_LARGE, MALICIOUS

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_pickle

MEMORY, SECONDS = 1 << 30, 5


@pytest.mark.parametrize("name", MALICIOUS)
def test_what_wants_to_run_something_is_refused(name, tmp_path):
    path = tmp_path / "trap.pickle"
    path.write_bytes(MALICIOUS[name](str(tmp_path / "refused")))
    with pytest.raises(CourseError, match=r"trap\.pickle (holds|is no whole pickle)"):
        read_pickle(path)
    assert list(tmp_path.iterdir()) == [path], "nothing was executed"


@pytest.mark.parametrize("name", MALICIOUS)
def test_the_traps_would_work_elsewhere(name, tmp_path):
    """Or the test above would show nothing."""
    written = MALICIOUS[name](str(tmp_path / "ran"))
    try:
        found = pickle.loads(written)
        if hasattr(found, "communicate"):
            found.communicate(timeout=60)
        elif hasattr(found, "close"):
            found.close()
    except Exception as error:  # what was to be run has run by then
        assert not isinstance(error, EOFError), "the trap is broken"
    assert [path.stem for path in tmp_path.iterdir()] == ["ran"]


_WATCHED = """
    import json, resource, sys, time
    from hostile_pickles import GREEDY, HARMLESS_BUT_LARGE
    from say_what_you_see.core.errors import CourseError
    from say_what_you_see.core.files import read_pickle

    memory, seconds, path = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    before = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (before + memory, before + memory))
    found = {}
    for name, data in {**GREEDY, **{name: data for name, (data, _) in HARMLESS_BUT_LARGE.items()}}.items():
        open(path, "wb").write(data)
        start = time.process_time()
        try:
            said = type(read_pickle(path)).__name__
        except CourseError as error:
            said = str(error)
        found[name] = said, time.process_time() - start
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> dict[str, tuple[str, float]]:
    """What reading each greedy pickle says and how long it takes, in a process that can have a gigabyte more."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the memory of a process is limited and measured in Linux's way")
    path = tmp_path_factory.mktemp("greedy") / "greedy.pickle"
    command = [sys.executable, "-c", textwrap.dedent(_WATCHED), str(MEMORY), str(SECONDS), str(path)]
    folders = str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[2])
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={"PYTHONPATH": ":".join(folders), "LANG": "C.UTF-8"}
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("name", GREEDY)
def test_what_claims_to_be_huge_is_refused_at_once(name, watched):
    said, seconds = watched[name]
    assert "holds" in said or "is no whole pickle" in said
    assert "MemoryError" not in said, "it was refused before the memory was taken"
    assert len(said) < 600 and seconds < SECONDS


@pytest.mark.parametrize("name", HARMLESS_BUT_LARGE)
def test_what_only_looks_large_is_read(name, watched):
    said, seconds = watched[name]
    assert said == HARMLESS_BUT_LARGE[name][1].__name__ and seconds < SECONDS


@pytest.mark.parametrize("name", FOREIGN)
def test_instructions_that_plain_values_do_not_need_are_refused(name, tmp_path):
    path = tmp_path / "foreign.pickle"
    path.write_bytes(FOREIGN[name])
    with pytest.raises(CourseError, match=r"foreign\.pickle (holds|is no whole pickle)"):
        read_pickle(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_is_cut_off_anywhere_is_refused(protocol, tmp_path):
    whole = pickle.dumps({"names": ["a.jpg", "b.jpg"], "array": np.arange(6.0).reshape(2, 3), 3: (1, {2})}, protocol)
    path = tmp_path / "cut.pickle"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CourseError, match=r"cut\.pickle"):
            read_pickle(path)


def test_a_message_about_a_hostile_name_is_short_and_fit_for_a_terminal(tmp_path):
    path = tmp_path / "name.pickle"
    path.write_bytes(b"c" + b"\x1b[2J" + b"x" * 100_000 + b"\nsystem\n.")
    with pytest.raises(CourseError) as caught:
        read_pickle(path)
    assert "\x1b" not in str(caught.value) and r"\x1b[2J" in str(caught.value) and len(str(caught.value)) < 600


def test_there_are_enough_of_them():
    assert len(MALICIOUS) >= 30 and len(GREEDY) + len(FOREIGN) >= 30
