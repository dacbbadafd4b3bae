"""Scores of captions are the reference's, with intervals; BLEU counted step by step is the same BLEU."""

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from scene_samples import scenes_of

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.evaluation.bleu_by_hand import bleu_by_hand
from say_what_you_see.evaluation.metrics import (
    METRICS,
    cider_per_picture,
    score_against_references,
    scores_per_picture,
)
from say_what_you_see.evaluation.people import compare_with_references
from say_what_you_see.evaluation.scores import Score, bootstrap_sums, metrics_table
from say_what_you_see.evaluation.tokenizer import tokenize_all

WITHOUT_JAVA = [name for name in METRICS if name not in ("METEOR", "SPICE")]


def scene_references(count: int = 40) -> list[list[str]]:
    return [list(describe_scene(scene)) for scene in scenes_of("val", count)]


def candidates_and_references(count: int = 40) -> tuple[list[str], list[list[str]]]:
    groups = scene_references(count)
    return [group[0] for group in groups], [group[1:] for group in groups]


def reference_scores(candidates: list[str], references: list[list[str]]) -> list[float]:
    """BLEU-1 to BLEU-4, ROUGE-L and CIDEr by pycocoevalcap."""
    truth = {i: tokenize_all(group) for i, group in enumerate(references)}
    written = {i: tokenize_all([caption]) for i, caption in enumerate(candidates)}
    bleu, _ = Bleu(4).compute_score(truth, written, verbose=0)
    return [*bleu, Rouge().compute_score(truth, written)[0], Cider().compute_score(truth, written)[0]]


def test_scores_are_those_of_the_reference_and_repeat():
    candidates, references = candidates_and_references()
    scores = score_against_references(candidates, references, java=False)
    values = [scores[name].value for name in WITHOUT_JAVA]
    assert values == pytest.approx(reference_scores(candidates, references), abs=1e-6)
    again = score_against_references(candidates, references, java=False)
    for name in WITHOUT_JAVA:
        assert scores[name] == again[name] and scores[name].low < scores[name].value < scores[name].high
    assert cider_per_picture(candidates, references).mean() == pytest.approx(scores["CIDEr"].value)


def test_each_picture_has_the_score_that_it_has_alone():
    candidates, references = candidates_and_references(6)
    scores = scores_per_picture(candidates, references, java=False)
    assert list(scores) == WITHOUT_JAVA
    for i, pair in enumerate(zip(candidates, references, strict=True)):
        alone = reference_scores([pair[0]], [pair[1]])[:5]  # CIDEr weighs words by all pictures
        assert [scores[name][i] for name in WITHOUT_JAVA[:5]] == pytest.approx(alone, abs=1e-6)
    assert scores["CIDEr"] == pytest.approx(cider_per_picture(candidates, references))


def test_intervals_are_percentiles_of_the_reference_scores_of_drawn_pictures():
    candidates, references = candidates_and_references(12)
    scores = score_against_references(candidates, references, resamples=40, java=False)
    counts = bootstrap_sums(np.eye(12), resamples=40).astype(int)  # how often each picture is drawn
    drawn = []
    for row in counts:
        chosen = np.repeat(np.arange(12), row)
        drawn.append(reference_scores([candidates[i] for i in chosen], [references[i] for i in chosen])[:5])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    names = WITHOUT_JAVA[:5]  # CIDEr keeps the document frequencies of the whole set
    assert [scores[name].low for name in names] == pytest.approx(low.tolist(), abs=1e-9)
    assert [scores[name].high for name in names] == pytest.approx(high.tolist(), abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_bleu_by_hand_is_the_score_of_the_reference_wherever_anything_matches(n):
    candidates, references = candidates_and_references()
    candidates, references = tokenize_all(candidates), [tokenize_all(group) for group in references]
    by_hand = np.array([bleu_by_hand(*pair, n) for pair in zip(candidates, references, strict=True)])
    scores = scores_per_picture(candidates, references, java=False)[f"BLEU-{n}"]
    assert by_hand[by_hand > 0] == pytest.approx(scores[by_hand > 0], abs=1e-6)
    assert (by_hand > 0).sum() > 5


@pytest.mark.parametrize("count", [1, 30, 3000])
def test_the_bootstrap_draws_as_many_pictures_as_there_are(count):
    """Also where the draws come in portions, and the same ones whatever the numbers are."""
    numbers = np.random.default_rng(1).random((count, 2))
    sums = bootstrap_sums(np.hstack([np.ones((count, 1)), numbers]), resamples=1500)
    assert (sums[:, 0] == count).all()
    assert sums[:, 1:] == pytest.approx(bootstrap_sums(numbers, resamples=1500))
    assert sums[:, 1].mean() == pytest.approx(numbers[:, 0].sum(), rel=0.05)


@pytest.mark.parametrize(("candidates", "references"), [
    (["a"], []), ([], []), (["a"], [[]]), (["a"], ["a dog"]), (["a"], [[" "]]), (["a"], [[". !"]]),
])  # fmt: skip
def test_captions_that_cannot_be_compared_are_refused(candidates, references):
    with pytest.raises(CourseError):
        score_against_references(candidates, references, java=False)


def test_human_consistency_is_the_mean_over_the_reference_left_out():
    groups = [group[:3] for group in scene_references(15)]
    rounds = [
        score_against_references([g[i] for g in groups], [g[:i] + g[i + 1 :] for g in groups], java=False)
        for i in range(3)
    ]
    scores = compare_with_references({}, groups, [], java=False)["references"]
    for name in WITHOUT_JAVA:
        assert scores[name].value == pytest.approx(np.mean([one[name].value for one in rounds]))
        assert scores[name].low < scores[name].value < scores[name].high


def test_a_table_is_text_and_in_notebooks_html():
    columns = {"<ours>": {"BLEU-1": Score(0.5, 0.4, 0.6), "SPICE": Score(note="SPICE: not measured & why")}}
    table = metrics_table(columns)
    assert table.splitlines()[1:] == ["BLEU-1     50.0 (40.0-60.0)", "SPICE: not measured & why"]
    data, _ = DisplayFormatter().format(table)
    assert data["text/plain"] == table
    html = data["text/html"]
    assert html.count("<tr>") == 3 and "&lt;ours&gt;</th>" in html and ">50.0 (40.0-60.0)</td>" in html
    assert "colspan='2'" in html and "measured &amp; why" in html
