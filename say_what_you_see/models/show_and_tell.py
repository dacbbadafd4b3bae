"""Show and Tell: the picture is the first thing that the LSTM reads, as if it were a word.

Architecture after Vinyals et al. (2015, arXiv:1411.4555; 2016, arXiv:1609.06647).
"""

from collections.abc import Sequence

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.language.captions import PAD, START
from say_what_you_see.models.keras_step import KerasStepModel

layers, ops = keras.layers, keras.ops


def build_show_and_tell(
    vocab_size: int,
    feature_size: int,
    word_size: int = 256,
    lstm_units: int = 256,
    dropout: float = 0.0,
    word_log_probabilities: Sequence[float] | np.ndarray | None = None,
) -> keras.Model:
    """Build the model: from [picture features (batch, feature_size), words (batch, steps)] to the logits of each
    next word (batch, steps, vocab_size). The LSTM's first step reads the picture, and has no output.

    Args:
        word_log_probabilities: how probable each word is before anything is known, (vocab_size,): the output's
            initial bias. None starts with zeros.
    """
    image_embeds = layers.Input((feature_size,), name="image_embeds")
    words = layers.Input((None,), dtype="int32", name="words")

    standardised = layers.Normalization(name="standardise")(image_embeds)
    image = layers.Dense(word_size, name="image_embedding")(standardised)
    image = layers.Dropout(dropout, name="image_dropout")(image)
    as_a_word = layers.Reshape((1, word_size), name="image_as_a_word")(image)
    word_embeds = layers.Embedding(vocab_size, word_size, name="word_embedding")(words)
    read = layers.Concatenate(axis=1, name="image_then_words")([as_a_word, word_embeds])
    hidden = layers.LSTM(lstm_units, return_sequences=True, name="lstm")(read)
    hidden = layers.Cropping1D((1, 0), name="after_words_only")(hidden)
    hidden = layers.Dropout(dropout, name="hidden_dropout")(hidden)
    logits = layers.Dense(vocab_size, name="logits")
    model = keras.Model([image_embeds, words], logits(hidden), name="show_and_tell")
    if word_log_probabilities is not None:
        logits.bias.assign(word_log_probabilities)
    return model


def log_word_frequencies(captions: np.ndarray, vocab: dict[str, int]) -> np.ndarray:
    """The logarithm of each word's share of all words to predict, float32 (vocabulary,).

    One is added to each count, so that no word is impossible; it is all that PAD and START get, never being predicted.

    Args:
        captions: (captions, longest) indices from START to END, padded with PAD.
    """
    counts = np.bincount(np.ravel(captions[:, 1:]), minlength=len(vocab)).astype(np.float64)
    counts[[vocab[PAD], vocab[START]]] = 0
    return np.log((counts + 1) / (counts + 1).sum()).astype(np.float32)


def caption_mask(words: np.ndarray, pad_idx: int) -> np.ndarray:
    """1 where there is a word, 0 where there is padding: float32, in the shape of `words`."""
    return (words != pad_idx).astype(np.float32)


def loss_per_word(probabilities: np.ndarray, words: np.ndarray, mask: np.ndarray) -> float:
    """The loss by its formula: minus the sum of log p over the real words, divided by their number.

    Args:
        probabilities: of every word at every position, (captions, steps, vocabulary).
        words: the true words, (captions, steps).
        mask: 1 for a real word, 0 for padding, (captions, steps).

    Returns:
        The loss in nats per word.
    """
    of_the_true_word = np.take_along_axis(probabilities, words[..., None], axis=-1)[..., 0]
    return float(-(np.log(of_the_true_word) * mask).sum() / mask.sum())


def show_and_tell_step_model(model: keras.Model, image_layer: str = "image_embedding") -> KerasStepModel:
    """Rearrange the layers of a trained model to predict a single next word; its state is the LSTM's h and c."""
    lstm, image = model.get_layer("lstm"), model.get_layer(image_layer).output
    zeros = ops.repeat(ops.zeros_like(image[:, :1]), lstm.units, axis=1)
    _, after_image = lstm.cell(image, [zeros, zeros])
    start_model = keras.Model(model.inputs[0], list(after_image))

    word = layers.Input((), dtype="int32")
    h, c = layers.Input((lstm.units,)), layers.Input((lstm.units,))
    hidden, (new_h, new_c) = lstm.cell(model.get_layer("word_embedding")(word), [h, c])
    return KerasStepModel(start_model, keras.Model([word, h, c], [model.get_layer("logits")(hidden), new_h, new_c]))
