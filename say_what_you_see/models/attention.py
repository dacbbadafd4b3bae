"""A decoder that looks at the picture anew before each word: visual attention over a grid of regions.

Architecture after Xu et al. (2015, arXiv:1502.03044), with the attention of Bahdanau et al. (2015,
arXiv:1409.0473) and a GRU: the picture stays a grid of regions, and each step of the decoder weighs them anew.
"""

from collections import Counter
from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.language.captions import END, PAD, START, UNK, split_sentence
from say_what_you_see.models.keras_step import KerasStepModel

layers: Any = keras.layers
ops = keras.ops
Tensor = Any

TOP_WORDS = 5_000
"""The number of most frequent words that the vocabulary keeps."""

PACKAGE = "say_what_you_see"
"""The name under which Keras finds the layers below when it loads a model."""


def show_shapes(**tensors: Tensor) -> None:
    """Print the shapes of tensors under their names."""
    for name, tensor in tensors.items():
        print(f"  {name:<18}{tuple(tensor.shape)}")


@keras.saving.register_keras_serializable(PACKAGE)
class BahdanauAttention(layers.Layer):
    """Weighs the regions of a picture given the decoder's state: score = V tanh(W1 region + W2 hidden).

    W1 of the regions is the same at every step: it is computed once, outside, and passed in as `keys`.
    """

    def __init__(self, units: int = 512, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.W2 = layers.Dense(units, use_bias=False, name="W2")  # the keys have a bias already
        self.V = layers.Dense(1, use_bias=False, name="V")  # softmax ignores what is added to all scores

    def build(self, hidden_shape: tuple, regions_shape: tuple, keys_shape: tuple) -> None:
        """Make the weights."""
        self.W2.build(hidden_shape)
        self.V.build(keys_shape)

    def call(self, hidden: Tensor, regions: Tensor, keys: Tensor, trace_shapes: bool = False) -> tuple[Tensor, Tensor]:
        """Look at the regions once.

        Args:
            hidden: the decoder's state before this step, (batch, GRU units).
            regions: the encoded features, (batch, regions, size).
            keys: W1 of the regions, (batch, regions, units).

        Returns:
            The context, (batch, size): the weighted mean of the regions; and the weights,
            (batch, regions), which sum to 1.
        """
        query = self.W2(hidden)[:, None]  # W2 h
        scores = self.V(ops.tanh(keys + query))  # e
        weights = ops.softmax(scores, axis=1)  # alpha
        context = ops.sum(weights * regions, axis=1)  # c
        if trace_shapes:
            show_shapes(query=query, scores=scores, weights=weights, context=context)
        return context, weights[..., 0]

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, for saving."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(PACKAGE)
class AttentionCell(layers.Layer):
    """One step of the decoder: look at the picture, join what was seen to the word, update the state."""

    def __init__(self, units: int = 512, attention_units: int = 512, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.attention_units = units, attention_units
        self.attention = BahdanauAttention(attention_units, name="attention")
        self.gru = layers.GRUCell(units, name="gru")

    def build(self, word_shape: tuple, hidden_shape: tuple, regions_shape: tuple, keys_shape: tuple) -> None:
        """Make the weights."""
        self.attention.build(hidden_shape, regions_shape, keys_shape)
        self.gru.build((*word_shape[:-1], regions_shape[-1] + word_shape[-1]))

    def call(
        self, word: Tensor, hidden: Tensor, regions: Tensor, keys: Tensor, trace_shapes: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Read one word.

        Args:
            word: its embedding, (batch, word size).
            hidden: the state so far, (batch, units).
            regions: as in `BahdanauAttention`, like `keys`.

        Returns:
            The new state, from which the next word is predicted, (batch, units); the attention weights,
            (batch, regions).
        """
        context, weights = self.attention(hidden, regions, keys, trace_shapes=trace_shapes)
        joined = ops.concatenate([context, word], axis=-1)
        new_hidden, _ = self.gru(joined, [hidden])
        if trace_shapes:
            show_shapes(word=word, context_and_word=joined, hidden=new_hidden)
        return new_hidden, weights

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, for saving."""
        return {**super().get_config(), "units": self.units, "attention_units": self.attention_units}


@keras.saving.register_keras_serializable(PACKAGE)
class AttentionGRU(layers.Layer):
    """Reads the words of a caption one after another, and looks at the picture before each."""

    def __init__(self, units: int = 512, attention_units: int = 512, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = AttentionCell(units, attention_units, name="cell")

    def build(self, words_shape: tuple, regions_shape: tuple, keys_shape: tuple) -> None:
        """Make the weights."""
        batch = words_shape[0]
        self.cell.build((batch, words_shape[-1]), (batch, self.cell.units), regions_shape, keys_shape)

    def call(self, words: Tensor, regions: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Read all words of the true captions, whatever the model would have predicted: teacher forcing.

        Args:
            words: embeddings, (batch, steps, word size).
            regions: as in `BahdanauAttention`, like `keys`.

        Returns:
            The state after each word, (batch, steps, units); the attention weights of that step,
            (batch, steps, regions).
        """

        def step(carried: tuple[Tensor, Tensor], word: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
            after = self.cell(word, carried[0], regions, keys)
            return after, after

        nothing = ops.zeros_like(regions[:, :, 0])
        start = empty_state(regions, self.cell.units), nothing
        _, (hidden, weights) = ops.scan(step, start, ops.swapaxes(words, 0, 1))
        return ops.swapaxes(hidden, 0, 1), ops.swapaxes(weights, 0, 1)

    def compute_output_shape(self, words_shape: tuple, regions_shape: tuple, keys_shape: tuple) -> tuple[tuple, tuple]:
        """The shapes of states and weights."""
        return (*words_shape[:2], self.cell.units), (*words_shape[:2], regions_shape[1])

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, for saving."""
        return {**super().get_config(), "units": self.cell.units, "attention_units": self.cell.attention_units}


def empty_state(regions: Tensor, units: int) -> Tensor:
    """The state before the first word: zeros, (batch, units)."""
    return ops.repeat(ops.zeros_like(regions[:, :1, 0]), units, axis=1)


def build_visual_attention(
    vocab_size: int,
    regions: int = 64,
    feature_size: int = 2048,
    embedding_size: int = 256,
    units: int = 512,
    attention_units: int = 512,
    dropout: float = 0.0,
) -> keras.Model:
    """Build the model: from [features (batch, regions, feature_size), words (batch, steps)] to the logits of each
    next word (batch, steps, vocab_size).
    """
    features = layers.Input((regions, feature_size), name="features")
    words = layers.Input((None,), dtype="int32", name="words")

    encoded = layers.Dense(embedding_size, activation="relu", name="encoder")(features)
    encoded = layers.Dropout(dropout, name="encoder_dropout")(encoded)
    keys = layers.Dense(attention_units, name="W1")(encoded)

    word_embeds = layers.Embedding(vocab_size, embedding_size, name="word_embedding")(words)
    hidden, _ = AttentionGRU(units, attention_units, name="decoder")(word_embeds, encoded, keys)
    hidden = layers.Dropout(dropout, name="hidden_dropout")(hidden)
    logits = layers.Dense(vocab_size, name="logits")(layers.Dense(units, name="before_logits")(hidden))
    return keras.Model([features, words], logits, name="visual_attention")


def attention_model(model: keras.Model) -> keras.Model:
    """The same layers with another output: from [features, words] to the attention weights, (batch, steps, regions).

    Step t reads word t, and its weights belong to the word that is predicted from it, word t + 1.
    """
    return keras.Model(model.inputs, model.get_layer("decoder").output[1], name="attention_weights")


def with_even_attention(model: keras.Model) -> keras.Model:
    """A copy of a model that weighs all regions the same at every step: what remains of it without looking."""
    # a model of its own: clone_model would also rebuild the optimizer of one that was trained
    copy = keras.models.clone_model(keras.Model(model.inputs, model.outputs[0], name=model.name))
    copy.set_weights(model.get_weights())
    kernel = copy.get_layer("decoder").cell.attention.V.kernel
    kernel.assign(ops.zeros(kernel.shape))
    return copy


def attention_step_model(model: keras.Model) -> KerasStepModel:
    """Rearrange the layers of a trained model to predict a single next word.

    Its memory is the GRU's state; its context, which does not change, is the encoded regions and their W1.
    """
    cell = model.get_layer("decoder").cell
    regions, keys = model.get_layer("encoder").output, model.get_layer("W1").output
    start_model = keras.Model(model.inputs[0], [empty_state(regions, cell.units), regions, keys])

    word, hidden = layers.Input((), dtype="int32"), layers.Input((cell.units,))
    regions, keys = layers.Input(regions.shape[1:]), layers.Input(keys.shape[1:])
    new_hidden, _ = cell(model.get_layer("word_embedding")(word), hidden, regions, keys)
    logits = model.get_layer("logits")(model.get_layer("before_logits")(new_hidden))
    return KerasStepModel(start_model, keras.Model([word, hidden, regions, keys], [logits, new_hidden]))


def most_frequent_words(captions: Sequence[Sequence[str]], limit: int = TOP_WORDS) -> dict[str, int]:
    """The vocabulary: the most frequent words and the four special tokens; UNK stands for all others.

    Args:
        captions: for each picture its captions.
        limit: at most this many words; of equally frequent ones those first in the alphabet.

    Returns:
        Word to index; the indices follow the sorted words.
    """
    counts = Counter(word for group in captions for caption in group for word in split_sentence(caption))
    words = sorted(counts, key=lambda word: (-counts[word], word))[:limit]
    return {word: index for index, word in enumerate(sorted({*words, PAD, UNK, START, END}))}


def predict_step_by_step(
    model: keras.Model, features: np.ndarray, words: np.ndarray, trace_shapes: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """What the model does, written as a plain loop over the same layers: slower, but easier to follow.

    Args:
        features: (batch, regions, feature size).
        words: the true words, (batch, steps).
        trace_shapes: print the shape of every tensor at every step.

    Returns:
        Logits of each next word, (batch, steps, vocabulary); attention weights, (batch, steps, regions).
    """
    cell = model.get_layer("decoder").cell
    regions = model.get_layer("encoder")(ops.convert_to_tensor(features, "float32"))
    keys, hidden = model.get_layer("W1")(regions), empty_state(regions, cell.units)
    if trace_shapes:
        print("before the first word")
        show_shapes(features=features, regions=regions, keys=keys, hidden=hidden)
    steps = []
    for step in range(words.shape[1]):
        if trace_shapes:
            print(f"step {step}")
        word = model.get_layer("word_embedding")(words[:, step])
        hidden, weights = cell(word, hidden, regions, keys, trace_shapes=trace_shapes)
        logits = model.get_layer("logits")(model.get_layer("before_logits")(hidden))
        if trace_shapes:
            show_shapes(logits=logits)
        steps.append((ops.convert_to_numpy(logits), ops.convert_to_numpy(weights)))
    logits, weights = (np.stack(parts, axis=1) for parts in zip(*steps, strict=True))
    return logits, weights


def as_grid(weights: np.ndarray) -> np.ndarray:
    """Attention weights as a square grid: (..., regions) to (..., rows, columns)."""
    side = isqrt(weights.shape[-1])
    if side * side != weights.shape[-1]:
        raise CourseError(
            f"{weights.shape[-1]} regions do not form a square grid. Use an encoder whose pictures are square, such as "
            "InceptionV3."
        )
    return weights.reshape(*weights.shape[:-1], side, side)
