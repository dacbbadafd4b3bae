"""Scores generated captions as the field does: BLEU, METEOR, ROUGE-L, CIDEr and SPICE, with intervals.

The numbers come from pycocoevalcap, the reference implementation of the COCO captioning challenge
(Chen et al. 2015, https://arxiv.org/abs/1504.00325). METEOR and SPICE are Java programs: where Java is missing or
fails, they are left out with a line that says why.
"""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from say_what_you_see.core.errors import CourseError
from say_what_you_see.evaluation.java_metrics import NotMeasured, ask_meteor, spice_per_picture
from say_what_you_see.evaluation.scores import Score, bootstrap_sums, interval
from say_what_you_see.evaluation.tokenizer import tokenize, tokenize_all

METRICS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE")


class Measurement(NamedTuple):
    """What it takes to score a set of captions, and any resample of it."""

    per_picture: np.ndarray  # (pictures, k) numbers whose sums over pictures determine the scores
    scores_of: Callable[[np.ndarray], np.ndarray]  # from sums, (resamples, k), to scores, (resamples, scores)


Captions = tuple[Sequence[str], Sequence[Sequence[str]]]
"""One caption for each picture, and its references; most functions here expect both tokenised."""


def score_against_references(
    candidates: Sequence[str], references: Sequence[Sequence[str]], resamples: int = 1000, java: bool = True
) -> dict[str, Score]:
    """Score one generated caption for each picture against the captions that people wrote.

    BLEU and METEOR are scores of the whole set, made of sums over pictures; ROUGE-L, CIDEr and SPICE are means over
    pictures. The intervals come from resampling pictures with replacement. CIDEr weighs words by how many pictures'
    references contain them; in the resamples these document frequencies stay those of the whole set.

    Args:
        candidates: one caption for each picture, not tokenised.
        references: for each picture one caption or more, not tokenised.
        java: whether to try METEOR and SPICE, which need Java and take a minute to start.

    Returns:
        For each of `METRICS` its score. BLEU, METEOR, ROUGE-L and SPICE lie between 0 and 1, CIDEr between 0 and 10.
    """
    return score_rounds([_tokenised(candidates, references)], resamples, java)


def scores_per_picture(
    candidates: Sequence[str], references: Sequence[Sequence[str]], java: bool = True
) -> dict[str, np.ndarray]:
    """Each metric's score of the caption of each picture on its own, (pictures,); metrics not measured are left out.

    Raises:
        CourseError: if the numbers of pictures differ, or a picture has no reference.
    """
    captions = _tokenised(candidates, references)
    scores: dict[str, np.ndarray] = {}
    for names, measure in MEASURES.items():
        with contextlib.suppress(NotMeasured):
            measured = _measure(measure, captions, java)
            scores |= dict(zip(names, measured.scores_of(measured.per_picture).T, strict=True))
    return {name: scores[name] for name in METRICS if name in scores}


