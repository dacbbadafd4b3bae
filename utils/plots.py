"""Figures of the notebooks: each with an alternative text, in colours that colour-blind people can tell apart."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from say_what_you_see.core.text import visible
from say_what_you_see.decoding.beam_tree import TreeNode, best_path
from say_what_you_see.evaluation.palette import BLUE, GREY, ORANGE, PALETTE, small_png
from say_what_you_see.language.captions import END, START

_LONGEST_TITLE = 600  # characters: a caption of 10,000 words would make the figure too large to draw


class Picture:
    """A figure as notebooks show it: a small PNG with its alternative text."""

    def __init__(self, figure: Figure, alt: str) -> None:
        self.alt = alt
        self.png = small_png(figure)

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        return {"image/png": self.png, "text/plain": self.alt}, {"image/png": {"alt": self.alt}, "alt": self.alt}


def show_figure(figure: Figure, alt: str) -> None:
    """Show a figure in a notebook; `alt` says in words what it shows."""
    display(Picture(figure, alt))


def show_pictures(
    pictures: Sequence[np.ndarray], titles: Sequence[str], alt: str, columns: int = 5, side: float = 2.4
) -> None:
    """Show pictures in a grid.

    Args:
        pictures: RGB arrays, (height, width, 3).
        titles: a text above each; long ones are broken into lines.
        alt: what the grid shows, in words.
        side: size of a picture in inches.
    """
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(side * columns, (side + 0.5) * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, title in zip(axes.flat, pictures, titles, strict=False):
        axis.imshow(picture)
        shown = visible(title if len(title) <= _LONGEST_TITLE else f"{title[:_LONGEST_TITLE]} …")
        axis.set_title(_wrapped(shown, round(side * 13)), fontsize=9, parse_math=False)  # a $ is a dollar sign
    figure.tight_layout()
    show_figure(figure, alt)


def _wrapped(text: str, width: int) -> str:
    """Break a text into lines of at most `width` characters; its own line breaks stay."""
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrapper.fill(line) for line in text.splitlines())


def plot_neighbours(queries: Sequence[np.ndarray], neighbours: Sequence[Sequence[np.ndarray]], alt: str) -> None:
    """Show in each row a picture and, to its right, the pictures nearest to it."""
    columns = 1 + len(neighbours[0])
    figure, axes = plt.subplots(len(queries), columns, figsize=(1.7 * columns, 1.8 * len(queries)), squeeze=False)
    for row, (query, nearest) in enumerate(zip(queries, neighbours, strict=True)):
        for axis, picture in zip(axes[row], [query, *nearest], strict=True):
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(visible=axis is axes[row][0], color=ORANGE, linewidth=3)
    for place, axis in enumerate(axes[0]):
        axis.set_title(f"number {place}" if place > 1 else ("picture", "nearest")[place])
    figure.tight_layout()
    show_figure(figure, alt)


def plot_embedding_map(points: np.ndarray, pictures: Sequence[np.ndarray], alt: str) -> None:
    """Show pictures (RGB) at their places on a map, points (pictures, 2), but none that would cover another."""
    figure, axis = plt.subplots(figsize=(11, 8.5))
    axis.scatter(points[:, 0], points[:, 1], s=1, color=GREY)
    tile = np.ptp(points, axis=0) * (0.1, 0.13)  # the width and the height of a picture on the map
    shown: list[np.ndarray] = []
    for point, picture in zip(points, pictures, strict=True):
        if all((np.abs(point - other) > tile).any() for other in shown):
            shown.append(point)
            axis.add_artist(AnnotationBbox(OffsetImage(picture, zoom=0.6), tuple(point), pad=0.1))
    axis.set(xticks=[], yticks=[], xlabel="first component", ylabel="second component")
    show_figure(figure, alt)


def plot_word_frequency(counts: Counter, min_count: int, alt: str) -> None:
    """Plot how often words occur, the most frequent first, both axes logarithmic."""
    frequencies = np.array(sorted(counts.values(), reverse=True))
    figure, axis = plt.subplots(figsize=(7, 3.4))
    axis.loglog(np.arange(1, len(frequencies) + 1), frequencies, color=BLUE, linewidth=2)
    axis.axhline(min_count, color=ORANGE, linestyle="--", label=f"{min_count} times")
    axis.set(xlabel="rank of the word", ylabel="occurrences")
    axis.legend()
    show_figure(figure, alt)


def plot_caption_lengths(lengths: Sequence[int], max_len: int, alt: str) -> None:
    """Plot how many captions have how many words, and where they are cut."""
    figure, axis = plt.subplots(figsize=(7, 3.2))
    axis.hist(lengths, bins=np.arange(0.5, max(lengths) + 1.5).tolist(), color=BLUE, edgecolor="white")
    axis.axvline(max_len + 0.5, color=ORANGE, linestyle="--", label=f"cut at {max_len}")
    axis.set(xlabel="words, START and END included", ylabel="captions")
    axis.legend()
    show_figure(figure, alt)


def plot_temperatures(probabilities: Sequence[float], tempered: Mapping[float, Sequence[float]], alt: str) -> None:
    """Plot a probability distribution at several temperatures side by side."""
    figure, axes = plt.subplots(1, len(tempered), figsize=(2 * len(tempered), 2.4), sharey=True, squeeze=False)
    for axis, (temperature, values) in zip(axes[0], tempered.items(), strict=True):
        axis.bar(range(len(probabilities)), values, color=BLUE)
        axis.set(title=f"t = {temperature}", xticks=range(len(probabilities)), xticklabels=probabilities, ylim=(0, 1))
    axes[0][0].set_ylabel("probability")
    figure.supxlabel("the word's probability at t = 1", y=-0.08, fontsize="medium")
    show_figure(figure, alt)


def plot_next_words(steps: Sequence[Mapping[str, float]]) -> None:
    """Plot, for each step of a caption, the most probable next words, the best first."""
    figure, axes = plt.subplots(1, len(steps), figsize=(2.1 * len(steps), 2.5), squeeze=False)
    for number, (axis, words) in enumerate(zip(axes[0], steps, strict=True), 1):
        axis.barh(list(words), list(words.values()), color=[ORANGE] + [BLUE] * (len(words) - 1))
        axis.set(title=f"word {number}", xlim=(0, 1), xticks=[0, 1])
        axis.invert_yaxis()
        axis.grid(False)
    figure.supxlabel("probability", fontsize="medium")
    figure.tight_layout()
    best = "; ".join("{} {:.2f}".format(*max(words.items(), key=lambda word: word[1])) for words in steps)
    show_figure(figure, f"The most probable words at each step; the best: {best}")


def plot_pipeline(picture: np.ndarray, caption: str, encoder: str, numbers: int, decoder: str) -> None:
    """Draw what a caption generator is: picture, encoder, numbers, decoder, caption.

    Args:
        encoder, decoder: their names.
        numbers: how many numbers the encoder turns a picture into.
    """
    figure, axis = plt.subplots(figsize=(11, 2.9))
    axis.set(xlim=(0, 110), ylim=(0, 29))
    axis.axis("off")
    half = min(12, 9 * picture.shape[1] / picture.shape[0])
    axis.imshow(picture, extent=(13 - half, 13 + half, 5, 23), aspect="auto")
    boxes = (
        (f"encoder\n{encoder}", BLUE),
        (f"{numbers:,}\nnumbers", GREY),
        (f"decoder\n{decoder}", ORANGE),
    )
    for left, width, (text, colour) in zip((30, 50, 68), (14, 12, 14), boxes, strict=True):
        axis.add_patch(plt.Rectangle((left, 6), width, 16, facecolor="white", edgecolor=colour, linewidth=2.5))
        axis.text(left + width / 2, 14, text, ha="center", va="center")
    for start, end in ((25.5, 29.5), (44.5, 49.5), (62.5, 67.5), (82.5, 87.5)):
        axis.annotate("", (end, 14), (start, 14), arrowprops={"arrowstyle": "->", "linewidth": 2})
    axis.text(88.5, 14, _wrapped(caption, 19), ha="left", va="center", fontsize=12, style="italic")
    alt = f"A picture goes into an encoder, which gives {numbers:,} numbers; a decoder turns them into: {caption}"
    show_figure(figure, alt)


def plot_rates(rates: Mapping[str, float], unit: str, alt: str, limit: tuple[str, float] | None = None) -> None:
    """Plot a bar for each way of doing something.

    Args:
        rates: figures by name, in the given unit; higher is better.
        limit: a limit that cannot be exceeded, drawn as a line: its name and its figure.
    """
    figure, axis = plt.subplots(figsize=(8, 0.7 + 0.42 * len(rates)))
    axis.barh(list(rates), list(rates.values()), color=BLUE, height=0.7)
    for place, rate in enumerate(rates.values()):
        axis.text(rate, place, f" {rate:,.3g}" if rate < 100 else f" {rate:,.0f}", va="center")
    if limit:
        axis.axvline(limit[1], color=ORANGE, linewidth=2)
        axis.set_title(f"orange line: {limit[0]}, {limit[1]:,.3g}", fontsize=10, loc="right")
    axis.set_xlabel(unit)
    axis.margins(x=0.12)
    axis.invert_yaxis()
    axis.grid(visible=False)
    show_figure(figure, alt)


def plot_roofline(work: Mapping[str, tuple[float, float]], gflops: float, bandwidth: float, alt: str) -> None:
    """Plot a machine's limits as a roof, and below it how far pieces of work get (Williams et al. 2009).

    Args:
        work: by name, the operations per byte moved and the 10**9 operations per second that were reached.
        gflops: the most 10**9 operations per second: the flat part of the roof.
        bandwidth: the most 10**9 bytes per second: the slope.
    """
    figure, axis = plt.subplots(figsize=(8, 4.2))
    intensities = [intensity for intensity, _ in work.values()]
    ends = np.geomspace(min([0.3, *intensities]) / 2, max([100.0, *intensities]) * 3, 200)
    axis.loglog(ends, np.minimum(gflops, bandwidth * ends), color=GREY, linewidth=2)
    for number, (name, (intensity, reached)) in enumerate(work.items()):
        colour, marker = PALETTE[number % len(PALETTE)], "osD^v"[number % 5]
        axis.plot(intensity, reached, marker, color=colour, markersize=9, label=name)
    axis.set(xlabel="operations per byte moved", ylabel="10⁹ operations per second")
    axis.legend(frameon=False)
    show_figure(figure, alt)


def plot_beam_tree(tree: Sequence[TreeNode]) -> None:
    """Plot the tree: what is followed in blue, the winning caption in orange, what is dropped in grey and dotted."""
    best = set(best_path(tree))
    steps, rows = max(node.step for node in tree), max(node.rank for node in tree) + 1
    figure, axis = plt.subplots(figsize=(1.25 * (steps + 1), 0.8 * rows + 0.6))
    for number, node in enumerate(tree):
        parent = None if node.parent is None else tree[node.parent]
        repeated = node.word == END and parent is not None and parent.word == END
        colour = ORANGE if number in best else BLUE if node.kept else GREY
        if parent is not None:
            xs, ys, width = [parent.step, node.step], [-parent.rank, -node.rank], 2.2 if number in best else 1.2
            axis.plot(xs, ys, "-" if node.kept else ":", color=colour, linewidth=width, zorder=1)
        frame = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": colour, "linewidth": 1.4}
        word = "·" if repeated else {START: "START", END: "END"}.get(node.word, node.word)
        axis.text(node.step, -node.rank, word, ha="center", va="center", fontsize=9, bbox=frame, zorder=2)
        if not repeated:
            axis.text(node.step, -node.rank - 0.36, f"{np.exp(node.log_probability):.2g}", ha="center", fontsize=7)
    axis.set(xlim=(-0.5, steps + 0.5), ylim=(-rows + 0.4, 0.5))
    axis.axis("off")
    show_figure(figure, beam_tree_alt(tree))


def beam_tree_alt(tree: Sequence[TreeNode]) -> str:
    """The tree in words: for each step what is followed and what is dropped."""
    parts = []
    for step in range(1, max(node.step for node in tree) + 1):
        nodes = [node for node in tree if node.step == step]
        kept, dropped = ([node.word for node in nodes if node.kept is keep] for keep in (True, False))
        parts.append(f"word {step}: {' and '.join(kept)} followed, {' and '.join(dropped) or 'nothing'} dropped")
    best = " ".join(tree[number].word for number in best_path(tree)[1:] if tree[number].word != END)
    return f"Tree of a beam search. {'; '.join(parts)}. It returns: {best}".replace(END, "END")
