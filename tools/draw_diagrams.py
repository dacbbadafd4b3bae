"""Draw the diagrams of the notebooks: `python -m tools.draw_diagrams`, with `--check` to list those that differ.

Vector graphics in plain SVG, written to `notebooks/images/`. The colours are Okabe and Ito's, lightened, which
colour-blind people can tell apart; every box says in words what it is.
"""

import math
import sys
from collections.abc import Sequence
from html import escape
from itertools import pairwise, product
from pathlib import Path

from tools.notebooks import NOTEBOOKS, update_or_check

SEES, WRITES = ("#cfe6f5", "#0072b2"), ("#fbe3b5", "#b37700")
STATE, PLAIN = ("#c9ebdf", "#007a5a"), ("#eeeeee", "#555555")
"""Fill and border of what comes from the picture, what belongs to words, the decoder's state, and everything else."""

ACROSS, DOWN, WIDE, HIGH = 162, 112, 140, 68  # from one column or row to the next, and the size of a box

_PAGE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {:g} {:g}" role="img" font-family="Arial, sans-serif" \
font-size="19" text-anchor="middle">
<title>{}</title>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="13" markerHeight="13" \
markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 10 5 0 10z" fill="#333"/></marker></defs>
<rect width="100%" height="100%" fill="white"/>
{}
</svg>
"""


def label(x: float, y: float, text: str, more: str = "") -> str:
    """Text centred on a point, with additional attributes."""
    return f'<text x="{x:g}" y="{y + 6:g}" {more}>{escape(text)}</text>'


def boxes(colours: tuple[str, str], texts: dict[tuple[float, float], str]) -> list[str]:
    """Boxes by their column and row; `|` starts a new line, and the first line is bold."""
    parts = []
    for (column, row), text in texts.items():
        x, y, lines = column * ACROSS + 12, row * DOWN + 12, text.split("|")
        shape = f'<rect x="{x:g}" y="{y:g}" width="{WIDE}" height="{HIGH}" rx="8"'
        parts.append(f'{shape} fill="{colours[0]}" stroke="{colours[1]}"/>')
        for number, line in enumerate(lines):
            height = y + HIGH / 2 + 24 * (number - (len(lines) - 1) / 2)
            parts.append(label(x + WIDE / 2, height, line, "" if number else 'font-weight="bold"'))
    return parts


def arrows(*places: tuple[float, float]) -> list[str]:
    """Arrows from box to box, across or down, by the columns and rows of the boxes."""
    parts = []
    for start, end in pairwise(places):
        x1, y1, x2, y2 = (12 + value for column, row in (start, end) for value in (column * ACROSS, row * DOWN))
        if start[1] == end[1]:
            x1, x2, y1, y2 = x1 + WIDE, x2 - 3, y1 + HIGH / 2, y2 + HIGH / 2
        else:
            y1, y2 = (y1 + HIGH, y2 - 3) if y1 < y2 else (y1, y2 + HIGH + 3)
            x1, x2 = x1 + WIDE / 2, x2 + WIDE / 2
        line = f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"'
        parts.append(f'{line} stroke="#333" stroke-width="2" marker-end="url(#tip)"/>')
    return parts


def page(title: str, columns: float, rows: float, parts: Sequence[str]) -> str:
    """The text of an SVG file."""
    return _PAGE.format(columns * ACROSS, rows * DOWN - 20, escape(title), "\n".join(parts))


def encoder_decoder() -> str:
    """Notebook 04: what comes from the picture enters the decoder once, as its first state."""
    parts = boxes(SEES, {(0, 0): "picture|299 × 299", (1, 0): "encoder|2,048"}) + boxes(
        WRITES, {(4, 2): "logits|n × 94"}
    )
    parts += boxes(STATE, {(2, 0): "bottleneck|120", (2, 1): "first state|h₀, c₀: 300", (2, 2): "LSTM|n × 300"})
    parts += boxes(WRITES, {(0, 2): "n words|so far", (1, 2): "vectors|n × 100", (3, 2): "bottleneck|n × 120"})
    parts += arrows((0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (3, 2), (4, 2)) + arrows((0, 2), (1, 2), (2, 2))
    parts += [label(162, 106, "finished: it looks once", 'fill="#0072b2"')]
    parts += [label(648, 36, "everything else is the"), label(648, 62, "decoder, which you train")]
    return page("From a picture and the words so far to the next word", 5, 3, parts)


def lstm(title: str, start: str, steps: dict[str, str]) -> str:
    """An LSTM step by step from its first state, with what it reads below each step and what it says above."""
    parts = boxes(SEES if "picture" in start else PLAIN, {(0, 1): start})
    for step, (read, said) in enumerate(steps.items(), start=1):
        is_picture = "picture" in read
        parts += boxes(SEES if is_picture else WRITES, {(step, 2): read}) + boxes(STATE, {(step, 1): "LSTM"})
        parts += boxes(PLAIN if is_picture else WRITES, {(step, 0): said})
        parts += arrows((step - 1, 1), (step, 1), (step, 0)) + arrows((step, 2), (step, 1))
    return page(title, len(steps) + 1, 3, parts)


def attention_step() -> str:
    """Notebook 08: the state asks all regions, and their weighted mean goes into the GRU beside the word."""
    side = WIDE / 8
    lines = "".join(f"M12 {12 + i * side:g}h{WIDE}M{12 + i * side:g} 12v{WIDE}" for i in range(9))
    parts = [f'<path d="{lines}" stroke="#0072b2"/>']
    for x, y in product(range(3, 8), range(5)):
        weight = math.exp(-((x - 5) ** 2 + (y - 2) ** 2) / 3)
        place = f'x="{12 + x * side:g}" y="{12 + y * side:g}" width="{side}" height="{side}"'
        parts.append(f'<rect {place} fill="#0072b2" fill-opacity="{weight:.2f}"/>')
    parts += boxes(SEES, {(1, 0): "scores|64", (2, 0): "weights|64, sum 1", (3, 0): "context|256"})
    parts += boxes(STATE, {(1, 1): "state h|512", (3, 1): "GRU", (4, 1): "new state|512"})
    parts += boxes(WRITES, {(3, 2): "word|256", (4, 2): "logits|94"})
    parts += [label(82, 176, "8 × 8 regions", 'font-weight="bold"'), label(82, 200, "64 × 256")]
    parts += [label(243, 258, "the bluer, the larger the weight;"), label(243, 284, "the context is the weighted mean")]
    parts += arrows((0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (4, 1), (4, 2))
    parts += arrows((1, 1), (1, 0)) + arrows((1, 1), (3, 1)) + arrows((3, 2), (3, 1))
    return page("One step of attention", 5, 3, parts)


def two_phases() -> str:
    """Notebook 09: how far errors go back, and so which part learns."""
    parts = []
    for row, title, cnn, first in ((0.35, "Phase 1", "is kept", 2), (2, "Phase 2", "learns", 1)):
        y = row * DOWN + HIGH + 16
        back = f"M{3 * ACROSS + 82} {y:g}v22H{first * ACROSS + 82}v-18"
        parts += boxes(PLAIN, {(0, row): "pictures", (3, row): "next words"}) + boxes(WRITES, {(2, row): "LSTM|learns"})
        parts += boxes(WRITES if cnn == "learns" else PLAIN, {(1, row): f"CNN|{cnn}"})
        parts += arrows((0, row), (1, row), (2, row), (3, row))
        parts += [f'<path d="{back}" fill="none" stroke="#b37700" stroke-width="3" marker-end="url(#tip)"/>']
        parts += [label(52, row * DOWN - 12, title, 'font-weight="bold"'), label(487, y + 42, "errors go back")]
    return page("The two phases of training", 4, 3.5, parts)


def transformer_block() -> str:
    """Notebook 11: a block looks at the words, then at the picture, then thinks, and each time adds what it found."""
    parts = [
        f'<rect x="{2 * ACROSS}" y="50" width="{3 * ACROSS + 4}" height="84" rx="10" fill="none" stroke="#007a5a"/>'
    ]
    parts += boxes(WRITES, {(0, 0.4): "words so far|n", (1, 0.4): "vectors|+ positions", (5, 0.4): "logits|n × 94"})
    parts += boxes(STATE, {(2, 0.4): "attention|words before", (3, 0.4): "attention|regions"})
    parts += boxes(STATE, {(4, 0.4): "think|dense layers"}) + boxes(SEES, {(3, 1.6): "regions|64 × 256"})
    parts += arrows(*((column, 0.4) for column in range(6))) + arrows((3, 1.6), (3, 0.4))
    parts += [label(568, 28, "a block, twice in a row; each part adds to what was there")]
    return page("A transformer decoder", 6, 2.55, parts)


def large_models() -> str:
    """Notebook 11: the same three parts in this course and in large models, and which of them learn from captions."""
    parts = [label(82 + column * ACROSS, 18, text) for column, text in ((1, "sees"), (2, "bridge"), (3, "writes"))]
    models = {
        "07": ("CNN|kept", "dense layer|first word", "LSTM|learns"),
        "ClipCap": ("CLIP|kept", "small net|first words", "GPT-2|kept"),
        "08 and 11": ("CNN|kept", "dense layer|64 regions", "decoder|asks, learns"),
        "BLIP-2": ("ViT|kept", "32 queries|ask regions", "language|model, kept"),
        "LLaVA": ("CLIP|kept", "one layer|first words", "language|model, learns"),
    }
    for row, (name, texts) in enumerate(models.items()):
        place = row * 0.85 + 0.25
        for column, text in enumerate(texts, start=1):
            parts += boxes(PLAIN if text.endswith("kept") else WRITES, {(column, place): text})
        parts += [label(82, place * DOWN + 46, name, 'font-weight="bold"'), *arrows((1, place), (2, place), (3, place))]
    return page("The same three parts in this course and in large models", 4, 4.65, parts)


def right_files() -> dict[Path, str]:
    """The text of every diagram's file."""
    words = {"START": "a", "a": "ball", "ball": "END"}
    picture_and_words = {"picture|as a word": "left out", **words}
    diagrams = {
        "encoder_decoder": encoder_decoder(),
        "lstm_picture_as_state": lstm("The LSTM starts from the picture", "picture|as h₀ and c₀", words),
        "lstm_picture_as_word": lstm("The LSTM reads the picture first", "zeros|as h₀ and c₀", picture_and_words),
        "attention_step": attention_step(),
        "two_phases": two_phases(),
        "transformer_block": transformer_block(),
        "large_models": large_models(),
    }
    return {NOTEBOOKS / "images" / f"{name}.svg": text for name, text in diagrams.items()}


if __name__ == "__main__":
    sys.exit(update_or_check(__doc__, right_files()))
