"""The benchmark's own machinery: contenders in processes of their own, medians, goals, reports."""

from __future__ import annotations

import json

import pytest
from benchmark_samples import contender, stage

from benchmarks.__main__ import main
from benchmarks.how_long import main as how_long
from benchmarks.how_long import time_in_words
from benchmarks.machine import describe_machine
from benchmarks.report import number, read_record, record, table, write_report
from benchmarks.runner import Result, StageResult, run_stage
from benchmarks.stage import Goal, Sample, agree


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> StageResult:
    contenders = (
        contender("steady"), contender("twice_as_slow", role="peer", fresh=True), contender("astray", role="peer"),
        contender("broken", role="peer"), contender("ends_early", role="peer"),
        contender("steady", needs=("no_such_package",)),
        contender("environment", environ={"BENCHMARK_SAMPLE": "7"}, role="backend"),
    )  # fmt: skip
    return run_stage(stage(*contenders, agreement=0.01), tmp_path_factory.mktemp("work"), repetitions=3, small=True)


def test_the_figure_is_what_was_done_in_a_second(found):
    assert found.of("steady").figures == [12, 12, 12]
    assert found.of("twice_as_slow").median == 6


def test_a_contender_keeps_its_process_unless_it_asks_for_fresh_ones(found):
    kept, fresh = ([sample.extra["process"] for sample in result.samples] for result in found.results[:2])
    assert len(set(kept)) == 1
    assert len(set(fresh)) == 3


def test_peak_memory_is_noted_for_all(found):
    assert 5 < found.of("steady").extra["peak memory (MB)"] < 2_000


def test_contenders_that_fail_or_are_not_installed_are_told_and_the_rest_goes_on(found):
    troubles = [result.failure for result in found.results]
    assert troubles[:3] == ["", "", ""]
    assert troubles[3] == "failed: RuntimeError: this contender cannot be set up"
    assert troubles[4].startswith("failed: BrokenProcessPool: A process in the process pool was terminated abruptly")
    assert troubles[5] == "not installed: no_such_package (make bench-peers)"


def test_the_environment_of_a_contender_is_its_own(found):
    assert found.of("environment").median == 7


def test_a_check_beyond_the_agreement_is_named(found):
    assert found.disagreements() == ["astray"]


def test_goals_are_held_against_the_best_that_is_there(found):
    goal = found.stage.goals[0]
    assert found.ratio(goal) == (2.0, "twice as slow")
    assert found.reached(goal) is True
    assert found.reached(Goal("steady", 2.5, "", against=("twice_as_slow", "astray"))) is False
    assert found.reached(Goal("steady", 12, "")) is True
    assert found.reached(Goal("steady", 1, "", against=("broken",))) is None
    assert found.reached(Goal("broken", 1, "", against=("steady",))) is None


def test_where_lower_is_better_the_lowest_peer_counts():
    results = [
        Result(contender(name), [Sample(amount)])
        for name, amount in (("steady", 2), ("twice_as_slow", 10), ("astray", 5))
    ]
    found = StageResult(stage(*(result.contender for result in results), lower_is_better=True), results)
    goal = Goal("steady", 0.5, "", against=("twice_as_slow", "astray"))
    assert found.ratio(goal) == (0.4, "astray")
    assert found.reached(goal) is True
    assert found.reached(Goal("steady", 1.9, "")) is False


@pytest.mark.parametrize(
    ("first", "second", "agreement", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0, True), ([1.0, 2.0], [1.0, 2.1], 0, False), ([1.0], [1.01], 0.02, True),
        ([1.0], [1.0, 1.0], 0.1, False), ("a", "a", 0, True), ("a", "b", 0.5, False), (None, [1.0], 0, True),
        ([0.0], [1e-15], 0.001, True),
    ],
)  # fmt: skip
def test_agreement(first, second, agreement, expected):
    assert agree(first, second, agreement) is expected


def test_the_table_names_all_contenders_their_troubles_and_the_goals(found):
    text = table(found)
    assert "| steady (course) | 12 | 12 to 12 | 1.00 |" in text
    assert "| twice as slow (peer) | 6 | 6 to 6 | 0.50 |" in text
    assert "this contender cannot be set up" in text
    assert "Goal: 1.5 x the slow one. Reached: 2.00 x twice as slow." in text
    assert "- astray: another result than the others'." in text


def test_reports_are_written_and_the_record_holds_every_repetition(found, tmp_path):
    machine = describe_machine()
    write_report(machine, [found], tmp_path)
    kept = json.loads((tmp_path / "benchmark.json").read_text())
    assert kept == json.loads(json.dumps(record(machine, [found])))
    assert kept["stages"][0]["contenders"][0]["figures"] == [12, 12, 12]
    assert machine["processor"] in (tmp_path / "benchmark.md").read_text()
    assert (tmp_path / "benchmark.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12,346"), (99.94, "99.9"), (0.01234, "0.0123"), (2, "2")])
def test_figures_have_three_digits(value, text):
    assert number(value) == text


def test_a_record_is_read_back_as_it_was_found(found, tmp_path):
    write_report(describe_machine(), [found], tmp_path)
    (again,) = read_record(tmp_path / "benchmark.json", {"counting": found.stage})
    assert [result.figures for result in again.results[:2]] == [result.figures for result in found.results[:2]]
    assert again.results[3].failure == found.results[3].failure
    assert again.ratio(found.stage.goals[0]) == found.ratio(found.stage.goals[0])
    assert read_record(tmp_path / "benchmark.json", {}) == []
    assert read_record(tmp_path / "none.json", {"counting": found.stage}) == []


def test_an_unknown_stage_is_named_together_with_those_that_there_are(capsys):
    assert main(["flying"]) == 2
    message = capsys.readouterr().err
    assert "flying" in message
    assert "beam" in message


def test_the_page_of_arithmetic_follows_from_the_record():
    assert how_long(["--check"]) == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(40, "40 s"), (400, "6.7 minutes"), (10_800, "3.0 hours"), (86_400 * 20, "20 days")]
)
def test_durations_are_told_in_the_unit_that_fits(seconds, text):
    assert time_in_words(seconds) == text
