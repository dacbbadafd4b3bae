"""Scores captions of photographs against those that people wrote: nobody knows everything that a photograph shows."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from say_what_you_see.evaluation.commonest_captions import agreed_words, pictures_by_word
from say_what_you_see.evaluation.metrics import cider_per_picture, leave_each_out
from say_what_you_see.evaluation.scores import Score, Table, format_table, mean_score, ratio_scores
from say_what_you_see.language.captions import split_sentence

References = Sequence[Sequence[str]]
"""For each picture the captions that people wrote."""


def fits_own_picture(captions: Sequence[str], references: References) -> Score:
    """How often a caption is more like the references of its own picture than like those of another, by CIDEr.

    The other picture is a random one; equal scores count as half right, so that chance reaches 50 %.
    """
    circle = np.random.default_rng(0).permutation(len(captions))
    others = [references[i] for _, i in sorted(zip(circle, np.roll(circle, 1), strict=True))]
    own, other = cider_per_picture(captions, references), cider_per_picture(captions, others)
    return mean_score(np.where(own == other, 0.5, own > other))


def word_scores(
    captions: Sequence[str], references: References, among: Collection[str] | None = None
) -> dict[str, Score]:
    """How far captions use the words of the references, articles and the like left out.

    Args:
        among: count these words only, colours for instance.
    """
    counts = []
    for caption, group in zip(captions, references, strict=True):
        said, agreed = _telling(split_sentence(caption), among), _telling(agreed_words(group), among)
        used = set(split_sentence(" ".join(group)))
        counts.append([len(said & used), len(said), said <= used, 1, len(said & agreed), len(agreed)])
    rows = ["words that a reference has", "captions of such words only", "words of most references"]
    return ratio_scores(np.array(counts), rows)


def _telling(words: Iterable[str], among: Collection[str] | None = None) -> set[str]:
    """Words without articles and the like."""
    return {word for word in words if word not in ENGLISH_STOP_WORDS and (among is None or word in among)}


def halves_by_agreement(references: References) -> dict[str, list[int]]:
    """The numbers of the pictures whose references are most like each other, by CIDEr, and of the others.

    Raises:
        CourseError: if a picture has fewer than two references.
    """
    alike = np.mean([cider_per_picture(*captions) for captions in leave_each_out(references)], axis=0)
    most, least = np.array_split(alike.argsort(kind="stable")[::-1], 2)
    return {"writers agree": most.tolist(), "writers differ": least.tolist()}


def frequent_words(references: References, most: int = 8) -> list[str]:
    """The words that most writers use for the most pictures; articles and the like are left out."""
    counts = Counter(word for group in references for word in _telling(agreed_words(group)))
    return sorted(counts, key=lambda word: (-counts[word], word))[:most]


def telling_words(here: References, there: References, most: int = 5) -> list[str]:
    """The words that are more frequent in captions of some pictures than of others, by decreasing difference."""
    shares: list[dict[str, float]] = []
    for groups in (here, there):
        words = Counter(word for group in groups for word in set(split_sentence(" ".join(group))))
        shares.append({word: count / len(groups) for word, count in words.items()})
    return sorted(shares[0], key=lambda word: (shares[1].get(word, 0) - shares[0][word], word))[:most]


def cider_by_word(captions: Sequence[str], references: References, most: int = 8) -> Table:
    """A line for each of the `frequent_words`: the mean CIDEr of the pictures they are used for, best first."""
    cider = cider_per_picture(captions, references)
    groups = pictures_by_word(references, frequent_words(references, most))
    scored = [(word, len(rows), mean_score(cider[rows])) for word, rows in groups.items()]
    scored.sort(key=lambda row: -row[-1].value)
    rows = [(word, n, score.show()) for word, n, score in scored]
    return format_table([("most writers say", "pictures", "CIDEr"), *rows], [18, 10, 22])


def cider_by_likeness(
    captions: Sequence[str], references: References, train_embeds: np.ndarray, val_embeds: np.ndarray
) -> str:
    """Two lines: the mean CIDEr of the half of the pictures most like the training ones, and of the other half.

    Likeness is the mean angle to the five nearest training pictures, with features scaled alike.
    """
    scaler = StandardScaler().fit(train_embeds)
    index = NearestNeighbors(n_neighbors=min(5, len(train_embeds)), metric="cosine").fit(scaler.transform(train_embeds))
    distances, _ = index.kneighbors(scaler.transform(val_embeds))
    halves = np.array_split(distances.mean(axis=1).argsort(), 2)
    cider = cider_per_picture(captions, references)
    named = zip(("the half most like training", "the half least like it"), halves, strict=True)
    return "\n".join(
        f"{name:<28}{len(half):>5} pictures, CIDEr {mean_score(cider[half]).show()}" for name, half in named
    )
