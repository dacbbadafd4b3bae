"""The transformer: attention by hand, captions that share a picture, exact resume. What it has in common with the other
decoders is in test_step_models.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from attention_samples import REGIONS
from caption_samples import FEATURES, VOCAB

from say_what_you_see.core.backend import keras
from say_what_you_see.models.transformer import MultiHeadAttention, build_transformer, scaled_dot_product_attention

pytestmark = pytest.mark.backends

ops = keras.ops
RNG = np.random.default_rng(0)


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


def test_captions_of_a_picture_share_its_encoding():
    model = build_transformer(len(VOCAB), REGIONS, FEATURES, 8, blocks=2, heads=2)
    features = RNG.normal(size=(3, REGIONS, FEATURES)).astype("f")
    words = RNG.integers(len(VOCAB), size=(6, 5)).astype("int32")
    shared, own = model([features, words]), model([np.repeat(features, 2, axis=0), words])
    np.testing.assert_allclose(ops.convert_to_numpy(shared), ops.convert_to_numpy(own), rtol=1e-3, atol=1e-4)
