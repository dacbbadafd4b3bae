"""The comparison: losses that count every real word, scores, speed, and a table that says what it compares."""

import numpy as np
import pytest
from caption_samples import FEATURES, VOCAB, opinionated_decoder, scores_by_hand

from say_what_you_see.data.scenes.truth import SceneTruth
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.evaluation.comparison import measure_model
from say_what_you_see.evaluation.scene_scores import score_captions
from say_what_you_see.language.captions import PAD, caption_tokens_to_indices, pack_captions
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.training.examples import Examples

RED_BALL = SceneTruth({"ball": "red"}, {"ball": "small"}, frozenset(), frozenset({"ball"}))


def test_no_caption_is_cut_the_greedy_ones_are_scored_and_the_model_stays_as_it_is():
    long = " ".join(["a red ball"] * 12)
    captions = pack_captions(caption_tokens_to_indices([[long], ["a kite"]], VOCAB), VOCAB[PAD])
    examples, model = Examples(np.ones((2, FEATURES), dtype=np.float32), captions), opinionated_decoder()
    model.compile("sgd", "mse")
    optimizer, weights = model.optimizer, model.get_weights()
    report = measure_model("x", model, examples, examples.image_embeds, VOCAB, [RED_BALL] * 2, 1.0)
    loss = scores_by_hand(model, examples)["loss"]
    assert report.numbers["validation words"] == 36 + 1 + 2 + 1
    assert report.numbers["loss, nats per word"] == pytest.approx(loss, rel=1e-4)
    assert report.numbers["loss, nats per caption"] == pytest.approx(loss * 40 / 2, rel=1e-4)
    sentences = generate_sentences(step_model_of(model), examples.image_embeds, VOCAB)
    assert repr(report.scores) == repr(score_captions(sentences, [RED_BALL] * 2))
    assert report.numbers["captions a second (greedy)"] > 0
    assert model.optimizer is optimizer
    assert all(map(np.array_equal, model.get_weights(), weights))
