"""Scores generated captions as the field does: BLEU, METEOR, ROUGE-L, CIDEr and SPICE, with intervals.

The numbers come from pycocoevalcap, the reference implementation of the COCO captioning challenge
(Chen et al. 2015, https://arxiv.org/abs/1504.00325). METEOR and SPICE are Java programs: where Java is missing or
fails, they are left out with a line that says why.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocoevalcap.bleu import bleu_scorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json, write_json
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.evaluation.java_programs import (
    JAVA_OPTIONS,
    REFERENCE_FOLDER,
    Meteor,
    NotMeasured,
    run_java,
    working_java,
)
from say_what_you_see.evaluation.scene_truth import SceneTruth
from say_what_you_see.evaluation.tokenizer import tokenize, tokenize_all

METRICS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE")
SPICE_ANSWERS_WITHIN = 3600.0
"""Seconds that SPICE may take for one set of captions."""
_SPICE_FOLDER = REFERENCE_FOLDER / "spice"
_CORENLP_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")


@dataclass(frozen=True)
class MetricScore:
    """A score with its 95 % bootstrap interval over pictures; NaN where it was not measured, and a note why."""

    value: float
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class _Measured:
    """What a metric says of a set of pictures, and what it takes to score any resample of them.

    Attributes:
        names: the scores that this metric gives.
        values: (scores,) of the whole set, as the reference implementation gives them.
        per_picture: (pictures, k) numbers whose sums over pictures determine the scores.
        scores_of: from sums (rows, k) and the number of pictures to scores (rows, scores).
    """

    names: tuple[str, ...]
    values: np.ndarray
    per_picture: np.ndarray
    scores_of: Callable[[np.ndarray, int], np.ndarray]


def score_against_references(
    candidates: Sequence[str],
    references: Sequence[Sequence[str]],
    resamples: int = 1000,
    seed: int = 0,
    java: bool = True,
) -> dict[str, MetricScore]:
    """Score one generated caption for each picture against the captions that people wrote.

    BLEU and METEOR are scores of the whole set, made of sums over pictures; ROUGE-L, CIDEr and SPICE are means over
    pictures. The intervals come from resampling pictures with replacement. CIDEr weighs words by how many pictures'
    references hold them; in the resamples these document frequencies stay those of the whole set.

    Args:
        candidates: one caption a picture, not tokenised.
        references: for each picture one caption or more, not tokenised.
        resamples: how many bootstrap resamples.
        seed: of the resampling.
        java: whether to try METEOR and SPICE, which need Java and take a minute to start.

    Returns:
        For each of `METRICS` its score. BLEU, METEOR, ROUGE-L and SPICE lie between 0 and 1, CIDEr between 0 and 10.

    Raises:
        CourseError: if the numbers of pictures differ, or a picture has no reference.
    """
    _check_captions(candidates, references)
    hypotheses, tokenised = tokenize_all(candidates), [tokenize_all(group) for group in references]
    _check_words(tokenised)
    rounds, notes = _measure([(hypotheses, tokenised)], java)
    return _with_intervals(rounds, notes, resamples, seed)


def score_human_consistency(
    references: Sequence[Sequence[str]], resamples: int = 1000, seed: int = 0, java: bool = True
) -> dict[str, MetricScore]:
    """Score people against people: each reference of a picture against its other ones. The yardstick.

    Each round leaves out another reference of every picture; the scores are means over rounds. With five references
    a round compares with four: a model that is to be held against this should be scored with four as well, since
    more references give higher scores. A picture with fewer captions than others has some of them left out twice.

    Raises:
        CourseError: if a picture has fewer than two references.
    """
    for number, group in enumerate(references):
        if len(group) < 2:
            raise CourseError(f"Picture number {number} has {len(group)} captions; two are needed to compare people.")
    if not references:
        raise CourseError("There are no captions to compare.")
    tokenised = [tokenize_all(group) for group in references]
    sets = []
    for left_out in range(max(map(len, tokenised))):
        chosen = [left_out % len(group) for group in tokenised]
        others = [[*group[:i], *group[i + 1 :]] for group, i in zip(tokenised, chosen, strict=True)]
        _check_words(others)
        sets.append(([group[i] for group, i in zip(tokenised, chosen, strict=True)], others))
    rounds, notes = _measure(sets, java)
    return _with_intervals(rounds, notes, resamples, seed)


def _check_captions(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(candidates) != len(references):
        raise CourseError(f"There are {len(candidates)} captions for {len(references)} pictures; one each is needed.")
    if not len(candidates):
        raise CourseError("There are no captions to score.")
    for number, group in enumerate(references):
        if isinstance(group, str) or not len(group):
            raise CourseError(f"Picture number {number} has no list of captions to compare with.")


def _check_words(references: Sequence[Sequence[str]]) -> None:
    """CIDEr cannot weigh words where there are none; takes tokenised captions."""
    if not any(map(any, references)):
        raise CourseError("The captions to compare with hold no word.")


_Set = tuple[list[str], list[list[str]]]  # tokenised candidates, tokenised references


def _measure(sets: Sequence[_Set], java: bool) -> tuple[list[list[_Measured]], dict[str, str]]:
    """Run every metric on every set: for each metric its results, and notes on those that are not measured."""
    measured, notes = [], {}
    for names, measure in _MEASURES.items():
        try:
            if not java and measure in (_meteor, _spice):
                raise NotMeasured("the metrics that need Java were switched off")
            measured.append([measure(*one_set) for one_set in sets])
        except NotMeasured as reason:
            notes[names[0]] = f"{names[0]}: not measured, because {reason}."
    return measured, notes


def _with_intervals(
    measured: Sequence[Sequence[_Measured]], notes: dict[str, str], resamples: int, seed: int
) -> dict[str, MetricScore]:
    """Join values, intervals and notes; several sets of the same pictures are resampled alike and averaged."""
    scores = {name: MetricScore(math.nan, math.nan, math.nan, note) for name, note in notes.items()}
    for rounds in measured:
        sums = _resampled_sums(np.hstack([one.per_picture for one in rounds]), resamples, seed)
        pictures, width = rounds[0].per_picture.shape
        try:
            resampled = np.mean(
                [one.scores_of(sums[:, i * width : (i + 1) * width], pictures) for i, one in enumerate(rounds)], axis=0
            )
        except NotMeasured as reason:
            note = f"{rounds[0].names[0]}: not measured, because {reason}."
            scores |= {name: MetricScore(math.nan, math.nan, math.nan, note) for name in rounds[0].names}
            continue
        values = np.mean([one.values for one in rounds], axis=0)
        low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
        scores |= {
            name: MetricScore(float(values[i]), float(low[i]), float(high[i])) for i, name in enumerate(rounds[0].names)
        }
    return {name: scores[name] for name in METRICS}


def _resampled_sums(per_picture: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums over pictures drawn with replacement: from (pictures, k) to (resamples, k).

    The same seed draws the same pictures, whatever the numbers are. Drawn in portions, since each draw holds a
    number for every picture.
    """
    pictures = len(per_picture)
    rng, share = np.random.default_rng(seed), np.full(pictures, 1 / pictures)
    portion = max(1, 2_000_000 // pictures)
    sizes = [min(portion, resamples - start) for start in range(0, resamples, portion)]
    return np.concatenate(
        [rng.multinomial(pictures, share, size=size).astype(np.float64) @ per_picture for size in sizes]
    )


def _by_picture(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[dict, dict]:
    """Captions as the reference's scorers take them: references, then candidates, by number of picture."""
    return dict(enumerate(map(list, references))), {i: [caption] for i, caption in enumerate(hypotheses)}


def _bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> _Measured:
    """BLEU-1 to BLEU-4 (Papineni et al. 2002, https://aclanthology.org/P02-1040)."""
    scorer = bleu_scorer.BleuScorer(n=4)
    for hypothesis, group in zip(hypotheses, references, strict=True):
        scorer += (hypothesis, group)
    per_picture = [
        [*counts["correct"], *counts["guess"], counts["testlen"], _closest(counts["reflen"], counts["testlen"])]
        for counts in scorer.ctest
    ]
    values, _ = scorer.compute_score(option="closest")
    return _Measured(METRICS[:4], np.array(values), np.array(per_picture, dtype=np.float64), _bleu_of_sums)


def _closest(lengths: Sequence[int], length: int) -> int:
    """The reference length closest to a candidate's, the shorter of two equally close ones."""
    return min(lengths, key=lambda other: (abs(other - length), other))


def _bleu_of_sums(sums: np.ndarray, _pictures: int) -> np.ndarray:
    """BLEU-1..4 (rows, 4) from sums (rows, 10): n-grams that match, n-grams written, words written, words wanted."""
    tiny, small = 1e-15, 1e-9  # the reference's own guards against division by zero
    precisions = (sums[:, :4] + tiny) / (sums[:, 4:8] + small)
    means = np.cumprod(precisions, axis=1) ** (1 / np.arange(1, 5))
    ratio = (sums[:, 8] + tiny) / (sums[:, 9] + small)
    return means * np.exp(np.minimum(0.0, 1 - 1 / ratio))[:, None]


def _mean_of_sums(sums: np.ndarray, pictures: int) -> np.ndarray:
    return sums / pictures


def _rouge(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> _Measured:
    """ROUGE-L (Lin 2004, https://aclanthology.org/W04-1013)."""
    value, per_picture = Rouge().compute_score(*_by_picture(hypotheses, references))
    return _Measured(("ROUGE-L",), np.array([value]), np.array(per_picture)[:, None], _mean_of_sums)


def _cider(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> _Measured:
    """CIDEr (Vedantam et al. 2015, https://arxiv.org/abs/1411.5726); the form with a length penalty, CIDEr-D."""
    value, per_picture = Cider().compute_score(*_by_picture(hypotheses, references))
    return _Measured(("CIDEr",), np.array([value]), np.array(per_picture)[:, None], _mean_of_sums)


def _meteor(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> _Measured:
    """METEOR 1.5 (Denkowski and Lavie 2014, https://aclanthology.org/W14-3348), of the whole set."""
    meteor = Meteor.running()
    with meteor.answering():
        statistics = [
            meteor.ask("SCORE ||| " + " ||| ".join([*map(_without_bars, group), _without_bars(hypothesis)]))
            for hypothesis, group in zip(hypotheses, references, strict=True)
        ]
        value = meteor.evaluate(statistics)[-1]
        per_picture = np.array([[float(number) for number in line.split()] for line in statistics])
    # METEOR adds up statistics over pictures, but leaves out the one chunk of a caption that equals a reference.
    # Columns: words of the candidate and of the reference first; chunks, matched words of each at the end.
    perfect = (per_picture[:, [0, 1]] == per_picture[:, [-2, -1]]).all(1) & (per_picture[:, -3] == 1)
    per_picture[perfect, -3] = 0
    return _Measured(("METEOR",), np.array([value]), per_picture, _meteor_of_sums)


def _without_bars(caption: str) -> str:
    """A caption without what separates the fields of a question to METEOR."""
    return " ".join(caption.replace("|||", "").split())


def _meteor_of_sums(sums: np.ndarray, _pictures: int) -> np.ndarray:
    """METEOR (rows, 1) from sums of its statistics over pictures."""
    meteor = Meteor.running()
    with meteor.answering():
        return np.array(meteor.evaluate([" ".join(f"{number:.1f}" for number in row) for row in sums])[:-1])[:, None]


def _spice(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> _Measured:
    """SPICE (Anderson et al. 2016, https://arxiv.org/abs/1607.08822). CoreNLP is never downloaded, only used."""
    missing = [jar for jar in _CORENLP_JARS if not (_SPICE_FOLDER / "lib" / jar).exists()]
    if missing:
        raise NotMeasured(f"{' and '.join(missing)} of Stanford CoreNLP are not in pycocoevalcap's folder spice/lib")
    java = working_java()
    sets = zip(hypotheses, references, strict=True)
    questions = [{"image_id": i, "test": hypothesis, "refs": list(group)} for i, (hypothesis, group) in enumerate(sets)]
    with tempfile.TemporaryDirectory(prefix="spice_", ignore_cleanup_errors=True) as folder:
        asked, answered = Path(folder, "in.json"), Path(folder, "out.json")
        write_json(questions, asked)
        command = [java, *JAVA_OPTIONS, "-Xmx8G", "-jar", "spice-1.0.jar", str(asked), "-out", str(answered)]
        run_java([*command, "-subset", "-silent"], SPICE_ANSWERS_WITHIN, _SPICE_FOLDER)
        try:
            found = {answer["image_id"]: float(answer["scores"]["All"]["f"]) for answer in read_json(answered)}
            per_picture = np.array([found[i] for i in range(len(questions))])
        except (CourseError, KeyError, TypeError, ValueError) as error:
            raise NotMeasured("its Java program left no scores") from error
    return _Measured(("SPICE",), np.array([per_picture.mean()]), per_picture[:, None], _mean_of_sums)


_MEASURES = {METRICS[:4]: _bleu, ("METEOR",): _meteor, ("ROUGE-L",): _rouge, ("CIDEr",): _cider, ("SPICE",): _spice}


def diversity(candidates: Sequence[str]) -> dict[str, float]:
    """How varied captions are: number and share of distinct ones, different words used, mean length in words."""
    tokens = [tokenize(caption) for caption in candidates]
    if not tokens:
        raise CourseError("There are no captions to count.")
    distinct = len(set(map(tuple, tokens)))
    return {
        "distinct captions": distinct,
        "share distinct": distinct / len(tokens),
        "vocabulary used": len({word for words in tokens for word in words}),
        "mean length": sum(map(len, tokens)) / len(tokens),
    }


def hallucination_rates(
    sentences: Sequence[str], truths: Sequence[SceneTruth], resamples: int = 1000, seed: int = 0
) -> dict[str, MetricScore]:
    """How much captions of scenes name that is not there: CHAIR of Rohrbach et al. 2018 (arXiv:1809.02156).

    Returns:
        CHAIRi, the share of the things named that are not in the picture, and CHAIRs, the share of captions that name
        such a thing. Lower is better. CHAIRi is NaN where no caption names anything.
    """
    if len(sentences) != len(truths) or not len(sentences):
        raise CourseError(f"There are {len(sentences)} captions for {len(truths)} scenes; one each is needed.")
    named = [[mention.kind for mention in read_claims(sentence).mentions] for sentence in sentences]
    invented = [sum(kind not in truth.colours for kind in kinds) for kinds, truth in zip(named, truths, strict=True)]
    counts = np.array([[wrong, len(kinds), wrong > 0, 1] for wrong, kinds in zip(invented, named, strict=True)], float)
    sums = _resampled_sums(counts, resamples, seed)
    return {
        "CHAIRi": _ratio(counts.sum(0)[:2], sums[:, :2], "no caption names a thing"),
        "CHAIRs": _ratio(counts.sum(0)[2:], sums[:, 2:], ""),
    }


def _ratio(total: np.ndarray, resampled: np.ndarray, note: str) -> MetricScore:
    """A ratio of two sums with the interval that resampled sums (rows, 2) give."""
    usable = resampled[resampled[:, 1] > 0]
    if not total[1] or not len(usable):
        return MetricScore(math.nan, math.nan, math.nan, note)
    low, high = np.percentile(usable[:, 0] / usable[:, 1], [2.5, 97.5])
    return MetricScore(float(total[0] / total[1]), float(low), float(high))


def metrics_table(columns: dict[str, dict[str, MetricScore]]) -> str:
    """A table of scores as text: a row a metric, a column a way of captioning; then what was not measured, and why.

    All scores stand times 100, as papers print them, with their 95 % intervals.
    """
    given = list(dict.fromkeys(name for scores in columns.values() for name in scores))
    rows = [name for name in METRICS if name in given] + [name for name in given if name not in METRICS]
    width, cell = max(map(len, [*rows, ""])), max(21, *(len(name) + 2 for name in columns), 0)
    lines = [" " * width + "".join(f"{name:>{cell}}" for name in columns)]
    measured = [row for row in rows if any(row in s and not math.isnan(s[row].value) for s in columns.values())]
    for row in measured:
        lines.append(f"{row:<{width}}" + "".join(f"{_show(scores.get(row)):>{cell}}" for scores in columns.values()))
    notes = dict.fromkeys(scores[row].note for row in rows for scores in columns.values() if row in scores)
    return "\n".join([*lines, *filter(None, notes)])


def _show(score: MetricScore | None) -> str:
    """'31.2 (29.8-32.7)'."""
    if score is None or math.isnan(score.value):
        return "none"
    return f"{100 * score.value:.1f} ({100 * score.low:.1f}-{100 * score.high:.1f})"
