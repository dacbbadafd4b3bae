"""What a metric is worth: how closely it ranks captions of Flickr8k as the experts did who judged them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.flickr import FLICKR8K_CAPTIONS, FLICKR8K_TEXT, captions_in_zip, text_in_zip

EXPERT_JUDGEMENTS = "ExpertAnnotations.txt"


@dataclass(frozen=True)
class Judgements:
    """Pairs of a picture and a caption, most of them written for another picture, that experts judged."""

    captions: list[str]
    references: list[list[str]]  # the captions that people wrote for the pictures
    ratings: np.ndarray  # (pairs, experts), from 1, "does not describe the picture at all", to 4, "describes it"


def find_judgements(settings: Settings) -> Path | None:
    """Flickr8k's text zip, which holds the judgements: in the data set's folder, or where it is downloaded to."""
    folders = Path(settings.dataset), settings.data_folder / "flickr8k", settings.data_folder
    return next((folder / FLICKR8K_TEXT for folder in folders if (folder / FLICKR8K_TEXT).is_file()), None)


def read_judgements(text_zip: Path) -> Judgements:
    """The judgements of Hodosh, Young and Hockenmaier (2013), without captions that are references of their picture.

    These are left out as in the published comparison of metrics (Hessel et al. 2021, arXiv:2104.08718).

    Raises:
        CourseError: if the zip lacks them or the captions that they are about, or a line cannot be read.
    """
    captions = captions_in_zip(text_zip, FLICKR8K_CAPTIONS)
    judged, references, ratings = [], [], []
    for number, line in enumerate(text_in_zip(text_zip, EXPERT_JUDGEMENTS).splitlines(), 1):
        try:
            picture, caption_id, *judgements = line.split("\t")
            name, _, place = caption_id.rpartition("#")
            caption, own = captions[name][int(place)], captions[picture]
            first, second, third = map(int, judgements)
        except (ValueError, LookupError) as error:
            raise CourseError(
                f"Line {number} of {EXPERT_JUDGEMENTS} in {text_zip} does not have the form picture, caption, "
                f"three judgements, or names something that {FLICKR8K_CAPTIONS} lacks ({error}). Get another copy."
            ) from error
        if caption not in own:
            judged.append(caption)
            references.append(own)
            ratings.append((first, second, third))
    if not judged:
        raise CourseError(f"{EXPERT_JUDGEMENTS} in {text_zip} contains no judgements. Get another copy.")
    return Judgements(judged, references, np.array(ratings))


def agreement(scores: Sequence[float], ratings: np.ndarray) -> float:
    """Kendall's tau-c of a metric with judges: 0 if they agree only by chance.

    Full agreement gives 1 if all ratings are equally frequent, and less otherwise.

    Args:
        scores: (captions,), the metric's scores.
        ratings: (captions, judges), higher for better captions.
    """
    each_judge = np.repeat(scores, ratings.shape[1])  # each caption's score once for each of its ratings
    return float(kendalltau(each_judge, ratings.ravel(), variant="c").statistic)
