"""Scores of captions are the reference's, with intervals; Java that fails is reported and nothing else."""

from __future__ import annotations

import json
import math
import os
import stat
import sys
import time

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from scene_samples import scenes_of

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.evaluation import java_programs
from say_what_you_see.evaluation import metrics as caption_metrics
from say_what_you_see.evaluation.coco_results import read_coco_results, write_coco_results
from say_what_you_see.evaluation.metrics import (
    METRICS,
    MetricScore,
    diversity,
    hallucination_rates,
    metrics_table,
    score_against_references,
    score_human_consistency,
)
from say_what_you_see.evaluation.scene_truth import SceneTruth
from say_what_you_see.evaluation.tokenizer import tokenize_all

ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="the stand-ins for Java are shell scripts")
WITHOUT_JAVA = [name for name in METRICS if name not in ("METEOR", "SPICE")]
TRUTH = SceneTruth({"ball": "red", "kite": "blue"}, {}, frozenset(), frozenset())


def scene_references(count: int = 40) -> list[list[str]]:
    return [list(describe_scene(scene)) for scene in scenes_of("val", count)]


def candidates_and_references(count: int = 40) -> tuple[list[str], list[list[str]]]:
    groups = scene_references(count)
    return [group[0] for group in groups], [group[1:] for group in groups]


@pytest.fixture
def java_stand_in(tmp_path, monkeypatch):
    """Put a program named java first on the PATH."""

    def install(script: str) -> None:
        path = tmp_path / "bin" / "java"
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")

    yield install
    if java_programs.Meteor._current:
        java_programs.Meteor._current.close()


def meteor_score(candidates=("a red ball", "a kite"), references=(("a red ball",), ("a blue kite",))) -> MetricScore:
    return score_against_references(candidates, references, resamples=20)["METEOR"]


def test_bleu_is_what_is_counted_by_hand():
    # 'the cat sat on mat' in 'the cat sat on the mat': 5 of 5 words, 3 of 4 pairs, 2 of 3, 1 of 2; 5 words for 6
    scores = score_against_references(["the cat sat on mat"], [["the cat sat on the mat"]], java=False)
    brevity = math.exp(1 - 6 / 5)
    wanted = [brevity * (math.prod([1, 3 / 4, 2 / 3, 1 / 2][:n])) ** (1 / n) for n in (1, 2, 3, 4)]
    assert [scores[f"BLEU-{n}"].value for n in (1, 2, 3, 4)] == pytest.approx(wanted, abs=1e-6)


def test_bleu_clips_repeated_words_and_takes_the_closest_length():
    # 'the' counts twice at most; of the lengths 2 and 7 the first is closer to 4, so that nothing is taken off
    scores = score_against_references(["the the the the"], [["the cat", "the dog on the mat is asleep"]], java=False)
    assert scores["BLEU-1"].value == pytest.approx(2 / 4, abs=1e-6)


def test_a_caption_equal_to_a_reference_scores_one():
    groups = scene_references(10)
    scores = score_against_references([group[0].upper() + " !" for group in groups], groups, java=False)
    for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L"):
        assert (scores[name].value, scores[name].low, scores[name].high) == pytest.approx((1, 1, 1), abs=1e-6)


def test_cider_is_ten_for_the_only_reference_and_nothing_for_other_words():
    references = [["a red ball lies below"], ["two kites fly over water"], ["some fish swim at night"]]
    same = score_against_references([group[0] for group in references], references, java=False)
    other = score_against_references(["x y z w v"] * 3, references, java=False)
    assert same["CIDEr"].value == pytest.approx(10)
    assert other["CIDEr"].value == 0


def test_cider_gives_nothing_for_words_that_all_pictures_share():
    references = [["a picture of a ball"], ["a picture of a kite"]]
    scores = score_against_references(["a picture of", "a picture of"], references, java=False)
    assert scores["CIDEr"].value == pytest.approx(0)
    assert scores["BLEU-1"].value > 0.4


def test_intervals_hold_the_value_and_repeat_with_the_seed():
    candidates, references = candidates_and_references()
    scores = score_against_references(candidates, references, java=False)
    assert scores == {**score_against_references(candidates, references, java=False), **_not_numbers(scores)}
    for name in WITHOUT_JAVA:
        assert scores[name].low < scores[name].value < scores[name].high
    other = score_against_references(candidates, references, seed=1, java=False)
    assert other["CIDEr"].value == scores["CIDEr"].value and other["CIDEr"].low != scores["CIDEr"].low


