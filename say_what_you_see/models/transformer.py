"""A small transformer decoder: each word looks at the words before it, and then at the regions of the picture.

Architecture after Vaswani et al. (2017, arXiv:1706.03762), normalised before each part (Xiong et al. 2020,
arXiv:2002.04745); the word embeddings also score the next word (Press and Wolf 2017, arXiv:1608.05859).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.models.attention import PACKAGE
from say_what_you_see.models.keras_step import KerasStepModel, read_weight
from say_what_you_see.models.numpy_transformer import NumpyTransformer
from say_what_you_see.models.step import StepModel

layers: Any = keras.layers
ops = keras.ops
Tensor = Any
KeysAndValues = list[tuple[Tensor, Tensor]]  # of each block


def scaled_dot_product_attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Look something up softly: softmax(Q Kᵀ / √d) V.

    Args:
        queries: what is looked for, (..., n, d).
        keys: what there is, (..., m, d).
        values: what is read where a key matches, (..., m, size).
        mask: (n, m), True where a query may look; None lets each look everywhere.

    Returns:
        For each query the weighted mean of the values, (..., n, size); the weights, (..., n, m), which sum to 1.
    """
    scores = ops.matmul(queries, ops.swapaxes(keys, -1, -2)) / keys.shape[-1] ** 0.5
    if mask is not None:
        scores = ops.where(mask, scores, -1e9)
    # the softmax, written out: Keras' own warns if there is a single key, as for the first word
    likeness = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    weights = likeness / ops.sum(likeness, axis=-1, keepdims=True)
    return ops.matmul(weights, values), weights


def causal_mask(queries: int, keys: int) -> Tensor:
    """Which words each of the last `queries` words may look at: itself and those before it, (queries, keys)."""
    return ops.arange(keys)[None] <= ops.arange(queries)[:, None] + keys - queries


def position_encoding(positions: Tensor, size: int) -> Tensor:
    """Positions of words as sines and cosines of many wavelengths: (words,) to (words, size)."""
    wavelengths = 10_000 ** (np.arange(0, size, 2, dtype="float32") / size)
    angles = ops.cast(positions, "float32")[:, None] / ops.convert_to_tensor(wavelengths)
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


