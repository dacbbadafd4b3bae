"""What decoding knows of a model: the state before the first word, and a step from one word to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class State:
    """What a model remembers of some captions between two words."""

    memory: list[np.ndarray]  # arrays that change with every word, one row per caption
    # arrays that do not change, one row per image, such as the regions that attention looks at
    context: tuple[Any, ...] = ()
    image: np.ndarray | None = None  # each caption's row in the context, (captions,)

    def __len__(self) -> int:
        return len(self.memory[0])

    def take(self, captions: np.ndarray | slice) -> State:
        """The state of some of the captions, by index, mask or slice; the context is not copied."""
        image = None if self.image is None else self.image[captions]
        return State([part[captions] for part in self.memory], self.context, image)


class StepModel:
    """A model that predicts one word at a time."""

    is_thread_safe = False  # whether several threads may call `step` at once

    def start(self, features: np.ndarray) -> State:
        """The state before the first word, from features (images, ...)."""
        raise NotImplementedError

    def step(self, words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Logits of the next words (captions, vocabulary), and the new state, after words (captions,).

        The caller may overwrite the logits, and so may the same thread's next call.
        """
        raise NotImplementedError

    def fastest(self) -> StepModel:
        """The same model, with its current weights, in the form whose steps are fastest."""
        return self
