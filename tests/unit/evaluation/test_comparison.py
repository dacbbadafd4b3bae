"""The comparison: losses that count every real word, scores, speed, and a table that says what it compares."""

from __future__ import annotations

import numpy as np
import pytest
from caption_samples import CAPTIONS, FEATURES, VOCAB, opinionated_decoder, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.data.scenes.truth import SceneTruth
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.evaluation.comparison import (
    measure_model,
)
from say_what_you_see.evaluation.next_word import score_next_words
from say_what_you_see.evaluation.scene_scores import score_captions
from say_what_you_see.language.captions import PAD, caption_tokens_to_indices, generate_vocabulary, pack_captions
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.show_and_tell import build_show_and_tell
from say_what_you_see.training.examples import Examples

RED_BALL = SceneTruth({"ball": "red"}, {"ball": "small"}, frozenset(), frozenset({"ball"}))


def loss_by_hand(model: keras.Model, examples: Examples, pad_idx: int) -> float:
    surprises = []
    for caption, picture in zip(examples.captions.matrix, examples.captions.image_of_caption(), strict=True):
        words = caption[caption != pad_idx].astype(np.int32)
        logits = model.predict_on_batch([examples.image_embeds[picture : picture + 1], words[None, :-1]])[0]
        logits = logits.astype(np.float64)
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        surprises += [-log_probs[i, word] for i, word in enumerate(words[1:])]
    return float(np.mean(surprises))


@pytest.mark.parametrize("build", [opinionated_decoder, lambda: build_show_and_tell(len(VOCAB), FEATURES, 8, 8)])
def test_the_loss_is_the_mean_over_all_real_words_and_the_model_stays_as_it_is(build):
    model, val = build(), toy_examples(30, seed=5)
    model.compile("sgd", "mse")
    optimizer, weights = model.optimizer, model.get_weights()
    loss = score_next_words(model, val, VOCAB[PAD])["loss"]
    assert loss == pytest.approx(loss_by_hand(model, val, VOCAB[PAD]), rel=1e-4)
    assert model.optimizer is optimizer
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))


def test_no_caption_is_cut():
    vocab = generate_vocabulary(CAPTIONS, 1)
    long = " ".join(["a red ball"] * 12)
    captions = pack_captions(caption_tokens_to_indices([[long], ["a kite"]], vocab), vocab[PAD])
    examples = Examples(np.ones((2, FEATURES), dtype=np.float32), captions)
    report = measure_model("x", opinionated_decoder(), examples, examples.image_embeds, vocab, None, 1.0)
    assert report.words == 36 + 1 + 2 + 1 and report.captions == 2
    assert report.val_loss == pytest.approx(loss_by_hand(opinionated_decoder(), examples, vocab[PAD]), rel=1e-4)
    assert report.loss_per_caption == pytest.approx(report.val_loss * 40 / 2)


def test_scores_are_those_of_the_greedy_captions():
    model, val = opinionated_decoder(), toy_examples(4, seed=5)
    report = measure_model("x", model, val, val.image_embeds, VOCAB, [RED_BALL] * 4, 2.0)
    sentences = generate_sentences(step_model_of(model), val.image_embeds, VOCAB)
    assert repr(report.scores) == repr(score_captions(sentences, [RED_BALL] * 4))
    assert report.captions_per_second > 0
