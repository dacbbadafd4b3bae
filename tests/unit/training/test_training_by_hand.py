"""The training step of the lesson: the losses and weights of Keras' own step, and of the one without padding."""

from __future__ import annotations

import needs_tensorflow  # noqa: F401
import numpy as np
import pytest
from caption_samples import VOCAB, tiny_decoder, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.language.captions import PAD
from say_what_you_see.training.by_hand import training_step
from say_what_you_see.training.examples import RandomBatches
from say_what_you_see.training.loop import TrainingConfig, pack_training
from say_what_you_see.training.losses import masked_crossentropy

PAD_IDX = VOCAB[PAD]


@pytest.mark.parametrize("packed", [False, True])
def test_it_trains_as_the_library_does(packed):
    batches = RandomBatches(toy_examples(24), TrainingConfig(epochs=1, batch_size=6))
    by_hand, other = tiny_decoder(), tiny_decoder()
    loss, optimizer = masked_crossentropy(PAD_IDX), keras.optimizers.Adam(0.01)
    losses = [training_step(by_hand, batches[number], loss, optimizer) for number in range(8)]
    assert losses[-1] < losses[0] == pytest.approx(np.log(len(VOCAB)), rel=0.05)

    other.compile(keras.optimizers.Adam(0.01), loss)
    model, its_batches = pack_training(other, batches, PAD_IDX) if packed else (other, batches)
    assert losses == pytest.approx([model.train_on_batch(*its_batches[number]) for number in range(8)], rel=1e-4)
    for one, same in zip(by_hand.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, same, atol=1e-3)
