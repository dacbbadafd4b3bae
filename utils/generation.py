"""Captions a picture with a trained decoder: one word after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from utils.captions import END, PAD, START, UNK, indices_to_sentence, split_sentence
from utils.quiet import keras

layers = keras.layers
State = list[np.ndarray]


def apply_temperature(probabilities: np.ndarray, t: float) -> np.ndarray:
    """Sharpen (t < 1) or flatten (t > 1) a probability distribution: p ** (1 / t), scaled to sum to 1.

    Args:
        probabilities: (..., words), each row sums to 1.
        t: temperature, greater than 0.

    Raises:
        ValueError: if t is not greater than 0.
    """
    if not t > 0:
        raise ValueError(f"The temperature must be greater than 0, not {t}. The most probable word needs no sampling.")
    with np.errstate(divide="ignore", over="ignore"):
        logs = np.log(np.asarray(probabilities, dtype=np.float64))  # 0.1 ** 1000 is too small for a float
        scaled = np.exp((logs - logs.max(axis=-1, keepdims=True)) / t)
    return scaled / scaled.sum(axis=-1, keepdims=True)


class WordByWord:
    """The layers of a trained decoder, rearranged to predict a single next word.

    During training all words of a caption were known at once. Now each word becomes known only
    after it has been predicted, so the LSTM's state is handed from call to call.
    """

    def __init__(self, decoder: keras.Model) -> None:
        lstm = decoder.get_layer("lstm")
        image_embeds, state = decoder.inputs[0], decoder.get_layer("initial_state").output
        self.initial_state_model = keras.Model(image_embeds, state)

        word = layers.Input((1,), dtype="int32")
        h, c = layers.Input((lstm.units,)), layers.Input((lstm.units,))
        word_embed = decoder.get_layer("word_embedding")(word)[:, 0]
        hidden, (new_h, new_c) = lstm.cell(word_embed, [h, c])
        logits = decoder.get_layer("logits")(decoder.get_layer("logit_bottleneck")(hidden))
        self.step_model = keras.Model([word, h, c], [layers.Softmax()(logits), new_h, new_c])

    def initial_state(self, image_embeds: np.ndarray) -> State:
        """The LSTM's state before the first word: [h, c], both (pictures, units) and equal."""
        state = self.initial_state_model.predict_on_batch(np.asarray(image_embeds, dtype=np.float32))
        return [state, state]

    def next_word(self, words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Probabilities of the next words (pictures, vocabulary), and the state after the given words (pictures,)."""
        probabilities, h, c = self.step_model.predict_on_batch([np.asarray(words, dtype=np.int32)[:, None], *state])
        return np.array(probabilities), [h, c]


def generate_indices(
    model: WordByWord,
    image_embeds: np.ndarray,
    vocab: dict[str, int],
    t: float = 1.0,
    sample: bool = False,
    max_len: int = 20,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Caption a batch of pictures, (pictures, features): (pictures, max_len) indices, END after the last word.

    With `sample`, each word is drawn by its probability at temperature t, instead of taking the most probable one.
    """
    rng = rng or np.random.default_rng()
    state = model.initial_state(image_embeds)
    words = np.full(len(image_embeds), vocab[START])
    captions = np.full((len(image_embeds), max_len), vocab[END], dtype=np.int32)
    running = np.ones(len(image_embeds), dtype=bool)
    for position in range(max_len):
        probabilities, state = model.next_word(words, state)
        probabilities[:, [vocab[PAD], vocab[UNK], vocab[START]]] = 0  # they are no words to say
        words = sample_rows(apply_temperature(probabilities, t), rng) if sample else probabilities.argmax(axis=-1)
        captions[running, position] = words[running]
        running &= words != vocab[END]
        if not running.any():
            break
    return captions


def sample_rows(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One index a row, drawn by the row's probabilities."""
    thresholds = probabilities.cumsum(axis=-1)
    drawn = rng.random((len(probabilities), 1)) * thresholds[:, -1:]
    return (thresholds <= drawn).sum(axis=-1)


def generate_sentences(
    model: WordByWord, image_embeds: np.ndarray, vocab: dict[str, int], batch_size: int = 256, **options
) -> list[str]:
    """Caption any number of pictures; options as in `generate_indices`."""
    sentences: list[str] = []
    for first in range(0, len(image_embeds), batch_size):
        indices = generate_indices(model, image_embeds[first : first + batch_size], vocab, **options)
        sentences += [indices_to_sentence(row, vocab) for row in indices]
    return sentences


def most_common_caption(captions: Sequence[Sequence[str]]) -> str:
    """The caption that occurs most often, the first in the alphabet of several: what one says who does not look."""
    counts = Counter(" ".join(split_sentence(caption)) for group in captions for caption in group)
    return min(counts, key=lambda sentence: (-counts[sentence], sentence))
