"""Show and Tell: the picture is read first, the loss is the formula's, the steps leave a model that captions."""

from __future__ import annotations

import numpy as np
import pytest
from caption_samples import FEATURES, VOCAB, opinionated, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.language.captions import PAD
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.bottleneck_lstm import fit_standardisation
from say_what_you_see.models.show_and_tell import build_show_and_tell, caption_mask, loss_per_word
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.loop import train_decoder
from say_what_you_see.training.losses import masked_crossentropy

PAD_IDX = VOCAB[PAD]


def tiny_model() -> keras.Model:
    model = opinionated(build_show_and_tell(len(VOCAB), FEATURES, 10, 14))
    fit_standardisation(model, toy_examples(30).image_embeds)
    return model


def inputs_of(examples, rows: int = 7) -> list[np.ndarray]:
    pictures = examples.captions.image_of_caption()[:rows]
    return [examples.image_embeds[pictures], examples.captions.matrix[:rows].astype(np.int32)]


def test_the_picture_is_the_first_input_of_the_lstm():
    model, (features, words) = tiny_model(), inputs_of(toy_examples(6))
    cell, state = model.get_layer("lstm").cell, [np.zeros((7, 14), dtype=np.float32)] * 2
    image = model.get_layer("image_embedding")(model.get_layer("standardise")(features))
    _, state = cell(image, state)
    for step in range(words.shape[1]):
        hidden, state = cell(model.get_layer("word_embedding")(words[:, step]), state)
        expected = keras.ops.convert_to_numpy(model.get_layer("logits")(hidden))
        np.testing.assert_allclose(model.predict_on_batch([features, words])[:, step], expected, atol=1e-4)


def test_the_formula_is_the_loss_that_the_course_trains_with():
    model, (features, words) = tiny_model(), inputs_of(toy_examples(9), 12)
    logits, targets = model.predict_on_batch([features, words[:, :-1]]), words[:, 1:]
    assert (targets == PAD_IDX).any()
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    formula = loss_per_word(probabilities, targets, caption_mask(targets, PAD_IDX))
    assert formula == pytest.approx(float(masked_crossentropy(PAD_IDX)(targets, logits)), rel=1e-4)


def test_it_learns_what_pictures_show():
    train, val = toy_examples(120, seed=1), toy_examples(20, seed=2)
    model = build_show_and_tell(len(VOCAB), FEATURES, 24, 24)
    config = TrainingConfig(8, 16, 2e-2, schedule="exponential")
    history = train_decoder(model, train, val, config, PAD_IDX)
    assert history[-1]["val_loss"] < 0.35 < history[0]["val_loss"]
    sentences = generate_sentences(step_model_of(model), val.image_embeds, VOCAB)
    truths = val.captions.matrix[val.captions.first[:-1]]
    words = [{word for word, index in VOCAB.items() if index in truth} for truth in truths.tolist()]
    right = [set(said.split()[-2:]) <= known for said, known in zip(sentences, words, strict=True)]
    assert np.mean(right) > 0.9
