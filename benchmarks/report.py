"""What a benchmark found: a table for the terminal and the README, a plot, and JSON for the record."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.runner import Result, StageResult
from benchmarks.stage import Sample, Stage
from say_what_you_see.core.files import atomic_path, read_json, write_json

_ROLES = {"course": "course", "backend": "course, other backend", "peer": "peer", "limit": "limit"}
_COLOURS = {"course": "#0072B2", "backend": "#56B4E9", "peer": "#E69F00", "limit": "#595959"}
"""Of Okabe and Ito, who made them for people with any colour vision; beside them stands each bar's name."""


def table(found: StageResult) -> str:
    """A stage as a table in Markdown, with what became of its goals below."""
    stage = found.stage
    extra = list(dict.fromkeys(name for result in found.results for name in result.extra))
    rows = [
        ["", stage.unit, "lowest to highest", "of the course's", *extra],
        ["---", *["---:"] * (3 + len(extra))],
        *(_row(result, found, extra) for result in found.results),
    ]
    lines = [f"### {stage.title}", "", *("| " + " | ".join(row) + " |" for row in rows), ""]
    lines += [f"- {_outcome(found, goal)}" for goal in stage.goals]
    lines += [f"- {title}: another result than the others'." for title in found.disagreements()]
    return "\n".join(lines)


def _row(result: Result, found: StageResult, extra: list[str]) -> list[str]:
    name = f"{result.contender.title} ({_ROLES[result.contender.role]})"
    if not result.samples:
        return [name, result.failure, "", "", *[""] * len(extra)]
    first = found.results[0]
    share = f"{result.median / first.median:.2f}" if first.samples else ""
    span = f"{number(min(result.figures))} to {number(max(result.figures))}"
    own = [number(result.extra[name]) if name in result.extra else "" for name in extra]
    return [name, number(result.median), span, share, *own]


def _outcome(found: StageResult, goal) -> str:
    ratio, reached = found.ratio(goal), found.reached(goal)
    if ratio is None:
        return f"Goal: {goal.text}. Could not be told here."
    figure = f"{number(ratio[0])} {found.stage.unit}" if not goal.against else f"{ratio[0]:.2f} x {ratio[1]}"
    return f"Goal: {goal.text}. {'Reached' if reached else 'Not reached'}: {figure}."


def number(value: float) -> str:
    """A figure with three digits or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def record(machine: dict[str, Any], stages: list[StageResult]) -> dict[str, Any]:
    """All figures, as JSON."""
    return {"machine": machine, "stages": [_stage_record(found) for found in stages]}


def _stage_record(found: StageResult) -> dict[str, Any]:
    stage = found.stage
    return {
        "name": stage.name, "title": stage.title, "unit": stage.unit, "lower_is_better": stage.lower_is_better,
        "contenders": [_contender_record(result) for result in found.results],
        "goals": [
            {"text": goal.text, "ratio": found.ratio(goal) and round(found.ratio(goal)[0], 3),
             "reached": found.reached(goal)}
            for goal in stage.goals
        ],
        "disagree": found.disagreements(),
    }  # fmt: skip


def _contender_record(result: Result) -> dict[str, Any]:
    about = {"key": result.contender.key, "title": result.contender.title, "role": result.contender.role}
    if not result.samples:
        return about | {"trouble": result.failure}
    figures = [float(f"{figure:.5g}") for figure in result.figures]
    return about | {"median": float(f"{result.median:.5g}"), "figures": figures, "facts": result.extra}


def read_record(path: Path, stages: Mapping[str, Stage]) -> list[StageResult]:
    """The stages in a record that there still are, as they were found; empty where there is no record."""
    if not path.exists():
        return []
    kept = [kept for kept in read_json(path)["stages"] if kept["name"] in stages]
    return [StageResult(stages[each["name"]], _results(each, stages[each["name"]])) for each in kept]


def _results(kept: dict[str, Any], stage: Stage) -> list[Result]:
    """The results of those contenders that a stage still has; their checks are not in a record."""
    known = {contender.key for contender in stage.contenders}
    return [
        Result(
            stage.contender(each["key"]),
            [Sample(figure, extra=each["facts"]) for figure in each.get("figures", [])],
            each.get("trouble", ""),
        )
        for each in kept["contenders"]
        if each["key"] in known
    ]


def plot(stages: list[StageResult], path: Path) -> None:
    """A row of bars for each stage: the medians, and a line from the lowest to the highest figure."""
    import matplotlib.pyplot as plt

    heights = [1.2 + 0.36 * len(found.results) for found in stages]
    figure, axes = plt.subplots(
        len(stages), 1, figsize=(9, sum(heights)), height_ratios=heights, layout="constrained", squeeze=False
    )
    for axis, found in zip(axes[:, 0], stages, strict=True):
        _draw(axis, found)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    plt.close(figure)


def _draw(axis, found: StageResult) -> None:
    shown = [result for result in found.results if result.samples]
    for place, result in enumerate(shown):
        median, low, high = result.median, min(result.figures), max(result.figures)
        axis.barh(place, median, color=_COLOURS[result.contender.role], height=0.7)
        axis.plot([low, high], [place, place], color="black", linewidth=1.5)
        axis.text(max(median, high), place, f"  {number(median)}", va="center")
    axis.set_yticks(range(len(shown)), [result.contender.title for result in shown])
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.spines[["top", "right"]].set_visible(False)
    better = "lower" if found.stage.lower_is_better else "higher"
    title = f"{found.stage.title} ({found.stage.unit}, {better} is better)"
    axis.set_title(textwrap.fill(title, 62), loc="left", fontsize=11)


def write_report(machine: dict[str, Any], stages: list[StageResult], folder: Path) -> None:
    """Write benchmark.json, benchmark.md and benchmark.png into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record(machine, stages), folder / "benchmark.json")
    text = "\n\n".join([describe(machine), *map(table, stages)]) + "\n"
    with atomic_path(folder / "benchmark.md") as partial:
        partial.write_text(text, encoding="utf-8")
    plot(stages, folder / "benchmark.png")


def describe(machine: dict[str, Any]) -> str:
    """The machine in a sentence or two."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['date']}, {machine['processor']}, {machine['cores']} cores, which reach "
        f"{machine['peak (GFLOP/s)']} GFLOP/s and {machine['memory (GB/s)']} GB/s. "
        f"Python {machine['python']}, {packages}."
    )
