"""How well a model predicts the next word of a caption that somebody else wrote."""

import math
from collections.abc import Sequence

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.evaluation.trained import ScoredPictures, TrainedModel
from say_what_you_see.language.captions import (
    END,
    PAD,
    START,
    UNK,
    batch_captions_to_matrix,
    caption_tokens_to_indices,
    invert_vocabulary,
    pack_captions,
)
from say_what_you_see.training.examples import Examples
from say_what_you_see.training.loop import evaluate_decoder
from say_what_you_see.training.losses import masked_accuracy, masked_crossentropy


def next_word_scores(model: TrainedModel, pictures: ScoredPictures) -> dict[str, float]:
    """How well a model predicts the next word of the captions that people wrote, reading the true words before it.

    Returns:
        loss in nats per word, perplexity (e to the loss), and accuracy, over all real words and END.
    """
    vocab = model.caption_model.vocab
    packed = pack_captions(caption_tokens_to_indices(pictures.references, vocab), vocab[PAD])
    examples = Examples(model.features_of(pictures), packed)
    scores = score_next_words(model.caption_model.decoder, examples, vocab[PAD])
    return {"loss": scores["loss"], "perplexity": math.exp(scores["loss"]), "accuracy": scores["accuracy"]}


def score_next_words(model: keras.Model, examples: Examples, pad_idx: int) -> dict[str, float]:
    """Loss in nats per real word and accuracy over all captions, none of them cut; the model is not changed."""
    copy = keras.Model(model.inputs, model.outputs[0])
    copy.compile(loss=masked_crossentropy(pad_idx), metrics=[masked_accuracy(pad_idx)])
    captions, longest = examples.captions.matrix.shape
    return evaluate_decoder(copy, examples, pad_idx, max_len=longest, limit=captions)


def teacher_forced_captions(
    decoder: keras.Model, features: np.ndarray, captions: Sequence[str], vocab: dict[str, int]
) -> list[str]:
    """What a model predicts while it reads a true caption: at each position the most probable next word.

    This is not a way to caption pictures, since it needs their true captions.

    Args:
        features: (captions, ...), one row for each caption.
        captions: the true captions.
    """
    indexed = caption_tokens_to_indices([captions], vocab)[0]
    matrix, words = batch_captions_to_matrix(indexed, vocab[PAD]), invert_vocabulary(vocab)
    predictor, sentences = keras.Model(decoder.inputs, decoder.outputs[0]), []
    for first in range(0, len(matrix), 100):
        batch = slice(first, first + 100)
        logits = predictor.predict_on_batch([np.asarray(features[batch], "float32"), matrix[batch, :-1]])
        for predicted, caption in zip(np.argmax(logits, axis=-1), indexed[batch], strict=True):
            chosen = [words[index] for index in predicted[: len(caption) - 2]]  # as many words as the true caption
            sentences.append(" ".join(word for word in chosen if word not in (PAD, UNK, START, END)))
    return sentences