def _not_numbers(scores: dict[str, MetricScore]) -> dict[str, MetricScore]:
    """NaN equals nothing, so these are left out of a comparison."""
    return {name: score for name, score in scores.items() if math.isnan(score.value)}


def test_a_bootstrapped_bleu_is_the_reference_on_the_drawn_pictures():
    candidates, references = candidates_and_references(12)
    measured = caption_metrics._bleu(tokenize_all(candidates), [tokenize_all(group) for group in references])
    drawn = np.random.default_rng(3).integers(0, 12, 12)
    again = caption_metrics._bleu(
        [tokenize_all(candidates)[i] for i in drawn], [tokenize_all(references[i]) for i in drawn]
    )
    assert measured.scores_of(measured.per_picture[drawn].sum(0)[None], 12)[0] == pytest.approx(again.values, abs=1e-12)


def test_the_reference_scorers_on_the_results_file_give_the_same_numbers(tmp_path):
    candidates, references = candidates_and_references()
    path, ids = tmp_path / "results.json", [7 * i + 3 for i in range(len(candidates))]
    write_coco_results(path, ids, candidates)
    annotations = [{"image_id": i, "caption": c} for i, group in zip(ids, references, strict=True) for c in group]
    gts, res = _tokenised_by_image(annotations), _tokenised_by_image(json.loads(path.read_text(encoding="utf-8")))
    bleu, _ = Bleu(4).compute_score(gts, res, verbose=0)
    wanted = [*bleu, Rouge().compute_score(gts, res)[0], Cider().compute_score(gts, res)[0]]
    scores = score_against_references(candidates, references, java=False)
    assert [scores[name].value for name in WITHOUT_JAVA] == pytest.approx(wanted, abs=1e-6)


def _tokenised_by_image(annotations: list[dict]) -> dict[int, list[str]]:
    """As pycocotools groups annotations and COCOEvalCap tokenises them."""
    by_image: dict[int, list[str]] = {}
    for annotation in annotations:
        by_image.setdefault(annotation["image_id"], []).extend(tokenize_all([annotation["caption"]]))
    return by_image


def test_an_empty_caption_scores_nothing():
    scores = score_against_references(["", "a kite"], [["a ball"], ["a kite"]], java=False)
    assert scores["ROUGE-L"].value == pytest.approx(0.5)
    assert 0 < scores["BLEU-1"].value < 1


@pytest.mark.parametrize(("candidates", "references"), [
    (["a"], []), ([], []), (["a"], [[]]), (["a"], ["a dog"]), (["a"], [[" "]]), (["a"], [[". !"]]),
])  # fmt: skip
def test_captions_that_cannot_be_compared_are_refused(candidates, references):
    with pytest.raises(CourseError):
        score_against_references(candidates, references, java=False)


def test_scoring_is_a_matter_of_seconds():
    candidates, references = candidates_and_references(400)
    start = time.process_time()
    score_against_references(candidates, references, java=False)
    assert time.process_time() - start < 10


def test_human_consistency_is_the_mean_over_the_reference_left_out():
    groups = [group[:3] for group in scene_references(15)]
    rounds = [
        score_against_references([g[i] for g in groups], [g[:i] + g[i + 1 :] for g in groups], java=False)
        for i in range(3)
    ]
    scores = score_human_consistency(groups, java=False)
    for name in WITHOUT_JAVA:
        assert scores[name].value == pytest.approx(np.mean([one[name].value for one in rounds]))
        assert scores[name].low < scores[name].value < scores[name].high


def test_human_consistency_takes_pictures_with_fewer_captions_and_refuses_single_ones():
    groups = scene_references(4)
    assert score_human_consistency([groups[0][:2], *groups[1:]], java=False)["BLEU-1"].value > 0
    with pytest.raises(CourseError, match="number 1"):
        score_human_consistency([groups[0], groups[1][:1]], java=False)


@ON_POSIX
def test_no_java_is_said_in_a_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    score = meteor_score()
    assert math.isnan(score.value)
    assert score.note.startswith("METEOR: not measured, because no Java runtime was found")


