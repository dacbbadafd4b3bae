"""Batches from an array of embeddings and lists of lists of captions, both in memory: the usual way to train."""

from __future__ import annotations

import keras
import numpy as np

from benchmarks.peers.list_of_lists import Indexed, to_matrix


class PickledBatches(keras.utils.PyDataset):
    """Random pictures, each with a random one of its captions; the same as the course draws, to be compared."""

    def __init__(
        self, embeds: np.ndarray, captions: Indexed, batch_size: int, max_len: int, pad: int, steps: int
    ) -> None:
        super().__init__()
        self.embeds, self.captions = embeds, captions
        self.batch_size, self.max_len, self.pad, self.steps = batch_size, max_len, pad, steps
        self.first, self.epoch = np.cumsum([0, *map(len, captions)]), 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int):
        rng = np.random.default_rng([0, self.epoch, step])
        pictures = rng.integers(len(self.captions), size=self.batch_size)
        numbers = rng.integers(self.first[pictures], self.first[pictures + 1]) - self.first[pictures]
        chosen = [self.captions[picture][number] for picture, number in zip(pictures, numbers, strict=True)]
        words = np.full((self.batch_size, self.max_len), self.pad, "int32")  # one width, which Keras expects
        found = to_matrix(chosen, self.pad, self.max_len)
        words[:, : found.shape[1]] = found
        return (self.embeds[pictures], words[:, :-1]), words[:, 1:]

    def on_epoch_end(self) -> None:
        self.epoch += 1