class MultiHeadAttention(layers.Layer):
    """Several attentions side by side, each on its own part of the vectors.

    Keys and values are made outside the call, by `project`, so that a step function can keep them.
    """

    def __init__(self, units: int, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.heads = units, heads
        self.query, self.key, self.value, self.output_projection = (
            layers.Dense(units, name=name) for name in ("query", "key", "value", "output")
        )

    def build(self, input_shape: tuple) -> None:
        """Make the weights."""
        for layer in (self.query, self.key, self.value, self.output_projection):
            layer.build((None, None, self.units))

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of what is looked at, each (batch, m, units)."""
        return self.key(memory), self.value(memory)

    def call(self, hidden: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Look from each of (batch, n, units); returns what each saw, (batch, n, units), and the weights of the heads,
        (batch, heads, n, m).
        """
        seen, weights = self.attend(self.query(hidden), keys, values, mask)
        return self.output_projection(seen), weights

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the heads see, joined, and their weights; in the shapes of `call`."""
        queries, keys, values = map(self._split, (queries, keys, values))
        seen, weights = scaled_dot_product_attention(queries, keys, values, mask)
        batch, _, length, _ = ops.shape(seen)
        return ops.reshape(ops.swapaxes(seen, 1, 2), (batch, length, self.units)), weights

    def _split(self, part: Tensor) -> Tensor:
        """(batch, n, units) to (batch, heads, n, units / heads)."""
        batch, length, _ = ops.shape(part)
        return ops.swapaxes(ops.reshape(part, (batch, length, self.heads, self.units // self.heads)), 1, 2)


class DecoderBlock(layers.Layer):
    """Looks at the words so far, then at the picture, then thinks about each word by itself; each time it adds what
    it found to what it had.
    """

    def __init__(self, units: int, heads: int, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.self_attention = MultiHeadAttention(units, heads, name="self_attention")
        self.cross_attention = MultiHeadAttention(units, heads, name="cross_attention")
        self.expand = layers.Dense(4 * units, activation="relu", name="expand")
        self.contract = layers.Dense(units, name="contract")
        self.norms = [layers.LayerNormalization(epsilon=1e-5, name=f"norm_{part}") for part in range(3)]
        self.dropout = layers.Dropout(dropout)

    def build(self, input_shape: tuple) -> None:
        """Make the weights."""
        shape = (None, None, self.units)
        for layer in (self.self_attention, self.cross_attention, self.expand, *self.norms):
            layer.build(shape)
        self.contract.build((None, None, 4 * self.units))

    def call(
        self, hidden: Tensor, past: tuple[Tensor, Tensor], regions: tuple[Tensor, Tensor], training: bool | None = None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Read words, (captions, n, units).

        Args:
            past: keys and values of the words before them, each (captions, words before, units).
            regions: keys and values of the pictures, each (pictures, regions, units). Captions of the same picture
                are consecutive, the same number for each.

        Returns:
            The new vectors, (captions, n, units); their weights of the regions, the mean over the heads, (captions, n,
            regions); keys and values of all words so far.
        """
        normed = self.norms[0](hidden)
        keys, values = (
            ops.concatenate(pair, axis=1) for pair in zip(past, self.self_attention.project(normed), strict=True)
        )
        mask = causal_mask(ops.shape(hidden)[1], ops.shape(keys)[1])
        hidden = hidden + self.dropout(self.self_attention(normed, keys, values, mask)[0], training=training)

        captions, length, _ = ops.shape(hidden)
        of_pictures = ops.reshape(self.norms[1](hidden), (ops.shape(regions[0])[0], -1, self.units))
        seen, weights = self.cross_attention(of_pictures, *regions)
        hidden = hidden + self.dropout(ops.reshape(seen, (captions, length, self.units)), training=training)
        weights = ops.reshape(ops.mean(weights, axis=1), (captions, length, regions[0].shape[1]))

        thought = self.contract(self.expand(self.norms[2](hidden)))
        return hidden + self.dropout(thought, training=training), weights, (keys, values)


@keras.saving.register_keras_serializable(PACKAGE)
class TransformerDecoder(layers.Layer):
    """From words and the regions of their pictures to the logits of each next word."""

    def __init__(
        self, vocab_size: int, units: int = 256, blocks: int = 2, heads: int = 8, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.embedding = layers.Embedding(
            vocab_size, units, keras.initializers.RandomNormal(stddev=units**-0.5), name="word_embedding"
        )
        self.blocks = [DecoderBlock(units, heads, dropout, name=f"block_{block}") for block in range(blocks)]
        self.norm = layers.LayerNormalization(epsilon=1e-5, name="norm")
        self.dropout = layers.Dropout(dropout)
        self.supports_jit = False  # XLA would compile it anew for every number of words

    def build(self, words_shape: tuple, regions_shape: tuple) -> None:
        """Make the weights."""
        self.embedding.build((None, None))
        for layer in (*self.blocks, self.norm):
            layer.build((None, None, self.units))

    def call(self, words: Tensor, regions: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Read all words of the true captions at once: teacher forcing.

        Args:
            words: indices, (captions, steps).
            regions: (pictures, regions, units); captions of the same picture share them, see `DecoderBlock`.

        Returns:
            The logits after each word, (captions, steps, vocabulary); the last block's weights of the regions,
            (captions, steps, regions).
        """
        nothing = ops.zeros_like(self.embedding(words[:, :0]))
        past = [(nothing, nothing)] * len(self.blocks)
        logits, weights, _ = self.read(words, past, self.project(regions), training)
        return logits, weights

    def project(self, regions: Tensor) -> KeysAndValues:
        """The regions' keys and values in each block."""
        return [block.cross_attention.project(regions) for block in self.blocks]

    def read(
        self, words: Tensor, past: KeysAndValues, regions: KeysAndValues, training: bool | None = None
    ) -> tuple[Tensor, Tensor, KeysAndValues]:
        """Read further words, given keys and values of those before and of the regions in each block; returns logits,
        weights and the keys and values of all words so far.
        """
        before, length = ops.shape(past[0][0])[1], ops.shape(words)[1]
        positions = position_encoding(before + ops.arange(length), self.units)
        hidden = self.dropout(self.embedding(words) * self.units**0.5 + positions, training=training)
        now, weights = [], None
        for block, of_words, of_regions in zip(self.blocks, past, regions, strict=True):
            hidden, weights, kept = block(hidden, of_words, of_regions, training=training)
            now.append(kept)
        logits = ops.matmul(self.norm(hidden), ops.transpose(self.embedding.embeddings))
        return logits, weights, now


def build_transformer(
    vocab_size: int,
    regions: int = 81,
    feature_size: int = 1280,
    units: int = 256,
    blocks: int = 2,
    heads: int = 8,
    dropout: float = 0.0,
) -> keras.Model:
    """Build the model: from [features (pictures, regions, feature_size), words (captions, steps)] to the logits of each
    next word (captions, steps, vocab_size).
    """
    features = layers.Input((regions, feature_size), name="features")
    words = layers.Input((None,), dtype="int32", name="words")
    encoded = layers.Dense(units, name="encoder")(layers.Dropout(dropout, name="features_dropout")(features))
    encoded = layers.LayerNormalization(epsilon=1e-5, name="encoder_norm")(encoded)
    logits, _ = TransformerDecoder(vocab_size, units, blocks, heads, dropout, name="decoder")(words, encoded)
    return keras.Model([features, words], logits, name="transformer")


class TransformerStart(layers.Layer):
    """Each block's keys and values before the first word: none of words, and those of the regions."""

    def __init__(self, decoder: TransformerDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def call(self, regions: Tensor) -> list[Tensor]:
        """From regions, (pictures, regions, units)."""
        of_regions = [part for pair in self.decoder.project(regions) for part in pair]
        return [part[:, :0] for part in of_regions] + of_regions


class TransformerStep(layers.Layer):
    """Reads one word after others whose keys and values were kept."""

    def __init__(self, decoder: TransformerDecoder) -> None:
        super().__init__()
        self.decoder = decoder
        self.supports_jit = False

    def call(self, word: Tensor, kept: list[Tensor]) -> list[Tensor]:
        """From words (captions,) and keys and values to logits (captions, vocabulary) and the words' new ones."""
        pairs = list(zip(kept[::2], kept[1::2], strict=True))
        past, regions = pairs[: len(self.decoder.blocks)], pairs[len(self.decoder.blocks) :]
        logits, _, now = self.decoder.read(word[:, None], past, regions)
        return [logits[:, 0], *(part for pair in now for part in pair)]


class TransformerStepModel(KerasStepModel):
    """A transformer rearranged to predict a single next word.

    Its memory is the keys and values of the words so far, so that no word is read twice; its context is those of the
    regions.
    """

    def __init__(self, model: keras.Model) -> None:
        decoder, encoded = model.get_layer("decoder"), model.get_layer("encoder_norm").output
        start_model = keras.Model(model.inputs[0], TransformerStart(decoder)(encoded))
        count = 2 * len(decoder.blocks)
        word = layers.Input((), dtype="int32")
        past = [layers.Input((None, decoder.units)) for _ in range(count)]
        regions = [layers.Input((encoded.shape[1], decoder.units)) for _ in range(count)]
        step = keras.Model([word, *past, *regions], TransformerStep(decoder)(word, [*past, *regions]))
        super().__init__(start_model, step)
        self._model = model

    def fastest(self) -> StepModel:
        """The model in NumPy, with its current weights; the model itself if these are on a GPU."""
        blocks = self._model.get_layer("decoder").blocks
        try:
            return NumpyTransformer(self._weights_of, len(blocks), blocks[0].self_attention.heads)
        except AttributeError:
            return self

    def _weights_of(self, place: str) -> list[np.ndarray]:
        """The weights of the layer at a place such as "decoder/blocks/0/expand"."""
        name, *parts = place.split("/")
        layer = self._model.get_layer(name)
        for part in parts:
            layer = layer[int(part)] if part.isdigit() else getattr(layer, part)
        return [read_weight(weight) for weight in layer.weights]
