"""Scores with their 95 % bootstrap intervals, and tables of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Score:
    """A score with its 95 % bootstrap interval; NaN where it was not measured, with a note that says why."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    note: str = ""

    def show(self, factor: float = 100, digits: int = 1, unit: str = "") -> str:
        """The score times a factor, with its interval: '31.2 (29.8-32.7)', or 'none'."""
        if math.isnan(self.value):
            return "none"
        value, low, high = (f"{factor * number:.{digits}f}" for number in (self.value, self.low, self.high))
        return f"{value}{unit} ({low}-{high})"


def bootstrap_sums(per_picture: np.ndarray, resamples: int = 1000) -> np.ndarray:
    """Sums over pictures drawn with replacement: from (pictures, k) to (resamples, k).

    The same pictures are drawn, whatever the numbers are; in portions, since each draw has a count for every picture.
    """
    pictures = len(per_picture)
    rng, probabilities = np.random.default_rng(0), np.full(pictures, 1 / pictures)
    portion = max(1, 2_000_000 // pictures)
    sizes = [min(portion, resamples - start) for start in range(0, resamples, portion)]
    return np.concatenate([
        rng.multinomial(pictures, probabilities, size=size).astype(np.float64) @ per_picture for size in sizes
    ])  # fmt: skip


def interval(resampled: np.ndarray) -> np.ndarray:
    """The ends of the 95 % intervals, (2, ...), of values on resamples, (resamples, ...)."""
    return np.percentile(resampled, [2.5, 97.5], axis=0)


def ratio_scores(counts: np.ndarray, names: Sequence[str], resamples: int = 1000, note: str = "") -> dict[str, Score]:
    """Ratios of sums over pictures with their intervals; `note` is for scores that are n / 0.

    `counts`, (pictures, 2 * names), have for each name what is counted, and beside it what that is a share of.
    """
    totals, resampled = counts.sum(axis=0), bootstrap_sums(counts, resamples)
    scores = dict.fromkeys(names, Score(note=note))
    for i, name in enumerate(names):
        part, whole = 2 * i, 2 * i + 1
        usable = resampled[resampled[:, whole] > 0]
        if totals[whole] and len(usable):
            ends = interval(usable[:, part] / usable[:, whole])
            scores[name] = Score(float(totals[part] / totals[whole]), *ends.tolist())
    return scores


def mean_score(values: np.ndarray) -> Score:
    """The mean of one value for each picture, (pictures,), with its interval."""
    return ratio_scores(np.stack([values, np.ones(len(values))], axis=1), ["mean"])["mean"]


class Table(str):
    """A table as text; as the result of a notebook's cell it is shown in HTML."""

    rows: Sequence[Sequence[object]]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        columns, heading, lines = max(map(len, self.rows), default=0), True, []
        for row in self.rows:
            tag, (first, *others) = ("th" if heading else "td"), (escape(str(cell)) for cell in row)
            cells = [f"<{tag} style='text-align: left; white-space: pre'>{first}</{tag}>"]
            cells += [f"<{tag} style='text-align: right'>{cell}</{tag}>" for cell in others]
            if not others:
                cells = [f"<td colspan='{columns}' style='text-align: left'>{first}</td>"]
            lines.append(f"<tr>{''.join(cells)}</tr>")
            heading = row == [""]  # an empty row ends a part of the table
        return f"<table style='font-size: 13px; max-width: 1100px'>{''.join(lines)}</table>"


def format_table(rows: Iterable[Sequence[object]], widths: Sequence[int]) -> Table:
    """Rows of cells: the first column is left-aligned, the others right-aligned. A row of one cell is a remark."""
    (first, *others), rows = widths, list(rows)
    lines = [
        f"{row[0]:<{first}}" + "".join(f"{cell:>{width}}" for cell, width in zip(row[1:], others, strict=False))
        for row in rows
    ]
    table = Table("\n".join(line.rstrip() for line in lines))
    table.rows = rows
    return table


def metrics_table(columns: Mapping[str, Mapping[str, Score]]) -> Table:
    """A table of scores as text: a row for each metric, a column for each model; then what was not measured, and why.

    All scores are multiplied by 100, as papers print them, and have their 95 % intervals.
    """
    names = dict.fromkeys(name for scores in columns.values() for name in scores)
    found = {name: [scores.get(name, Score()) for scores in columns.values()] for name in names}
    notes = dict.fromkeys(score.note for scores in found.values() for score in scores if score.note)
    widths = [max(map(len, names), default=0), *[max(21, *(len(name) + 2 for name in columns))] * len(columns)]
    measured = [name for name, scores in found.items() if not all(math.isnan(score.value) for score in scores)]
    rows = [["", *columns], *([name, *(score.show() for score in found[name])] for name in measured)]
    return format_table([*rows, *([note] for note in notes)], widths)
