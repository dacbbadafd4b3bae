"""The benchmark's own machinery: contenders in processes of their own, medians, reports."""

import re
from typing import Any

import pytest
from benchmark_samples import contender, stage

from benchmarks.__main__ import main
from benchmarks.lesson import record_table
from benchmarks.machine import describe_machine
from benchmarks.report import table, write_report
from benchmarks.runner import run_stage


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, Any]:
    contenders = (
        contender("steady", "counting"),
        contender("slow", "counting", role="peer", fresh=True, options={"slower": 3, "last": 2.001}),
        contender("astray", "counting", role="peer", options={"last": 3.0}),
        contender("broken", "broken", role="peer"),
        contender("ends_early", "ends_early", role="peer"),
        contender("missing", "counting", needs=("no_such_package",)),
        contender("goes_on", "goes_on"),
        contender("environment", "environment", environ={"BENCHMARK_SAMPLE": "7"}, role="backend"),
    )
    return run_stage(stage(*contenders), tmp_path_factory.mktemp("work"), repetitions=2, small=True)


def test_each_contender_works_in_a_process_and_an_environment_of_its_own(found):
    steady, slow, *_, goes_on, environment = found["contenders"]
    assert len(steady["figures"]) == 2 and 0 < steady["median"] <= 48 and 0 < slow["median"] <= 16
    assert environment["facts"]["found"] == 7
    assert steady["facts"]["process"] != slow["facts"]["process"] and 5 < steady["facts"]["peak memory (MB)"] < 2_000
    assert goes_on["figures"] == [6, 6], "what a repetition does after its work is not counted"
    assert found["disagree"] == ["astray"]


def test_contenders_that_fail_or_are_not_installed_are_told_and_the_rest_goes_on(found):
    broken, ended, missing = (contender["trouble"] for contender in found["contenders"][3:6])
    assert broken == "failed: RuntimeError: this contender cannot be set up"
    assert ended.startswith("failed: BrokenProcessPool")
    assert missing == "not installed: no_such_package (make bench-peers)"


def test_the_report_names_all_contenders_and_their_troubles(found, tmp_path):
    write_report(describe_machine(), [found], tmp_path)
    assert table(found) in (tmp_path / "benchmark.md").read_text()
    parts = ("| steady (course) |", " | 1.00 |", "| slow (peer) |", "astray: its result differs from the others'.")
    assert all(part in table(found) for part in (*parts, found["contenders"][3]["trouble"]))
    found_again = record_table(tmp_path / "benchmark.json")
    assert re.search(r"[\d.]+ numbers/s; best peer [\d.]+, astray; [\d.]+ times", found_again)


def test_an_unknown_stage_is_named_together_with_those_that_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["flying"])
    message = capsys.readouterr().err
    assert "flying" in message and "beam" in message
