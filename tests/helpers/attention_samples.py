"""Pictures of four regions, one of which shows a coloured thing, and tiny models that look at them, for tests."""

from __future__ import annotations

import numpy as np
from caption_samples import FEATURES, VOCAB, opinionated, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.models.attention import build_visual_attention
from say_what_you_see.training.examples import Examples

REGIONS = 4


def grid_examples(count: int) -> Examples:
    """Pictures with the thing in one region and nothing in the others."""
    examples, grids = toy_examples(count), np.zeros((count, REGIONS, FEATURES), dtype=np.float16)
    grids[np.arange(count), np.random.default_rng(1).integers(REGIONS, size=count)] = examples.image_embeds
    return Examples(grids, examples.captions)


def tiny_attention(seed: int = 0, dropout: float = 0.0, regions: int = REGIONS, vocab_size: int = len(VOCAB)):
    """A model of a few hundred parameters."""
    keras.utils.set_random_seed(seed)
    return build_visual_attention(vocab_size, regions, FEATURES, 12, 16, 14, dropout)


def opinionated_attention(seed: int = 0, **options) -> keras.Model:
    """One whose predictions and attention differ clearly."""
    return opinionated(tiny_attention(seed, **options), seed)
