"""The transformer: attention by hand, captions that share a picture, exact resume. What it has in common with the other
decoders is in test_step_models.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from attention_samples import REGIONS, grid_examples
from caption_samples import FEATURES, VOCAB

from say_what_you_see.core.backend import keras
from say_what_you_see.language.captions import PAD
from say_what_you_see.models.attention import attention_model
from say_what_you_see.models.transformer import (
    MultiHeadAttention,
    build_transformer,
    causal_mask,
    position_encoding,
    scaled_dot_product_attention,
)
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.loop import train_decoder

pytestmark = pytest.mark.backends

ops = keras.ops
RNG = np.random.default_rng(0)
CONFIG = TrainingConfig(3, 8, 1e-2, dropout=0.3, label_smoothing=0.1, captions_per_image=2)


def tiny_transformer(seed: int = 0, dropout: float = 0.0, blocks: int = 2) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return build_transformer(len(VOCAB), REGIONS, FEATURES, 8, blocks, heads=2, dropout=dropout)


def test_attention_is_the_mean_of_the_values_by_their_weights():
    queries, keys, values = (RNG.normal(size=shape).astype("f") for shape in ((2, 3, 4), (2, 5, 4), (2, 5, 6)))
    mask = np.arange(5) < 4
    seen, weights = map(ops.convert_to_numpy, scaled_dot_product_attention(queries, keys, values, mask))
    scores = np.exp(np.einsum("bnd,bmd->bnm", queries, keys) / 2) * mask
    expected = scores / scores.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    np.testing.assert_allclose(seen, np.einsum("bnm,bmv->bnv", expected, values), atol=1e-5)


def test_a_head_sees_its_part_of_the_numbers():
    layer, hidden = MultiHeadAttention(6, 2), RNG.normal(size=(1, 4, 6)).astype("f")
    layer.build(hidden.shape)
    for dense in (layer.query, layer.key, layer.value, layer.output_projection):
        dense.kernel.assign(np.eye(6))
    seen, weights = map(ops.convert_to_numpy, layer(hidden, *layer.project(hidden)))
    for head, part in enumerate((slice(0, 3), slice(3, 6))):
        expected, of_head = scaled_dot_product_attention(*[hidden[..., part]] * 3)
        np.testing.assert_allclose(seen[..., part], ops.convert_to_numpy(expected), atol=1e-5)
        np.testing.assert_allclose(weights[:, head], ops.convert_to_numpy(of_head), atol=1e-6)


def test_words_look_back_only():
    np.testing.assert_array_equal(ops.convert_to_numpy(causal_mask(2, 4)), [[1, 1, 1, 0], [1, 1, 1, 1]])


def test_no_two_positions_are_alike():
    positions = ops.convert_to_numpy(position_encoding(np.arange(100), 16))
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1) + np.eye(100)
    assert positions.shape == (100, 16) and distances.min() > 0.1


def test_captions_of_a_picture_share_its_encoding():
    model, rng = tiny_transformer(), np.random.default_rng(1)
    features = rng.normal(size=(3, REGIONS, FEATURES)).astype("f")
    words = rng.integers(len(VOCAB), size=(6, 5)).astype("int32")
    shared = ops.convert_to_numpy(model([features, words]))
    np.testing.assert_allclose(
        shared, ops.convert_to_numpy(model([np.repeat(features, 2, axis=0), words])), rtol=1e-3, atol=1e-4
    )


def test_it_tells_where_it_looked():
    model, rng = tiny_transformer(), np.random.default_rng(2)
    features = rng.normal(size=(2, REGIONS, FEATURES)).astype("f")
    weights = attention_model(model).predict_on_batch([features, np.zeros((2, 5), dtype="int32")])
    assert weights.shape == (2, 5, REGIONS)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(tmp_path):
    """With dropout inside its blocks, smoothed labels, and several captions of each picture."""
    (train, _), (validation, _) = grid_examples(32, seed=1), grid_examples(8, seed=2)

    def interrupt(history):
        if len(history) == 1:
            raise KeyboardInterrupt

    whole = tiny_transformer(dropout=CONFIG.dropout, blocks=1)
    expected = train_decoder(whole, train, validation, CONFIG, VOCAB[PAD])
    assert expected[-1]["val_loss"] < expected[0]["val_loss"]
    with pytest.raises(KeyboardInterrupt):
        begun = tiny_transformer(dropout=CONFIG.dropout, blocks=1)
        train_decoder(begun, train, validation, CONFIG, VOCAB[PAD], tmp_path, interrupt)
    resumed = tiny_transformer(seed=7, dropout=CONFIG.dropout, blocks=1)
    history = train_decoder(resumed, train, validation, CONFIG, VOCAB[PAD], tmp_path)
    assert [epoch["val_loss"] for epoch in history] == [epoch["val_loss"] for epoch in expected]
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
