"""The transformer in NumPy, which caches keys and values and starts without Keras."""

from collections.abc import Callable
from math import isqrt
from typing import NamedTuple

import numpy as np

from say_what_you_see.models.numpy_decoder import Dense
from say_what_you_see.models.step import State, StepModel

_EPSILON = np.float32(1e-5)  # in all its normalisations


class Normalise(NamedTuple):
    """Layer normalisation: gamma and beta, both (units,)."""

    gamma: np.ndarray
    beta: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The same shape, (..., units)."""
        values = values - values.mean(axis=-1, keepdims=True)
        values /= np.sqrt(np.square(values).mean(axis=-1, keepdims=True) + _EPSILON)
        values *= self.gamma
        values += self.beta
        return values


class Attention(NamedTuple):
    """The four layers of multi-head attention."""

    query: Dense
    key: Dense
    value: Dense
    output_projection: Dense


class Block(NamedTuple):
    """The parts that a word passes through in a block, in this order."""

    norms: list[Normalise]  # before each part
    self_attention: Attention
    cross_attention: Attention
    expand: Dense
    contract: Dense


class NumpyTransformer(StepModel):
    """The step function of `say_what_you_see.models.transformer`.

    Args:
        weights_of: returns a layer's weights by its place in the model: "encoder", "decoder/blocks/0/norms/1".
    """

    is_thread_safe = True

    def __init__(self, weights_of: Callable[[str], list[np.ndarray]], blocks: int, heads: int) -> None:
        def dense(place: str) -> Dense:
            kernel, bias = weights_of(place)
            return Dense(kernel, bias)

        def attention(place: str) -> Attention:
            return Attention(*(dense(f"{place}/{name}") for name in Attention._fields))

        self._heads = heads
        self._encoder, self._encoder_norm = dense("encoder"), Normalise(*weights_of("encoder_norm"))
        [self._embedding], self._norm = weights_of("decoder/embedding"), Normalise(*weights_of("decoder/norm"))
        self._blocks = [
            Block(
                [Normalise(*weights_of(f"{place}/norms/{part}")) for part in range(3)],
                attention(f"{place}/self_attention"),
                attention(f"{place}/cross_attention"),
                dense(f"{place}/expand"),
                dense(f"{place}/contract"),
            )
            for place in (f"decoder/blocks/{number}" for number in range(blocks))
        ]

    def start(self, features: np.ndarray) -> State:
        """No words yet, and the regions' keys and values in each block, from features (images, regions, features)."""
        regions = self._encoder_norm(self._encoder(features))
        context = tuple(
            layer(regions)
            for block in self._blocks
            for layer in (block.cross_attention.key, block.cross_attention.value)
        )
        return State([part[:, :0] for part in context], context, np.arange(len(features)))

    def step(self, words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Logits and state after words (captions,)."""
        hidden, _, state = self._read(words, state)
        return self._norm(hidden) @ self._embedding.T, state

    def attention_grids(self, features: np.ndarray, emitted: np.ndarray, start: int) -> np.ndarray:
        """Where the last block looked as each word was emitted, the mean over its heads.

        Args:
            features: of a square grid of regions, (captions, regions, features).
            emitted: (captions, words).
            start: the index of START, which is read first.

        Returns:
            (captions, words, rows, columns).
        """
        state, looked = self.start(features), []
        for words in np.insert(emitted[:, :-1], 0, start, axis=1).T:
            _, weights, state = self._read(words, state)
            looked.append(weights.mean(axis=1))
        side = isqrt(features.shape[1])
        return np.stack(looked, axis=1).reshape(*emitted.shape, side, side)

    def _read(self, words: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """From words (captions,) to their final vectors, (captions, units), the last block's weights of the regions,
        (captions, heads, regions), and the new state.
        """
        units = self._embedding.shape[1]
        hidden = self._embedding.take(words, axis=0)
        hidden *= np.float32(units**0.5)
        hidden += _position_encoding(state.memory[0].shape[1], units)
        assert state.image is not None  # `start` has set it
        memory: list[np.ndarray] = []
        weights = np.empty(0)
        for number, block in enumerate(self._blocks):
            both = slice(2 * number, 2 * number + 2)
            normed = block.norms[0](hidden)
            looking = block.self_attention
            past = zip(state.memory[both], (looking.key(normed), looking.value(normed)), strict=True)
            kept = [np.concatenate([before, new[:, None]], axis=1) for before, new in past]
            hidden += looking.output_projection(self._look_back(self._queries(looking, normed), *kept))
            looking = block.cross_attention
            queries = self._queries(looking, block.norms[1](hidden))
            keys, values = state.context[both]
            seen, weights = self._look_at_regions(queries, keys, values, state.image)
            hidden += looking.output_projection(seen)
            expanded = block.expand(block.norms[2](hidden))
            hidden += block.contract(np.maximum(expanded, 0, out=expanded))
            memory += kept
        return hidden, weights, State(memory, state.context, state.image)

    def _queries(self, attention: Attention, hidden: np.ndarray) -> np.ndarray:
        """The queries, divided by the root of a head's size, as the scores must be."""
        queries = attention.query(hidden)
        queries *= np.float32((self._heads / queries.shape[1]) ** 0.5)
        return queries

    def _look_back(self, queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
        """What each caption's last word sees in its words, from (captions, units) and twice (captions, n, units)."""
        heads = self._split(queries)[:, :, None]
        weights = _softmax(heads @ self._split(keys).transpose(0, 2, 3, 1))
        return (weights @ self._split(values).swapaxes(1, 2)).reshape(queries.shape)

    def _look_at_regions(
        self, queries: np.ndarray, keys: np.ndarray, values: np.ndarray, image: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What each caption sees in its image, from (captions, units) and twice (images, regions, units), and by which
        weights, (captions, heads, regions).

        Captions of the same image are adjacent, and look at it together, so that no region is copied.
        """
        heads, keys, values = self._split(queries), self._split(keys), self._split(values)
        first = np.flatnonzero(np.diff(image, prepend=-1)).tolist()
        parts = [(image[start], slice(start, end)) for start, end in zip(first, [*first[1:], len(image)], strict=True)]
        weights = np.empty((len(queries), self._heads, keys.shape[1]), np.float32)
        for number, part in parts:
            np.matmul(heads[part].swapaxes(0, 1), keys[number].transpose(1, 2, 0), out=weights[part].swapaxes(0, 1))
        weights, seen = _softmax(weights), np.empty_like(heads)
        for number, part in parts:
            np.matmul(weights[part].swapaxes(0, 1), values[number].swapaxes(0, 1), out=seen[part].swapaxes(0, 1))
        return seen.reshape(queries.shape), weights

    def _split(self, values: np.ndarray) -> np.ndarray:
        """(..., units) to (..., heads, units / heads)."""
        return values.reshape(*values.shape[:-1], self._heads, -1)


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Weights that sum to 1 along the last axis, in the memory of the scores."""
    scores -= scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores, out=scores)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def _position_encoding(position: int, size: int) -> np.ndarray:
    """The encoding of a position, (size,)."""
    angles = np.float32(position) / 10_000 ** (np.arange(0, size, 2, dtype=np.float32) / size)
    return np.concatenate([np.sin(angles), np.cos(angles)])
