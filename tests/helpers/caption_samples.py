"""A tiny language, pictures whose features decide their captions, and tiny decoders, for tests."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.language.captions import PAD, caption_tokens_to_indices, generate_vocabulary, pack_captions
from say_what_you_see.models.bottleneck_lstm import build_decoder
from say_what_you_see.training.examples import Examples

COLOURS, THINGS = ("red", "blue", "green"), ("ball", "kite", "fish")
KINDS = list(itertools.product(COLOURS, THINGS))
CAPTIONS = [[f"A {colour} {thing}.", f"There is a {colour} {thing}"] for colour, thing in KINDS]
VOCAB = generate_vocabulary(CAPTIONS, min_count=1)
FEATURES = len(COLOURS) + len(THINGS)


def toy_examples(count: int, seed: int = 0, scale: float = 1.0, offset: float = 0.0) -> Examples:
    """Pictures of coloured things, as examples: features (count, 6) show colour and thing, with some noise."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(len(KINDS), size=count)
    shown = np.concatenate([np.eye(3)[kinds // 3], np.eye(3)[kinds % 3]], axis=1)
    features = (shown + rng.normal(0, 0.1, shown.shape)) * scale + offset
    indexed = caption_tokens_to_indices([CAPTIONS[kind] for kind in kinds], VOCAB)
    return Examples(features.astype(np.float32), pack_captions(indexed, VOCAB[PAD]))


def tiny_decoder(seed: int = 0, dropout: float = 0.0, vocab_size: int = len(VOCAB), features: int = FEATURES):
    """A decoder of a few hundred parameters."""
    keras.utils.set_random_seed(seed)
    return build_decoder(vocab_size, features, 12, 8, 16, 12, dropout)


def opinionated_decoder(seed: int = 0, vocab_size: int = len(VOCAB), features: int = FEATURES) -> keras.Model:
    """A decoder whose weights are random but so large that its predictions differ clearly."""
    decoder = tiny_decoder(seed, 0.0, vocab_size, features)
    rng = np.random.default_rng(seed)
    decoder.set_weights(
        [w if w.ndim < 2 else rng.normal(0, 1.2, w.shape).astype(np.float32) for w in decoder.get_weights()]
    )
    return decoder


def write_tiny_encoder(path: Path, seed: int = 0) -> Path:
    """An encoder of a few random filters for pictures of 24 by 24 pixels."""
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    steps = [layers.Input((24, 24, 3)), layers.Rescaling(1 / 255), layers.Conv2D(8, 5, strides=3, activation="relu")]
    keras.Sequential(steps).save(path)
    return path
