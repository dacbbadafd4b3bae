"""The stages: all that can run here finds the same."""

import pytest

from benchmarks.__main__ import all_stages
from benchmarks.stage import agree

STAGES = all_stages()
FOLDERS, PROGRAMS = ("folder_greedy", "folder_beam"), ("first_caption",)


@pytest.mark.parametrize("name", [name for name in STAGES if name not in FOLDERS + PROGRAMS])
def test_every_contender_of_this_process_finds_the_same(name, tmp_path):
    stage = STAGES[name]
    work, checks = stage.make_work(tmp_path, True), {}
    for contender in stage.contenders:
        if not contender.missing() and not contender.environ:
            sample = contender.prepare(work)()
            assert sample.amount > 0
            checks[contender.key] = sample.known()
    first = next(iter(checks.values()))
    assert len(checks) >= 2 and all(check for key, check in checks.items() if "bf16" not in key)
    assert [key for key, check in checks.items() if not agree(first, check, stage.agreement)] == []


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_captioned_as_a_whole(name, tmp_path):
    work = STAGES[name].make_work(tmp_path, True)
    for contender in STAGES[name].contenders:
        assert contender.missing() or contender.prepare(work)().amount == 4
