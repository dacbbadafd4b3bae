"""Batches without padding, a decoder that computes logits for real words only, on every backend, and the choice of the
fastest decoder for a machine.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.training.examples import RandomBatches
from say_what_you_see.training.losses import masked_crossentropy

ops = keras.ops
Tensor = Any


@dataclass(frozen=True)
class PackedBatch:
    """A batch and where its real words are.

    Captions are sorted, the longest first, so that at every step those that have not ended yet come first.
    Positions are listed step by step: those of the first words, then those of the second words, and so on.
    """

    embeds: np.ndarray  # (batch, features) of the images, sorted like the captions
    words: np.ndarray  # (batch, steps) words to read, sorted
    positions: np.ndarray  # (real,) where in `words`, flattened, words are followed by one to predict
    targets: np.ndarray  # (real,) the words to predict
    counts: np.ndarray  # (1, steps) how many captions go on at each step


def pack_batch(embeds: np.ndarray, words: np.ndarray, targets: np.ndarray, pad_idx: int) -> PackedBatch:
    """Sort a batch of `say_what_you_see.training.examples.generate_batch` by length and list its real positions.

    Args:
        embeds: (batch, features).
        words: (batch, steps), all but the last.
        targets: (batch, steps), all but the first: at each word the next is to be predicted.
        pad_idx: PAD, which only stands at the ends of captions.
    """
    lengths = (targets != pad_idx).sum(axis=1)
    order = np.argsort(-lengths, kind="stable")
    words, targets, lengths = words[order], targets[order], lengths[order]
    steps, captions = np.nonzero((targets != pad_idx).T)
    positions = (captions * targets.shape[1] + steps).astype(np.int32)
    counts = (lengths[:, None] > np.arange(targets.shape[1])).sum(axis=0, dtype=np.int32)
    return PackedBatch(embeds[order], words, positions, targets.ravel()[positions], counts[None])


class PackedDecoder(keras.Model):
    """Computes the loss of a packed batch. The weights are those of a decoder, in the same order.

    The decoder must end in a layer "logits" that looks at each position alone.
    """

    def __init__(self, decoder: keras.Model, pad_idx: int) -> None:
        super().__init__(name="packed_decoder")
        self.decoder, self.pad_idx = decoder, pad_idx
        before_logits = keras.Model(decoder.inputs, decoder.get_layer("logits").input)
        self._before_logits = before_logits.__call__  # so neither it nor its weights become ours

    def prepare(self, batch: PackedBatch) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """A batch as inputs and targets of this model.

        Positions are padded a little on backends that compile for each shape, so that there are few.
        """
        positions, targets = batch.positions, batch.targets
        if keras.backend.backend() != "torch":
            spare = -len(positions) % (2 * len(batch.words))
            positions = np.pad(positions, (0, spare))
            targets = np.pad(targets, (0, spare), constant_values=self.pad_idx)
        return (batch.embeds, batch.words, positions), targets

    def call(self, inputs: tuple[Tensor, ...], training: bool = False) -> Tensor:
        """The inputs of the layer "logits" at the real positions, (real, size)."""
        embeds, words, positions = inputs
        hidden = self._before_logits([embeds, words], training=training)
        return ops.take(ops.reshape(hidden, (-1, hidden.shape[-1])), positions, axis=0)

    def compute_loss(
        self, x=None, y: Tensor = None, y_pred: Tensor = None, sample_weight=None, training: bool = True
    ) -> Tensor:
        """The loss of a batch, from the result of `call`."""
        loss = self.mean_loss(y, y_pred)
        return loss if sample_weight is None else loss * sample_weight[0]

    def mean_loss(self, targets: Tensor, hidden: Tensor) -> Tensor:
        """The loss of `masked_crossentropy` of words (real,), from what the layer "logits" reads, (real, size)."""
        return masked_crossentropy(self.pad_idx)(targets, self.decoder.get_layer("logits")(hidden))


class PackedBatches(keras.utils.PyDataset):
    """Random batches, as a packed decoder reads them."""

    def __init__(self, batches: RandomBatches, decoder: PackedDecoder) -> None:
        super().__init__()
        self.batches, self.decoder = batches, decoder

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> tuple:
        (embeds, words), targets, *weight = self.batches[step]
        return *self.decoder.prepare(pack_batch(embeds, words, targets, self.decoder.pad_idx)), *weight

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()


def choose_packed_decoder(decoder: keras.Model, pad_idx: int, batch: PackedBatch) -> PackedDecoder | None:
    """The fastest packed decoder with the same logits; None if only the decoder itself will do.

    Args:
        batch: any batch, on which the logits are compared.
    """
    if not any(layer.name == "logits" and isinstance(layer, keras.layers.Dense) for layer in decoder.layers):
        return None
    if decoder.losses:  # such as regularisation, which packed decoders leave out
        return None
    kinds = [PackedDecoder]
    if keras.backend.backend() == "tensorflow":
        from say_what_you_see.training.packed.tensorflow import TensorFlowPackedDecoder, is_supported

        if is_supported(decoder):
            kinds.insert(0, TensorFlowPackedDecoder)
    candidates = (kind(decoder, pad_idx) for kind in kinds)
    return next((candidate for candidate in candidates if has_same_logits(candidate, batch)), None)


def has_same_logits(packed: PackedDecoder, batch: PackedBatch) -> bool:
    """Whether the logits of a batch's real words are those of the decoder itself."""
    inputs, _ = packed.prepare(batch)
    logits = packed.decoder.get_layer("logits")(packed(tuple(map(ops.convert_to_tensor, inputs))))
    logits = ops.convert_to_numpy(logits)[: len(batch.positions)]
    expected = ops.convert_to_numpy(packed.decoder([batch.embeds, batch.words]))
    expected = expected.reshape(-1, expected.shape[-1])[batch.positions]
    return bool(np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max())
