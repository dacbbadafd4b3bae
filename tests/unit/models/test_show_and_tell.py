"""Show and Tell: the loss is the formula's, and training leaves a model that captions."""

from __future__ import annotations

import numpy as np
import pytest
from caption_samples import FEATURES, VOCAB, opinionated, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.language.captions import PAD
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.show_and_tell import build_show_and_tell, caption_mask, loss_per_word
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.loop import train_decoder
from say_what_you_see.training.losses import masked_crossentropy

PAD_IDX = VOCAB[PAD]


def test_the_formula_is_the_loss_that_the_course_trains_with():
    model, examples = opinionated(build_show_and_tell(len(VOCAB), FEATURES, 10, 14)), toy_examples(9)
    words, pictures = examples.captions.matrix.astype(np.int32), examples.captions.image_of_caption()
    logits, targets = model.predict_on_batch([examples.image_embeds[pictures], words[:, :-1]]), words[:, 1:]
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