def _tokenised(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Captions:
    if len(candidates) != len(references):
        raise CourseError(f"There are {len(candidates)} captions for {len(references)} pictures; each needs one.")
    if not len(candidates):
        raise CourseError("There are no captions to score.")
    for number, group in enumerate(references):
        if isinstance(group, str) or not len(group):
            raise CourseError(f"Picture number {number} has no list of captions to compare with.")
    return tokenize_all(candidates), [tokenize_all(group) for group in references]


def leave_each_out(references: Sequence[Sequence[str]]) -> list[Captions]:
    """Rounds in which a different reference of every picture is the caption, and the others are its references.

    Of a picture with fewer captions than others, some are left out twice.
    """
    for number, group in enumerate(references):
        if len(group) < 2:
            raise CourseError(
                f"Picture number {number} has fewer than two captions; comparing people needs at least two."
            )
    rounds: list[Captions] = []
    for left_out in range(max(map(len, references))):
        chosen = [left_out % len(group) for group in references]
        others = [[*group[:i], *group[i + 1 :]] for group, i in zip(references, chosen, strict=True)]
        rounds.append(([group[i] for group, i in zip(references, chosen, strict=True)], others))
    return rounds


def score_rounds(rounds: Sequence[Captions], resamples: int = 1000, java: bool = True) -> dict[str, Score]:
    """Run every metric on every round; rounds of the same pictures are resampled alike and averaged."""
    for _, references in rounds:
        if not any(map(any, references)):  # CIDEr cannot weigh words where there are none
            raise CourseError("The captions to compare with contain no words.")
    scores: dict[str, Score] = {}
    for names, measure in MEASURES.items():
        try:
            measured = [_measure(measure, captions, java) for captions in rounds]
            numbers = np.hstack([one.per_picture for one in measured])
            sums = np.concatenate([numbers.sum(axis=0, keepdims=True), bootstrap_sums(numbers, resamples)])
            parts = zip(measured, np.split(sums, len(measured), axis=1), strict=True)
            value, *resampled = np.mean([one.scores_of(part) for one, part in parts], axis=0)
            rows = np.stack([value, *interval(np.array(resampled))], axis=1)
            scores |= {name: Score(*row) for name, row in zip(names, rows.tolist(), strict=True)}
        except NotMeasured as reason:
            note = f"{names[0]}: not measured, because {reason}."
            scores |= {name: Score(note=note) for name in names}
    return {name: scores[name] for name in METRICS}


def _measure(measure: Callable[..., Measurement], captions: Captions, java: bool) -> Measurement:
    if not java and measure in (_meteor, _spice):
        raise NotMeasured("the metrics that need Java were switched off")
    return measure(*captions)


def _bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """BLEU-1 to BLEU-4 (Papineni et al. 2002, https://aclanthology.org/P02-1040)."""
    scorer = BleuScorer(n=4)
    for hypothesis, group in zip(hypotheses, references, strict=True):
        scorer += (hypothesis, group)
    per_picture = []
    for counts in scorer.ctest:
        length = counts["testlen"]
        closest = min(counts["reflen"], key=lambda other: (abs(other - length), other))  # noqa: B023
        per_picture.append([*counts["correct"], *counts["guess"], length, closest])
    return Measurement(np.array(per_picture, dtype=np.float64), _bleu_of_sums)


def _bleu_of_sums(sums: np.ndarray) -> np.ndarray:
    """BLEU-1..4 (n, 4) from sums (n, 10): matching n-grams, all n-grams, words, words of the closest reference."""
    tiny, small = 1e-15, 1e-9  # the reference's own guards against division by zero
    precisions = (sums[:, :4] + tiny) / (sums[:, 4:8] + small)
    means = np.cumprod(precisions, axis=1) ** (1 / np.arange(1, 5))
    ratio = (sums[:, 8] + tiny) / (sums[:, 9] + small)
    return means * np.exp(np.minimum(0.0, 1 - 1 / ratio))[:, None]


def _mean(per_picture: np.ndarray) -> Measurement:
    """A metric that is the mean over pictures: the sum of the scores, and their number."""
    counted = np.stack([per_picture, np.ones(len(per_picture))], axis=1)
    return Measurement(counted, lambda sums: sums[:, :1] / sums[:, 1:])


def _mean_of(
    scorer: type[Rouge] | type[Cider], hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> Measurement:
    """ROUGE-L (Lin 2004, aclanthology.org/W04-1013), or CIDEr-D (Vedantam et al. 2015, arXiv:1411.5726)."""
    candidates = {i: [caption] for i, caption in enumerate(hypotheses)}
    return _mean(scorer().compute_score(dict(enumerate(map(list, references))), candidates)[1])


def _meteor(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """METEOR 1.5 (Denkowski and Lavie 2014, https://aclanthology.org/W14-3348), of the whole set."""
    pairs = zip(hypotheses, references, strict=True)
    per_picture = ask_meteor(["SCORE", *group, caption] for caption, group in pairs)
    # METEOR adds up statistics over pictures, but leaves out the one chunk of a caption that equals a reference.
    # Columns: words of the candidate and of the reference first; chunks, matched words of each at the end.
    perfect = (per_picture[:, [0, 1]] == per_picture[:, [-2, -1]]).all(1) & (per_picture[:, -3] == 1)
    per_picture[perfect, -3] = 0
    return Measurement(per_picture, _meteor_of_sums)


def _meteor_of_sums(sums: np.ndarray) -> np.ndarray:
    """METEOR (n, 1) from sums of its statistics over pictures."""
    statistics = [" ".join(f"{number:.1f}" for number in row) for row in sums]
    return ask_meteor([["EVAL", *statistics]], len(sums) + 1)[:-1]  # the last is the score of all together


def _spice(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """SPICE (Anderson et al. 2016, https://arxiv.org/abs/1607.08822)."""
    return _mean(spice_per_picture(hypotheses, references))


MEASURES: dict[tuple[str, ...], Callable[..., Measurement]] = {
    METRICS[:4]: _bleu, ("METEOR",): _meteor, ("SPICE",): _spice,
    ("ROUGE-L",): partial(_mean_of, Rouge), ("CIDEr",): partial(_mean_of, Cider),
}  # fmt: skip


def cider_per_picture(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """CIDEr of each picture's caption, (pictures,); the mean is CIDEr of them all."""
    return _mean_of(Cider, tokenize_all(captions), [tokenize_all(group) for group in references]).per_picture[:, 0]


def diversity(captions: Sequence[str]) -> dict[str, float]:
    """How varied captions are: number and share of distinct ones, different words used, mean length in words."""
    tokens = [tokenize(caption) for caption in captions]
    distinct = len(set(map(tuple, tokens)))
    return {
        "distinct captions": distinct,
        "share distinct": distinct / len(tokens),
        "vocabulary used": len({word for words in tokens for word in words}),
        "mean length": sum(map(len, tokens)) / len(tokens),
    }
