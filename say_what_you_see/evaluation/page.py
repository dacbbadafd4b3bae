"""The error analysis as one HTML file to send around: the best and the worst captions, figures, scores."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from say_what_you_see.core.files import atomic_path
from say_what_you_see.core.settings import Settings
from say_what_you_see.evaluation.caption_errors import (
    cider_by_picture,
    confuse_colours,
    confuse_things,
    rank_captions,
    score_by_things,
    things_table,
    wrong_claims,
)
from say_what_you_see.evaluation.evaluate import Evaluation, ValidationPictures, evaluation_folder, ways_table
from say_what_you_see.evaluation.gallery import GalleryItem, escape, gallery_page
from say_what_you_see.evaluation.palette import small_png
from say_what_you_see.evaluation.plots import by_things_alt, by_things_figure, confusion_alt, confusion_figure
from say_what_you_see.vision.pictures import read_pictures

SHOWN = 10
_SIDE = 240
_STYLE = """<style>
pre { overflow-x: auto; font-size: .8125rem; line-height: 1.35; }
figure { margin: 0 0 1.5rem; overflow-x: auto; }
figure img { width: auto; max-width: 100%; border-radius: 0; }
</style>"""


def page_path(settings: Settings) -> Path:
    """Where the page goes."""
    return evaluation_folder(settings) / "report.html"


def best_and_worst(
    captions: Sequence[str], pictures: ValidationPictures, shown: int = SHOWN
) -> tuple[list[int], list[int]]:
    """The numbers of the pictures with the best captions, best first, and with the worst ones, worst first."""
    order = rank_captions(captions, pictures)
    shown = min(shown, len(order) // 2)
    return order[:shown], order[::-1][:shown]


def write_evaluation_page(
    path: str | Path, zip_fn: str | Path, evaluations: Sequence[Evaluation], pictures: ValidationPictures
) -> None:
    """Write the page of the first of the evaluations, with the table of all of them at its end.

    Args:
        zip_fn: the zip with the validation pictures.
    """
    evaluation = evaluations[0]
    best, worst = best_and_worst(evaluation.captions, pictures)
    sections = {
        f"The {len(best)} best captions": _items(best, evaluation.captions, pictures, zip_fn),
        f"The {len(worst)} worst captions": _items(worst, evaluation.captions, pictures, zip_fn),
    }
    title = f"How well {evaluation.model or 'a model'} describes pictures"
    page = gallery_page(title, sections, _introduction(evaluation, pictures))
    more = [
        *_figures(evaluation.captions, pictures),
        f"<h2>All scores</h2><pre>{escape(ways_table(evaluations))}</pre>",
    ]
    page = page.replace("</head>", _STYLE + "</head>", 1).replace("</body>", "\n".join(more) + "\n</body>", 1)
    with atomic_path(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _introduction(evaluation: Evaluation, pictures: ValidationPictures) -> str:
    ranked = "by the number of their wrong claims" if pictures.truths is not None else "by CIDEr of each picture"
    way = f", written in this way: {evaluation.way}" if evaluation.way else ""
    return f"{len(pictures)} validation pictures{way}. The captions are ranked {ranked}."


def _items(
    chosen: Sequence[int], captions: Sequence[str], pictures: ValidationPictures, zip_fn: str | Path
) -> list[GalleryItem]:
    cider = cider_by_picture(captions, pictures.references)
    images = read_pictures(zip_fn, [pictures.fns[i] for i in chosen], _SIDE)
    items = []
    for i, image in zip(chosen, images, strict=True):
        wrong = wrong_claims(captions[i], pictures.truths[i]) if pictures.truths is not None else []
        lines = [*(f"Wrong: {claim}" for claim in wrong), f"CIDEr {100 * cider[i]:.0f}. People said:"]
        items.append(GalleryItem(np.asarray(image), captions[i], [*lines, *pictures.references[i]]))
    return items


def _figures(captions: Sequence[str], pictures: ValidationPictures) -> list[str]:
    """What is taken for what, and scores by number of things; nothing where nobody knows what the pictures show."""
    if pictures.truths is None:
        return []
    parts = []
    for of, confuse in (("colours", confuse_colours), ("things", confuse_things)):
        confusion = confuse(captions, pictures.truths)
        figure = confusion_figure(confusion, f"{of} in the picture", f"{of} in the caption")
        parts.append(f"<h2>Confusion of {of}</h2>{_figure(figure, confusion_alt(confusion, of))}")
    groups = score_by_things(captions, pictures)
    figure = _figure(by_things_figure(groups), by_things_alt(groups))
    return [*parts, f"<h2>Scores by number of things</h2>{figure}<pre>{escape(things_table(groups))}</pre>"]


def _figure(figure: Figure, alt: str) -> str:
    data = base64.b64encode(small_png(figure)).decode("ascii")
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escape(alt, quote=True)}"></figure>'
