"""The transformer without padding: captions are filled up only where words look at other words or at regions."""

from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.models.saved_decoder import TRANSFORMER_LAYERS
from say_what_you_see.models.transformer import DecoderBlock, TransformerDecoder, causal_mask, position_encoding
from say_what_you_see.training.packed.decoder import PackedBatch, PackedDecoder

ops = keras.ops
Tensor = Any


class Padding:
    """Fills up packed vectors, and packs them again.

    Args:
        places: which of the vectors stands in each place, (longest, groups); the number of vectors where none does.
        positions: the place of each vector, counted row by row, (vectors,).
    """

    def __init__(self, places: Tensor, positions: Tensor) -> None:
        self.places, self.positions = ops.transpose(places), positions

    def add(self, vectors: Tensor) -> Tensor:
        """(vectors, size) to (groups, longest, size), with zeros where there is none."""
        return ops.take(ops.concatenate([vectors, ops.zeros_like(vectors[:1])]), self.places, axis=0)

    def remove(self, padded: Tensor) -> Tensor:
        """(groups, longest, size) to (vectors, size)."""
        return ops.take(ops.reshape(padded, (-1, padded.shape[-1])), self.positions, axis=0)


def place_in_groups(group: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """What `Padding` needs to put vectors side by side in groups, given the group of each, (vectors,)."""
    sizes = np.bincount(group, minlength=groups)
    order = np.argsort(group, kind="stable")
    columns = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = np.full((groups, sizes.max()), len(group), np.int32)
    places[group[order], columns] = order
    positions = np.empty(len(group), np.int32)
    positions[order] = group[order] * places.shape[1] + columns
    return places.T, positions  # Keras lets only the first axis vary, if the first two batches are of the same size


def read_packed(
    block: DecoderBlock,
    hidden: Tensor,
    regions: tuple[Tensor, Tensor],
    captions: Padding,
    pictures: Padding,
    training: bool,
) -> Tensor:
    """What `DecoderBlock` does, for the words of all captions in one row, (real, units).

    Args:
        captions: puts the words of a caption side by side.
        pictures: puts the words of all captions of a picture side by side.
    """
    look, normed = block.self_attention, block.norms[0](hidden)
    queries, keys, values = map(captions.add, (look.query(normed), *look.project(normed)))
    mask = causal_mask(ops.shape(queries)[1], ops.shape(keys)[1])
    seen = captions.remove(look.attend(queries, keys, values, mask)[0])
    hidden = hidden + block.dropout(look.output_projection(seen), training=training)

    look, normed = block.cross_attention, block.norms[1](hidden)
    seen = pictures.remove(look.attend(pictures.add(look.query(normed)), *regions, None)[0])
    hidden = hidden + block.dropout(look.output_projection(seen), training=training)

    thought = block.contract(block.expand(block.norms[2](hidden)))
    return hidden + block.dropout(thought, training=training)


class PackedTransformer(PackedDecoder):
    """A transformer whose layers read real words only, on TensorFlow and PyTorch; JAX would compile every length."""

    @classmethod
    def supports(cls, decoder: keras.Model) -> bool:
        """Whether a decoder looks like one of `build_transformer`, and the backend does not compile every shape."""
        if {layer.name for layer in decoder.layers} != TRANSFORMER_LAYERS or keras.backend.backend() == "jax":
            return False
        return isinstance(decoder.get_layer("decoder"), TransformerDecoder)

    @staticmethod
    def first_layers(decoder: keras.Model) -> keras.Model:
        """The encoder of the regions, which have no padding."""
        return keras.Model(decoder.inputs[0], decoder.get_layer("encoder_norm").output)

    def prepare(self, batch: PackedBatch) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """A batch as inputs and targets: features, words and their steps, (real,), and what two `Padding`s need."""
        captions, steps = batch.words.shape
        caption, step = np.divmod(batch.positions, steps)
        of_captions = place_in_groups(caption, captions)
        of_pictures = place_in_groups(caption // (captions // len(batch.embeds)), len(batch.embeds))
        return (batch.embeds, batch.words[caption, step], step, *of_captions, *of_pictures), batch.targets

    def call(self, inputs: tuple[Tensor, ...], training: bool = False) -> Tensor:
        """The normalised vectors from which the logits are made, (real, units)."""
        features, words, steps, *places = inputs
        decoder, captions, pictures = self.decoder.get_layer("decoder"), Padding(*places[:2]), Padding(*places[2:])
        hidden = decoder.embedding(words) * decoder.units**0.5 + position_encoding(steps, decoder.units)
        hidden = decoder.dropout(hidden, training=training)
        regions = decoder.project(self._first_layers(features, training=training))
        for block, of_block in zip(decoder.blocks, regions, strict=True):
            hidden = read_packed(block, hidden, of_block, captions, pictures, training)
        return decoder.norm(hidden)

    def output_weights(self) -> tuple[Tensor, Tensor]:
        """The word embeddings as a kernel, and no bias."""
        kernel = ops.transpose(self.decoder.get_layer("decoder").embedding.embeddings)
        return kernel, ops.zeros(kernel.shape[1])
