"""Batches without padding, and a decoder that computes logits for real words only, on every backend."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.training.examples import Batch, RandomBatches, WeightedBatch
from say_what_you_see.training.losses import masked_crossentropy, smoothed_crossentropy

ops = keras.ops
Tensor = Any


@dataclass(frozen=True)
class PackedBatch:
    """A batch and where its real words are.

    Captions are sorted, the longest first, so that at every step those that have not ended yet come first; but several
    captions of each image stay where they are. Positions are listed step by step: those of the first words, then those
    of the second words, and so on.
    """

    embeds: np.ndarray  # (images, ...) features, sorted like the captions
    words: np.ndarray  # (captions, steps) words to read, sorted
    positions: np.ndarray  # (real,) where in `words`, flattened, words are followed by one to predict
    targets: np.ndarray  # (real,) the words to predict
    counts: np.ndarray  # (1, steps) how many captions go on at each step


def pack_batch(batch: Batch | WeightedBatch, pad_idx: int) -> PackedBatch:
    """Sort a batch by the length of its captions and list its real positions.

    Args:
        pad_idx: PAD, which only stands at the ends of captions.
    """
    (embeds, words), targets, *_ = batch
    lengths = (targets != pad_idx).sum(axis=1)
    if len(embeds) == len(words):
        order = np.argsort(-lengths, kind="stable")
        embeds, words, targets, lengths = embeds[order], words[order], targets[order], lengths[order]
    steps, captions = np.nonzero((targets != pad_idx).T)
    positions = (captions * targets.shape[1] + steps).astype(np.int32)
    counts = (lengths[:, None] > np.arange(targets.shape[1])).sum(axis=0, dtype=np.int32)
    return PackedBatch(embeds, words, positions, targets.ravel()[positions], counts[None])


class PackedDecoder(keras.Model):
    """Computes the loss of a packed batch. The weights are those of a decoder, in the same order.

    The decoder must end in a layer "logits" that looks at each position alone.
    """

    def __init__(self, decoder: keras.Model, pad_idx: int, label_smoothing: float = 0.0) -> None:
        super().__init__(name="packed_decoder")
        self.decoder, self.pad_idx, self.label_smoothing = decoder, pad_idx, label_smoothing
        self._first_layers = self.first_layers(decoder).__call__  # so neither they nor their weights become ours
        if label_smoothing:  # what is reported is not smoothed
            self.crossentropy = keras.metrics.Mean("loss")

    @classmethod
    def supports(cls, decoder: keras.Model) -> bool:
        """Whether a decoder looks like one that this class can train; `has_same_logits` makes sure."""
        last = decoder.layers[-1]
        return last.name == "logits" and isinstance(last, keras.layers.Dense) and last.use_bias

    @staticmethod
    def first_layers(decoder: keras.Model) -> keras.Model:
        """The part of the decoder that is used as it is: here all layers before "logits"."""
        return keras.Model(decoder.inputs, decoder.get_layer("logits").input)

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
        hidden = self._first_layers([embeds, words], training=training)
        return ops.take(ops.reshape(hidden, (-1, hidden.shape[-1])), positions, axis=0)

    def compute_loss(
        self, x=None, y: Tensor = None, y_pred: Tensor = None, sample_weight=None, training: bool = True
    ) -> Tensor:
        """The loss of words (real,) as `compile_decoder` chooses it, from the result of `call`."""
        if keras.backend.backend() == "tensorflow":
            from say_what_you_see.training.packed.tensorflow import dense_crossentropy

            weights = self.output_weights()
            loss, crossentropy = dense_crossentropy(y_pred, *weights, y, self.pad_idx, self.label_smoothing)
        else:
            logits = self.logits(y_pred)
            loss = crossentropy = masked_crossentropy(self.pad_idx)(y, logits)
            if self.label_smoothing:
                loss = smoothed_crossentropy(self.pad_idx, self.label_smoothing)(y, logits)
        if self.label_smoothing:
            self.crossentropy.update_state(crossentropy)
        return loss if sample_weight is None else loss * sample_weight[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits of each next word, (real, vocabulary), from the result of `call`."""
        kernel, bias = self.output_weights()
        return ops.matmul(hidden, kernel) + bias

    def output_weights(self) -> tuple[Tensor, Tensor]:
        """The kernel and the bias that make logits."""
        kernel, bias = map(ops.convert_to_tensor, self.decoder.get_layer("logits").weights)
        return kernel, bias


class PackedBatches(keras.utils.PyDataset):
    """Random batches, as a packed decoder reads them."""

    def __init__(self, batches: RandomBatches, decoder: PackedDecoder) -> None:
        super().__init__()
        self.batches, self.decoder = batches, decoder

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> tuple:
        batch = self.batches[step]
        return *self.decoder.prepare(pack_batch(batch, self.decoder.pad_idx)), *batch[2:]

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()