@ON_POSIX
def test_a_java_that_fails_is_said_in_a_line(java_stand_in):
    java_stand_in("#!/bin/sh\necho 'cannot allocate a heap' >&2\nexit 1\n")
    note = meteor_score().note
    assert note.startswith("METEOR: not measured, because")
    assert "status 1" in note and "cannot allocate a heap" in note


@ON_POSIX
def test_a_java_that_hangs_is_ended_with_its_children(java_stand_in, monkeypatch):
    monkeypatch.setattr(java_programs, "JAVA_ANSWERS_WITHIN", 0.5)
    java_stand_in("#!/bin/sh\nsleep 60\n")
    start = time.monotonic()
    assert "no answer within 0.5 seconds" in meteor_score().note
    assert time.monotonic() - start < 10


@ON_POSIX
def test_a_meteor_that_hangs_is_ended_with_its_children(java_stand_in, monkeypatch):
    monkeypatch.setattr(java_programs, "METEOR_ANSWERS_WITHIN", 0.5)
    java_stand_in('#!/bin/sh\n[ "$1" = -version ] && exit 0\nsleep 60\n')
    start = time.monotonic()
    assert "no answer within 0.5 seconds" in meteor_score().note
    assert time.monotonic() - start < 10
    assert java_programs.Meteor._current is None


@ON_POSIX
@pytest.mark.parametrize("does", ["echo 'no memory left' >&2; exit 3", "while read line; do echo nonsense; done"])
def test_a_meteor_that_fails_is_said_in_a_line(java_stand_in, does):
    java_stand_in(f'#!/bin/sh\n[ "$1" = -version ] && exit 0\n{does}\n')
    scores = score_against_references(["a red ball"], [["a ball"]], resamples=20)
    assert scores["METEOR"].note.startswith("METEOR: not measured, because its Java program failed")
    assert scores["BLEU-1"].value > 0


SPEAKS_AS_METEOR = f"""#!{sys.executable}
import sys
if "-version" in sys.argv:
    sys.exit(0)
for line in sys.stdin:
    kind, *fields = [field.strip() for field in line.split("|||")]
    if kind == "SCORE":  # 23 statistics; here the first is words of the candidate, the second words shared
        words = fields[-1].split()
        print(len(words), len(set(words) & set(fields[0].split())), *[0] * 21, flush=True)
    else:
        rows = [list(map(float, field.split())) for field in fields]
        for row in rows + [[sum(column) for column in zip(*rows)]]:
            print(row[1] / row[0], flush=True)
"""


@ON_POSIX
def test_meteor_scores_the_whole_set_and_resamples_its_statistics(java_stand_in):
    java_stand_in(SPEAKS_AS_METEOR)
    score = meteor_score(["a red ball", "a kite"], [["a red ball"], ["some ||| kite"]])
    assert score.value == pytest.approx(4 / 5)
    assert (score.low, score.high) == pytest.approx((0.5, 1.0))
    running = java_programs.Meteor._current
    assert meteor_score().value == pytest.approx(1.0)
    assert java_programs.Meteor._current is running  # started once


@ON_POSIX
def test_spice_is_measured_only_where_corenlp_lies(java_stand_in, monkeypatch, tmp_path):
    java_stand_in(f"""#!{sys.executable}
import json, sys
if "-version" not in sys.argv:
    questions = json.load(open(sys.argv[sys.argv.index("-jar") + 2]))
    scores = [{{"image_id": q["image_id"], "scores": {{"All": {{"f": q["test"] in q["refs"]}}}}}} for q in questions]
    json.dump(scores, open(sys.argv[sys.argv.index("-out") + 1], "w"))
""")
    monkeypatch.setattr(caption_metrics, "_SPICE_FOLDER", tmp_path)
    monkeypatch.setitem(caption_metrics._MEASURES, ("METEOR",), caption_metrics._spice)  # METEOR is not the point here
    note = score_against_references(["a ball"], [["a ball"]], resamples=5)["SPICE"].note
    assert note.startswith("SPICE: not measured, because stanford-corenlp-3.6.0.jar")
    (tmp_path / "lib").mkdir()
    for jar in caption_metrics._CORENLP_JARS:
        (tmp_path / "lib" / jar).touch()
    score = caption_metrics._spice(["a ball", "a kite"], [["a ball"], ["a fish"]])
    assert score.values == pytest.approx([0.5])


