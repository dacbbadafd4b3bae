"""BLEU counted step by step is the reference implementation's BLEU."""

import pytest
from scene_samples import scenes_of

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.evaluation.bleu_by_hand import bleu_by_hand, brevity_penalty
from say_what_you_see.evaluation.metrics import score_against_references
from say_what_you_see.evaluation.tokenizer import tokenize_all


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_it_is_the_score_of_the_reference_wherever_anything_matches(n):
    compared = 0
    for scene in scenes_of("val", 40):
        candidate, *references = tokenize_all(describe_scene(scene))
        by_hand = bleu_by_hand(candidate, references, n)
        if by_hand:
            scores = score_against_references([candidate], [references], resamples=1, java=False)
            assert by_hand == pytest.approx(scores[f"BLEU-{n}"].value, abs=1e-6)
            compared += 1
    assert compared > 5


def test_only_what_is_shorter_than_the_closest_reference_is_penalised():
    assert brevity_penalty(5, [4, 9]) == brevity_penalty(5, [5]) == 1
    assert brevity_penalty(4, [8]) == pytest.approx(2.718281828**-1)
    assert brevity_penalty(6, [4, 8]) == 1, "of two equally close lengths the shorter"
    assert brevity_penalty(0, [3]) == 0
