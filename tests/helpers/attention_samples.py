"""Pictures of four regions, one of which shows a coloured thing, and tiny models that look at them, for tests."""

import numpy as np
from caption_samples import FEATURES, VOCAB, opinionated, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.models.attention import build_visual_attention
from say_what_you_see.training.examples import Examples

REGIONS = 4


def grid_examples(count: int) -> Examples:
    """Pictures with the thing in one region and nothing in the others."""
    examples = toy_examples(count)
    places = np.random.default_rng([0, 1]).integers(REGIONS, size=count)
    grids = np.zeros((count, REGIONS, FEATURES), dtype=np.float16)
    grids[np.arange(count), places] = examples.image_embeds
    return Examples(grids, examples.captions)


def tiny_attention(seed: int = 0) -> keras.Model:
    """A model of a few hundred parameters."""
    keras.utils.set_random_seed(seed)
    return build_visual_attention(len(VOCAB), REGIONS, FEATURES, 12, 16, 14)


def opinionated_attention(seed: int = 0) -> keras.Model:
    """One whose predictions and attention differ clearly."""
    return opinionated(tiny_attention(seed), seed)
