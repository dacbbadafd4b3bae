"""The error analysis as one HTML file to send around: the best and the worst captions, figures, scores."""

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from say_what_you_see.evaluation import caption_errors as errors
from say_what_you_see.evaluation.evaluate import Evaluation, samplers_table
from say_what_you_see.evaluation.figures import confusion_figure, thing_count_figure
from say_what_you_see.evaluation.gallery import GalleryItem, GalleryPart, write_gallery
from say_what_you_see.evaluation.metrics import cider_per_picture
from say_what_you_see.evaluation.palette import small_png
from say_what_you_see.evaluation.scene_scores import wrong_claims
from say_what_you_see.evaluation.trained import ScoredPictures
from say_what_you_see.vision.pictures import read_pictures

_SIDE = 240


def write_report(
    path: str | Path, zip_fn: str | Path, evaluations: Sequence[Evaluation], pictures: ScoredPictures
) -> None:
    """Write the report on the first of the evaluations, with the table of all of them at its end."""
    evaluation = evaluations[0]
    chosen = zip(("best", "worst"), errors.best_and_worst(evaluation.captions, pictures), strict=True)
    cider = cider_per_picture(evaluation.captions, pictures.references)
    sections = {
        f"The {len(numbers)} {name} captions": _items(numbers, evaluation.captions, cider, pictures, zip_fn)
        for name, numbers in chosen
    }
    ranked = "by the number of their wrong claims" if pictures.truths is not None else "by CIDEr of each picture"
    sampler = f", captioned with the sampler {evaluation.sampler}" if evaluation.sampler else ""
    write_gallery(
        path,
        f"How well {evaluation.model or 'a model'} describes pictures",
        sections,
        f"{len(pictures)} validation pictures{sampler}. The captions are ranked {ranked}.",
        [*_figures(evaluation.captions, pictures), GalleryPart("All scores", table=samplers_table(evaluations))],
    )


def _items(
    chosen: Sequence[int], captions: Sequence[str], cider: np.ndarray, pictures: ScoredPictures, zip_fn: str | Path
) -> list[GalleryItem]:
    images = read_pictures(zip_fn, [pictures.fns[i] for i in chosen], _SIDE)
    items = []
    for i, image in zip(chosen, images, strict=True):
        wrong = wrong_claims(captions[i], pictures.truths[i]) if pictures.truths is not None else []
        lines = [*(f"Wrong: {claim}" for claim in wrong), f"CIDEr {100 * cider[i]:.0f}. People said:"]
        items.append(GalleryItem(image, captions[i], [*lines, *pictures.references[i]]))
    return items


def _figures(captions: Sequence[str], pictures: ScoredPictures) -> list[GalleryPart]:
    """What is taken for what, and scores by number of things; nothing where nobody knows what the pictures show."""
    truths = pictures.truths
    if truths is None:
        return []
    groups = errors.score_by_thing_count(captions, pictures)
    colours = confusion_figure(errors.colour_confusion(captions, truths), "colours")
    things = confusion_figure(errors.thing_confusion(captions, truths), "things")
    counts = _shown(*thing_count_figure(groups))
    return [
        GalleryPart("Confusion of colours", _shown(*colours)),
        GalleryPart("Confusion of things", _shown(*things)),
        GalleryPart("Scores by number of things", counts, errors.thing_count_table(groups)),
    ]


def _shown(figure: Figure, alt: str) -> tuple[str, str]:
    return "data:image/png;base64," + base64.b64encode(small_png(figure)).decode("ascii"), alt
