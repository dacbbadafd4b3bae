"""A step model of a table of logits, for tests of decoding: no framework, no layers."""

import numpy as np

from say_what_you_see.decoding.samplers import special_tokens
from say_what_you_see.language.captions import END, PAD, START, UNK
from say_what_you_see.models.step import State, StepModel

VOCAB = {word: index for index, word in enumerate([PAD, UNK, START, END, "a", "red", "kite", "fish", "ball"])}
SUPPRESSED = [VOCAB[token] for token in (PAD, UNK, START)]
TOKENS = special_tokens(VOCAB)


class TableModel(StepModel):
    """Logits of the next word are a row of a table, by the last word, plus the image's features, which move on by one
    place with each word.
    """

    is_thread_safe = True

    def __init__(self, table: np.ndarray) -> None:
        self.table = table.astype(np.float32)

    def start(self, features: np.ndarray) -> State:
        return State([features])

    def step(self, words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        return self.table[words] + state.memory[0], State([np.roll(state.memory[0], 1, axis=1)])


def scripted(following: dict[str, dict[str, float]]) -> TableModel:
    """A model by the probabilities of the words that follow each word."""
    table = np.full((len(VOCAB), len(VOCAB)), -100.0)
    for word, others in following.items():
        for other, probability in others.items():
            table[VOCAB[word], VOCAB[other]] = np.log(probability)
    return TableModel(table)


ONE_IMAGE = np.zeros((1, len(VOCAB)), dtype=np.float32)
"""Features of an image that leaves everything to the script."""


def random_model(seed: int = 3) -> TableModel:
    """A model whose captions differ from image to image, and in length."""
    return TableModel(np.random.default_rng(seed).normal(0, 2, (len(VOCAB), len(VOCAB))))


def random_features(images: int, seed: int = 0) -> np.ndarray:
    """Features for `random_model`."""
    return np.random.default_rng(seed).normal(0, 2, (images, len(VOCAB))).astype(np.float32)


def log_probabilities(model: TableModel, features: np.ndarray, words: tuple[int, ...]) -> np.ndarray:
    """Of each next word after some words of one image's caption, (vocabulary,), by the plain formula."""
    logits = model.table[words[-1] if words else VOCAB[START]] + np.roll(features, len(words))
    return logits - np.log(np.exp(logits.astype(np.float64)).sum())
