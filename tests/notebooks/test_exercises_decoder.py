"""The exercises of notebook 04: other right answers than the course's pass, and reports say what differs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from exercise_samples import assert_right, report_on

from say_what_you_see.core.backend import keras

layers, ops = keras.layers, keras.ops
pytestmark = pytest.mark.usefixtures("data_folder")


def test_a_decoder_in_another_order_and_other_words():
    def build(
        vocab_size, feature_size, image_bottleneck=120, word_size=100, lstm_units=300, logit_bottleneck=120, dropout=0.0
    ):
        words = layers.Input((None,), dtype="int32")
        vectors = layers.Embedding(vocab_size, word_size, name="word_embedding")(words)
        picture = layers.Input((feature_size,))
        seen = layers.Normalization(axis=-1, name="standardise")(picture)
        seen = ops.elu(layers.Dense(image_bottleneck, name="image_bottleneck")(seen))
        state = layers.Dense(lstm_units, activation=keras.activations.elu, name="initial_state")(
            layers.Dropout(dropout)(seen)
        )
        lstm = layers.LSTM(lstm_units, return_sequences=True, return_state=True, name="lstm")
        hidden, *_ = lstm(vectors, initial_state=(state, state))
        hidden = layers.Dropout(dropout)(hidden)
        per_word = layers.Dense(logit_bottleneck, activation="elu", name="logit_bottleneck")(hidden)
        return keras.Model([picture, words], layers.Dense(vocab_size, name="logits")(per_word))

    assert_right(build, "build_decoder")


def test_a_loss_that_is_written_out():
    def make(pad_idx):
        def loss(words, logits):
            words = ops.cast(words, "int32")
            chosen = ops.sum(ops.one_hot(words, logits.shape[-1]) * logits, axis=-1)
            losses = ops.logsumexp(logits, axis=-1) - chosen
            real = ops.cast(words != pad_idx, "float32")
            return ops.sum(ops.where(words != pad_idx, losses, 0.0)) / ops.sum(real)

        return loss

    assert_right(make, "masked_crossentropy")


def test_a_step_with_the_optimizers_older_method():
    def step(decoder, batch, loss, optimizer):
        inputs, next_words = batch
        with tf.GradientTape() as tape:
            value = loss(next_words, decoder(list(inputs), training=True))
        variables = decoder.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value.numpy()

    assert_right(step, "training_step")


def test_a_batch_drawn_row_by_row_with_numpy():
    def draw(image_embeds, captions, batch_size, rng, max_len=20):
        pictures = rng.choice(captions.n_images, size=batch_size)
        rows = [rng.choice(np.arange(captions.first[p], captions.first[p + 1])) for p in pictures]
        sentences = np.array(captions.matrix[rows, :max_len], dtype="int32")
        words, next_words = sentences[:, :-1].copy(), sentences[:, 1:].copy()
        return (image_embeds[pictures].astype("float32"), words), next_words

    assert_right(draw, "generate_batch")


def test_a_report_on_a_batch_says_which_fact_is_not_so(capsys):
    def draw(image_embeds, captions, batch_size, rng, max_len=20):
        return np.zeros((batch_size, 3), np.float32), np.zeros((batch_size, 5), np.int32)

    report, _ = report_on(draw, "generate_batch", capsys)
    assert "expected  form: '((embeddings, words), next words)'" in report
    assert "received  form: '(an array, an array)'" in report
