"""What a benchmark found: Markdown tables for people, JSON for the record."""

import statistics
from pathlib import Path
from typing import Any

from say_what_you_see.core.files import atomic_path, write_json


def table(stage: dict[str, Any]) -> str:
    """A stage of a record as a Markdown table, followed by the contenders whose results differ."""
    contenders = stage["contenders"]
    facts = list({name: None for contender in contenders for name in contender.get("facts", ())})
    rows = [["", stage["unit"], "lowest to highest", "of the course's", *facts], ["---", *["---:"] * (3 + len(facts))]]
    rows += [_row(contender, contenders[0], facts) for contender in contenders]
    lines = [f"### {stage['title']}", "", *("| " + " | ".join(row) + " |" for row in rows)]
    lines += [f"\n{title}: its result differs from the others'." for title in stage["disagree"]]
    return "\n".join(lines)


def _row(contender: dict[str, Any], course: dict[str, Any], facts: list[str]) -> list[str]:
    name = f"{contender['title']} ({contender['role']})"
    if "figures" not in contender:
        return [name, contender["trouble"], "", "", *[""] * len(facts)]
    figures, own = contender["figures"], course.get("figures", [])
    share = f"{statistics.median(a / b for a, b in zip(figures, own, strict=True)):.2f}" if own else ""
    span = f"{number(min(figures))} to {number(max(figures))}"
    known = contender["facts"]
    shown = [number(known[fact]) if fact in known else "" for fact in facts]
    return [name, number(contender["median"]), span, share, *shown]


def number(value: float) -> str:
    """A figure with three significant digits, or rounded to a whole number if that has more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_report(machine: dict[str, Any], stages: list[dict[str, Any]], folder: Path) -> None:
    """Write benchmark.json and benchmark.md into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json({"machine": machine, "stages": stages}, folder / "benchmark.json")
    with atomic_path(folder / "benchmark.md") as partial:
        partial.write_text("\n\n".join([describe(machine), *map(table, stages)]) + "\n", encoding="utf-8")


def describe(machine: dict[str, Any]) -> str:
    """The machine in a sentence or two."""
    text = (
        "{date}, {processor}, {cores} cores, which reach {peak (GFLOP/s)} GFLOP/s and {memory (GB/s)} GB/s. "
        "Python {python}, "
    )
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return text.format_map(machine) + packages + "."
