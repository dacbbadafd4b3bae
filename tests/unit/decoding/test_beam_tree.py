"""The tree that is drawn is the search that is done."""

from __future__ import annotations

import numpy as np
import pytest
from caption_samples import FEATURES, VOCAB, opinionated_decoder

from say_what_you_see.decoding.beam_tree import best_path, grow_beam_tree
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import BeamSearch
from say_what_you_see.language.captions import END, indices_to_sentence, invert_vocabulary
from say_what_you_see.models.bottleneck_lstm import decoder_step_model

pytestmark = pytest.mark.backends


@pytest.fixture(scope="module")
def model():
    return decoder_step_model(opinionated_decoder(seed=3))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, FEATURES)).astype("float32")


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_last_step_holds_the_captions_of_the_search(k, model, pictures):
    for picture in pictures:
        tree = grow_beam_tree(model, picture[None], VOCAB, k, max_len=6)
        found = generate(model, picture[None], VOCAB, BeamSearch(k, max_len=6))
        path = best_path(tree)
        assert path[0] == 0 and [tree[number].step for number in path] == list(range(len(path)))
        words = [tree[number].word for number in path[1:] if tree[number].word != END]
        assert " ".join(words) == indices_to_sentence(found.indices[0, 0], invert_vocabulary(VOCAB))
        assert tree[path[-1]].log_probability == pytest.approx(found.log_probabilities[0, 0], abs=1e-3)
