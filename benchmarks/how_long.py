"""Fills in docs/how_long.md: what whole data sets take, worked out from the record of the benchmark."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lesson import RECORD
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path, read_json
from say_what_you_see.core.settings import REPOSITORY

PAGE = REPOSITORY / "docs" / "how_long.md"

DATA_SETS = {"COCO 2014": 123_287, "Conceptual Captions": 3_300_000, "LAION-400M": 400_000_000}
"""Pictures of each."""

PICTURE_BYTES = (13_510_573_713 + 6_645_013_297) / DATA_SETS["COCO 2014"]
"""Of a picture of COCO: both zips, by the number of pictures. The other data sets are taken to be like it."""

EMBEDDING_BYTES = 4 * 2048
CARD_RATES = (200, 1_000, 5_000)
"""Pictures a second that a card might encode: examples to do the arithmetic with, none of them measured."""

PRICE = 0.10
"""Of an hour of such a machine, in any currency: an example, too."""


@dataclass(frozen=True)
class Rates:
    """What was measured on one machine.

    Attributes:
        machine: which one, in words.
        cores: how many it has.
        encode: pictures a second from the zip to embeddings, all cores at work.
        prepare: pictures a second that one core unzips, decodes, crops and resizes, when it does nothing else.
    """

    machine: str
    cores: int
    encode: float
    prepare: float


def read_rates(record: dict[str, Any]) -> Rates:
    """The rates in a record of the benchmark."""
    stage = next(stage for stage in record["stages"] if stage["name"] == "extraction")
    medians = {contender["key"]: contender.get("median") for contender in stage["contenders"]}
    machine = record["machine"]
    return Rates(machine["processor"], machine["cores"], medians["course"], medians["prepare"])


def fill_in(page: str, rates: Rates) -> str:
    """A page with what stands between its marks written anew, as in `<!-- laptop -->` ... `<!-- end -->`."""
    for name, block in _BLOCKS.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        lines = "\n".join(block(rates))
        page, found = re.subn(pattern, rf"\1\n{lines}\n\n\2", page, flags=re.DOTALL)
        if found != 1:
            raise CourseError(f"{PAGE} should have one place marked <!-- {name} -->, and has {found}.")
    return page


def _measured(rates: Rates) -> list[str]:
    return [
        f"- {rates.machine}, {rates.cores} cores;",
        f"- **{rates.encode:.1f} pictures a second** from a zip of JPEGs (640 × 480) to embeddings, all cores at work;",
        f"- **{rates.prepare:.0f} pictures a second** that one core alone unzips, decodes, crops and resizes;",
        f"- {PICTURE_BYTES / 1e3:.0f} kB a picture, as in COCO, and {EMBEDDING_BYTES / 1e3:.1f} kB an embedding.",
    ]


def _laptop(rates: Rates) -> list[str]:
    rows = [
        f"| {name} | {size:,} | {size * PICTURE_BYTES / 1e9:,.0f} GB | {size * EMBEDDING_BYTES / 1e9:,.0f} GB | "
        f"{time_in_words(size / rates.encode)} |"
        for name, size in DATA_SETS.items()
    ]
    return ["| data set | pictures | read | written | time |", "| --- | ---: | ---: | ---: | ---: |", *rows]


def _cluster(rates: Rates) -> list[str]:
    hours = {name: size / rates.encode / 3600 for name, size in DATA_SETS.items()}
    rows = [
        f"| {name} | {needed:,.0f} | {time_in_words(360 * needed)} | {time_in_words(36 * needed)} "
        f"| {needed:,.0f} × price | {needed * PRICE:,.2f} |"
        for name, needed in hours.items()
    ]
    return [
        f"| data set | machine-hours | 10 machines | 100 machines | cost | at {PRICE:.2f} an hour |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        f"A hundred machines together read {100 * rates.encode * PICTURE_BYTES / 1e6:,.0f} MB a second.",
    ]


def _card(rates: Rates) -> list[str]:
    rows = [
        f"| {rate:,} | "
        + " | ".join(time_in_words(size / rate) for size in DATA_SETS.values())
        + f" | {rate / rates.prepare:,.1f} | {rate * PICTURE_BYTES / 1e6:,.0f} MB/s |"
        for rate in CARD_RATES
    ]
    head = " | ".join(["pictures a second", *DATA_SETS, "cores to prepare them", "to read"])
    return [f"| {head} |", "| ---: | ---: | ---: | ---: | ---: | ---: |", *rows]


_BLOCKS: dict[str, Callable[[Rates], list[str]]] = {
    "measured": _measured,
    "laptop": _laptop,
    "cluster": _cluster,
    "card": _card,
}


def time_in_words(seconds: float) -> str:
    """A duration in the unit that fits."""
    for unit, length in (("years", 365 * 86_400), ("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:,.0f} {unit}" if seconds >= 10 * length else f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.0f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill in the page; with --check, say whether it is up to date."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.how_long", description=__doc__)
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    options = parser.parse_args(arguments)
    before = PAGE.read_text(encoding="utf-8")
    text = fill_in(before, read_rates(read_json(options.record)))
    if options.check:
        if text != before:
            print(f"{PAGE} is not up to date: python -m benchmarks.how_long", file=sys.stderr)
            return 1
        return 0
    with atomic_path(PAGE) as partial:
        partial.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
