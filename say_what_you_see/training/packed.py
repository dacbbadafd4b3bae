"""Training without the work that changes nothing: the same weights after the same batches, sooner.

A caption of 10 words in a row of 20 is half padding. The loss leaves padding out, but only after the dearest product of
the step, that with the vocabulary, was computed for all of it. Here only positions with a real word to predict get
that far. On TensorFlow without a GPU the LSTM leaves padding out as well, and steps that were many small operations are
done in few: see `say_what_you_see.training.packed_tensorflow`. All is arranged around the decoder's own layers, whose weights are
trained in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.models.bottleneck_lstm import masked_crossentropy

ops = keras.ops
Tensor = Any


@dataclass(frozen=True)
class PackedBatch:
    """A batch without its padding.

    Its captions stand sorted, the longest first, so that those which are not at their end yet are the first ones at
    every step. Positions are listed step by step: those of the first words, then those of the second words, and so on.

    Attributes:
        embeds: (batch, features) of the pictures, sorted like the captions.
        words: (batch, steps) words to read, sorted.
        positions: (real,) where in `words`, flattened, words are followed by one to predict.
        targets: (real,) the words to predict.
        counts: (1, steps) how many captions go on at each step.
    """

    embeds: np.ndarray
    words: np.ndarray
    positions: np.ndarray
    targets: np.ndarray
    counts: np.ndarray


def pack_batch(embeds: np.ndarray, words: np.ndarray, targets: np.ndarray, pad_idx: int) -> PackedBatch:
    """Sort a batch of `say_what_you_see.training.loop.generate_batch` by length and list its real positions.

    Args:
        embeds: (batch, features).
        words: (batch, steps), all but the last.
        targets: (batch, steps), all but the first: from each word the next is to be predicted.
        pad_idx: PAD, which stands at the ends of captions only.
    """
    lengths = (targets != pad_idx).sum(axis=1)
    order = np.argsort(-lengths, kind="stable")
    words, targets, lengths = words[order], targets[order], lengths[order]
    steps, captions = np.nonzero((targets != pad_idx).T)
    positions = (captions * targets.shape[1] + steps).astype(np.int32)
    counts = (lengths[:, None] > np.arange(targets.shape[1])).sum(axis=0, dtype=np.int32)
    return PackedBatch(embeds[order], words, positions, targets.ravel()[positions], counts[None])


class QuickTrainee(keras.Model):
    """A decoder seen for training: from a packed batch to its loss. Its weights are the decoder's, in the same order.

    The decoder must end in a layer "logits", before which positions do not meet any more.
    """

    def __init__(self, decoder: keras.Model, pad_idx: int) -> None:
        super().__init__(name="quick_trainee")
        self.decoder, self.pad_idx = decoder, pad_idx
        squeezed = keras.Model(decoder.inputs, decoder.get_layer("logits").input)
        self._squeeze = lambda *arguments, **options: squeezed(*arguments, **options)  # no weights of its own

    def prepare(self, batch: PackedBatch) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """A batch as this model reads it; padded a little where shapes are compiled for, which should be few."""
        positions, targets = batch.positions, batch.targets
        if keras.backend.backend() != "torch":
            spare = -len(positions) % (2 * len(batch.words))
            positions = np.pad(positions, (0, spare))
            targets = np.pad(targets, (0, spare), constant_values=self.pad_idx)
        return (batch.embeds, batch.words, positions), targets

    def call(self, inputs: tuple[Tensor, ...], training: bool = False) -> Tensor:
        """What the layer "logits" is given at the real positions, (real, size)."""
        embeds, words, positions = inputs
        squeezed = self._squeeze([embeds, words], training=training)
        return ops.take(ops.reshape(squeezed, (-1, squeezed.shape[-1])), positions, axis=0)

    def compute_loss(
        self, x=None, y: Tensor = None, y_pred: Tensor = None, sample_weight=None, training: bool = True
    ) -> Tensor:
        """The loss of `masked_crossentropy`, from what `call` returns."""
        return masked_crossentropy(self.pad_idx)(y, self.decoder.get_layer("logits")(y_pred))


def quick_trainee(decoder: keras.Model, pad_idx: int, batch: PackedBatch) -> QuickTrainee | None:
    """The quickest way here to train a decoder, or None if there is none but the plain one.

    Args:
        batch: some batch, on which each way is held against the decoder itself before it is taken.
    """
    if not isinstance(next((layer for layer in decoder.layers if layer.name == "logits"), None), keras.layers.Dense):
        return None
    if decoder.losses:
        return None  # regularisation, say, which is not looked at here
    ways = [QuickTrainee]
    if keras.backend.backend() == "tensorflow":
        from say_what_you_see.training.packed_tensorflow import TensorFlowTrainee, suits

        ways = [TensorFlowTrainee, QuickTrainee] if suits(decoder) else ways
    trainees = (way(decoder, pad_idx) for way in ways)
    return next((trainee for trainee in trainees if agrees(trainee, batch)), None)


def agrees(trainee: QuickTrainee, batch: PackedBatch, tolerance: float = 1e-4) -> bool:
    """Whether a trainee gives a batch's real words the logits that its decoder gives them."""
    inputs, targets = trainee.prepare(batch)
    found = trainee.decoder.get_layer("logits")(trainee(tuple(map(ops.convert_to_tensor, inputs))))
    found = ops.convert_to_numpy(found)[: len(batch.positions)]
    plain = ops.convert_to_numpy(trainee.decoder([batch.embeds, batch.words]))
    plain = plain.reshape(-1, plain.shape[-1])[batch.positions]
    return bool(np.abs(found - plain).max() <= tolerance * np.abs(plain).max())