@pytest.mark.full
def test_meteor_itself_gives_what_the_reference_gives_and_an_interval_that_holds_it():
    candidates, references = candidates_and_references(20)
    candidates[3] = references[3][1]  # METEOR counts captions that equal a reference in another way
    score = meteor_score(candidates, references)
    if score.note:
        pytest.skip(score.note)
    captions = tokenize_all(candidates), [tokenize_all(group) for group in references]
    assert score.value == pytest.approx(Meteor().compute_score(*caption_metrics._by_picture(*captions))[0], abs=1e-6)
    assert score.low < score.value < score.high
    measured = caption_metrics._meteor(*captions)
    assert measured.scores_of(measured.per_picture.sum(0)[None], 20)[0] == pytest.approx(measured.values)
    assert meteor_score(["a red ball"], [["a red ball"]]).value == pytest.approx(1.0)


def test_diversity_counts_distinct_captions_and_words():
    assert diversity(["A ball.", "a ball", "a red kite"]) == {
        "distinct captions": 2, "share distinct": pytest.approx(2 / 3), "vocabulary used": 4,
        "mean length": pytest.approx(7 / 3),
    }  # fmt: skip


def test_hallucination_rates_count_things_that_are_not_there():
    sentences = ["a red ball and a kite", "a boat near a ball", "in the desert"]
    rates = hallucination_rates(sentences, [TRUTH] * 3)
    assert rates["CHAIRi"].value == pytest.approx(1 / 4)
    assert rates["CHAIRs"].value == pytest.approx(1 / 3)
    assert rates["CHAIRs"].low <= 1 / 3 <= rates["CHAIRs"].high
    assert math.isnan(hallucination_rates(["in the desert"], [TRUTH])["CHAIRi"].value)


def test_a_wrong_colour_and_a_second_mention_are_no_hallucination():
    assert hallucination_rates(["a blue ball and a ball"], [TRUTH])["CHAIRi"].value == 0


def test_the_table_shows_scores_times_hundred_and_says_what_was_not_measured():
    nan = float("nan")
    missing = MetricScore(nan, nan, nan, "METEOR: not measured, because so.")
    greedy = {"BLEU-4": MetricScore(0.3012, 0.28, 0.32), "METEOR": missing}
    table = metrics_table({"greedy": greedy, "beam 3": {"CHAIRi": MetricScore(0.01, 0.0, 0.02), "METEOR": missing}})
    lines = table.split("\n")
    assert lines[0].split() == ["greedy", "beam", "3"]
    assert lines[1].split() == ["BLEU-4", "30.1", "(28.0-32.0)", "none"]
    assert lines[2].split() == ["CHAIRi", "none", "1.0", "(0.0-2.0)"]
    assert lines[3:] == ["METEOR: not measured, because so."]


def test_results_are_written_as_coco_wants_them_and_read_again(tmp_path):
    path = tmp_path / "results.json"
    write_coco_results(path, np.array([42, 7]), ["a ball", "ein schöner Drachen"], known_ids={7, 42})
    assert json.loads(path.read_text(encoding="utf-8"))[0] == {"image_id": 42, "caption": "a ball"}
    assert read_coco_results(path, known_ids=[42, 7]) == {42: "a ball", 7: "ein schöner Drachen"}


@pytest.mark.parametrize(("ids", "captions"), [
    ([1], []), ([1, 1], ["a", "b"]), ([3], ["a"]), (["1"], ["a"]), ([True], ["a"]), ([1], [None]),
])  # fmt: skip
def test_results_that_others_could_not_read_are_not_written(tmp_path, ids, captions):
    path = tmp_path / "results.json"
    write_coco_results(path, [1], ["old"])
    with pytest.raises(CourseError, match="results.json was not written"):
        write_coco_results(path, ids, captions, known_ids={1, 2})
    assert read_coco_results(path) == {1: "old"}


@pytest.mark.parametrize("text", [
    "{}", "[1]", '[{"image_id": 1}]', '[{"image_id": "1", "caption": "a"}]', '[{"image_id": 1, "caption": 2}]',
    '[{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]', '[{"image_id": 9, "caption": "a"}]', "[",
])  # fmt: skip
def test_results_of_another_form_are_refused_with_the_name_of_the_file(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(CourseError, match="results.json"):
        read_coco_results(path, known_ids={1})
