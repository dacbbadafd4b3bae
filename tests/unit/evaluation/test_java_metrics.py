"""METEOR and SPICE: measured where Java is there; a Java that is missing, fails or hangs is reported and no more."""

import math
import os

import pytest
from pycocoevalcap.meteor.meteor import Meteor
from scene_samples import scenes_of

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.evaluation import java_metrics
from say_what_you_see.evaluation.metrics import score_against_references
from say_what_you_see.evaluation.tokenizer import tokenize_all


@pytest.mark.skipif(os.name != "posix", reason="the stand-ins for Java are shell scripts")
@pytest.mark.parametrize(("script", "limit", "note"), [
    ("echo 'cannot allocate a heap' >&2; exit 1", "", "java ended with status 1 (cannot allocate a heap)"),
    ("exec sleep 600", "JAVA_TIMEOUT", "java gave no answer within 0.5 seconds"),
    ('[ "$1" = -version ] && exit 0; exec sleep 600', "METEOR_TIMEOUT", "it gave no answer within 0.5 seconds"),
    ('[ "$1" = -version ] && exit 0; echo "no memory left" >&2; exit 3', "", "Java program failed (no memory left)"),
    ('[ "$1" = -version ] && exit 0; while read line; do echo nonsense; done', "", "its Java program failed"),
])  # fmt: skip
def test_a_java_that_fails_or_hangs_is_said_in_a_line_and_ended(tmp_path, monkeypatch, script, limit, note):
    if limit:
        monkeypatch.setattr(java_metrics, limit, 0.5)
    (tmp_path / "java").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    scores = score_against_references(["a red ball"], [["a ball"]], resamples=20)
    assert scores["METEOR"].note.startswith("METEOR: not measured, because ") and note in scores["METEOR"].note
    assert math.isnan(scores["METEOR"].value) and scores["BLEU-1"].value > 0
    assert java_metrics.running_meteor.cache_info().currsize == 0


def test_meteor_itself_gives_what_the_reference_gives_and_an_interval_that_holds_it():
    groups = [list(describe_scene(scene)) for scene in scenes_of("val", 20)]
    candidates, references = [group[0] for group in groups], [group[1:] for group in groups]
    candidates[3] = references[3][1]  # METEOR counts captions that equal a reference in another way
    score = score_against_references(candidates, references, resamples=20)["METEOR"]
    if score.note:
        pytest.skip(score.note)
    truth = {i: tokenize_all(group) for i, group in enumerate(references)}
    written = {i: tokenize_all([caption]) for i, caption in enumerate(candidates)}
    assert score.value == pytest.approx(Meteor().compute_score(truth, written)[0], abs=1e-6)
    assert score.low < score.value < score.high
    running = java_metrics.running_meteor()
    again = score_against_references(["a red ball"], [["a red ball"]], resamples=20)
    assert again["METEOR"].value == pytest.approx(1.0)
    assert java_metrics.running_meteor() is running, "it is started once"
