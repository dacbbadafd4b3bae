"""The choice of the packed decoder for a model and a machine."""

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.training.packed.decoder import PackedBatch, PackedDecoder
from say_what_you_see.training.packed.transformer import PackedTransformer


def choose_packed_decoder(
    decoder: keras.Model, pad_idx: int, batch: PackedBatch, label_smoothing: float = 0.0
) -> PackedDecoder | None:
    """The fastest packed decoder with the same logits; None if only the decoder itself will do.

    Args:
        batch: any batch, on which the logits are compared.
    """
    if decoder.losses:  # such as regularisation, which packed decoders leave out
        return None
    kinds: list[type[PackedDecoder]] = [PackedTransformer, PackedDecoder]
    if keras.backend.backend() == "tensorflow":
        from say_what_you_see.training.packed.lstm import TensorFlowPackedDecoder

        kinds.insert(0, TensorFlowPackedDecoder)
    candidates = (kind(decoder, pad_idx, label_smoothing) for kind in kinds if kind.supports(decoder))
    return next((candidate for candidate in candidates if has_same_logits(candidate, batch)), None)


def has_same_logits(packed: PackedDecoder, batch: PackedBatch) -> bool:
    """Whether the logits of a batch's real words are those of the decoder itself."""
    inputs, _ = packed.prepare(batch)
    logits = packed.logits(packed(tuple(map(keras.ops.convert_to_tensor, inputs))))
    logits = keras.ops.convert_to_numpy(logits)[: len(batch.positions)]
    expected = keras.ops.convert_to_numpy(packed.decoder([batch.embeds, batch.words]))
    expected = expected.reshape(-1, expected.shape[-1])[batch.positions]
    return bool(np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max())
