"""Which packed decoder fits a decoder and this machine, and the batches that it is trained on."""

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.training.examples import RandomBatches
from say_what_you_see.training.packed.decoder import PackedBatch, PackedDecoder, pack_batch

ops = keras.ops


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
    """The fastest packed decoder with the same logits; None where only the decoder itself will do.

    Args:
        batch: any batch; on it the logits are compared.
    """
    if not isinstance(next((layer for layer in decoder.layers if layer.name == "logits"), None), keras.layers.Dense):
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


def has_same_logits(packed: PackedDecoder, batch: PackedBatch, tolerance: float = 1e-4) -> bool:
    """Whether the logits of a batch's real words are those of the decoder itself."""
    inputs, _ = packed.prepare(batch)
    logits = packed.decoder.get_layer("logits")(packed(tuple(map(ops.convert_to_tensor, inputs))))
    logits = ops.convert_to_numpy(logits)[: len(batch.positions)]
    expected = ops.convert_to_numpy(packed.decoder([batch.embeds, batch.words]))
    expected = expected.reshape(-1, expected.shape[-1])[batch.positions]
    return bool(np.abs(logits - expected).max() <= tolerance * np.abs(expected).max())
