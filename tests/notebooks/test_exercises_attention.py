"""The exercises of notebook 08: other right answers than the course's pass, and reports say what differs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from exercise_samples import assert_right

from say_what_you_see.core.backend import keras
from say_what_you_see.language.captions import END, PAD, START, UNK, split_sentence
from say_what_you_see.models.attention import AttentionCell, BahdanauAttention

layers, ops = keras.layers, keras.ops
pytestmark = pytest.mark.usefixtures("data_folder")


def test_frequent_words_by_sorting_twice():
    def frequent(captions, limit=5_000):
        counts = Counter()
        for group in captions:
            for caption in group:
                counts.update(split_sentence(caption))
        words = sorted(sorted(counts), key=counts.get, reverse=True)[:limit]
        vocab = {}
        for word in sorted([*words, PAD, UNK, START, END]):
            vocab[word] = len(vocab)
        return vocab

    assert_right(frequent, "most_frequent_words")


class AttentionByEinsum(BahdanauAttention):
    def call(self, hidden, regions, keys, trace_shapes=False):
        scores = self.V(ops.tanh(keys + ops.expand_dims(self.W2(hidden), 1)))[..., 0]
        powers = ops.exp(scores - ops.max(scores, axis=1, keepdims=True))
        weights = powers / ops.sum(powers, axis=1, keepdims=True)
        return ops.einsum("br,brs->bs", weights, regions), weights


def test_attention_by_einsum_and_a_softmax_by_hand():
    assert_right(AttentionByEinsum, "BahdanauAttention")


def test_a_cell_that_uses_the_state_that_the_gru_returns():
    class Cell(AttentionCell):
        def call(self, word, hidden, regions, keys, trace_shapes=False):
            context, weights = self.attention(hidden, regions, keys)
            _, state = self.gru(ops.concatenate((context, word), axis=1), (hidden,))
            return state[0] if isinstance(state, (list, tuple)) else state, weights

    assert_right(Cell, "AttentionCell")


def test_the_cell_can_be_done_before_attention():
    class BahdanauAttention(layers.Layer):
        def __init__(self, units=512, **kwargs):
            super().__init__(**kwargs)

        def build(self, *shapes):
            raise NotImplementedError("not yet")

        def call(self, hidden, regions, keys, trace_shapes=False):
            raise NotImplementedError("not yet")

    class Cell(AttentionCell):
        def __init__(self, units=512, attention_units=512, **kwargs):
            super().__init__(units, attention_units, **kwargs)
            self.attention = BahdanauAttention(attention_units)

    assert_right(Cell, "AttentionCell")


def test_a_loop_that_fills_arrays():
    def predict(model, features, words, trace_shapes=False):
        batch, steps = words.shape
        cell, regions = model.get_layer("decoder").cell, model.get_layer("encoder")(ops.convert_to_tensor(features))
        keys, hidden = model.get_layer("W1")(regions), ops.zeros((batch, cell.units))
        logits = np.zeros((batch, steps, model.output_shape[-1]), np.float32)
        weights = np.zeros((batch, steps, features.shape[1]), np.float32)
        vectors = model.get_layer("word_embedding")(words)
        for t in range(steps):
            hidden, seen = cell(vectors[:, t], hidden, regions, keys)
            weights[:, t] = ops.convert_to_numpy(seen)
            logits_of_step = model.get_layer("logits")(model.get_layer("before_logits")(hidden))
            logits[:, t] = ops.convert_to_numpy(logits_of_step)
        return logits, weights

    assert_right(predict, "predict_step_by_step")
