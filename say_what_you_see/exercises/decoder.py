"""The exercises of notebook 04: the decoder, its loss, its batches, and the control."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.exercises.cases import Case, Exercise, Mistake
from say_what_you_see.exercises.compare import copy_of, short
from say_what_you_see.exercises.facts import Facts
from say_what_you_see.exercises.tensors import as_numpy, describe, draw_weights
from say_what_you_see.language.captions import CaptionArrays
from say_what_you_see.models.bottleneck_lstm import build_decoder
from say_what_you_see.training.examples import Batch, Examples, generate_batch, shuffle_images
from say_what_you_see.training.losses import masked_crossentropy

NOTEBOOK = "04_train_decoder"

layers, ops = keras.layers, keras.ops


# build_decoder


def facts_of_decoder(function: Callable, vocab_size: int, feature_size: int, **sizes: Any) -> Facts:
    """Build a decoder, give its layers weights that depend on their names only, and let it read some words.

    To build takes time, and the course's own functions build the same again, so what they give is remembered.
    """
    if function.__module__.startswith("say_what_you_see."):
        return _remembered_facts(function, vocab_size, feature_size, tuple(sizes.items()))
    return _facts_of_built(function, vocab_size, feature_size, sizes)


@cache
def _remembered_facts(function: Callable, vocab_size: int, feature_size: int, sizes: tuple) -> Facts:
    return _facts_of_built(function, vocab_size, feature_size, dict(sizes))


def _facts_of_built(function: Callable, vocab_size: int, feature_size: int, sizes: dict[str, Any]) -> Facts:
    model = function(vocab_size, feature_size, **sizes)
    if not isinstance(model, keras.Model):
        return Facts(model=f"no model, but {short(model)}", inputs=None, weights=None, dropout=None, logits=None)
    weights = {layer.name: [tuple(w.shape) for w in layer.weights] for layer in model.layers if layer.weights}
    rates = sorted(layer.rate for layer in model.layers if isinstance(layer, layers.Dropout))
    facts = Facts(
        model="a model", inputs=[tuple(tensor.shape) for tensor in model.inputs], weights=weights, dropout=rates
    )
    facts["logits"] = _logits_of(model, vocab_size, feature_size) if sizes else None
    return facts


def _logits_of(model: keras.Model, vocab_size: int, feature_size: int) -> Any:
    """What a decoder says about two pictures and four words, all of its weights being set."""
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, (8, feature_size)).astype(np.float32)
    words = rng.integers(vocab_size, size=(2, 4)).astype(np.int32)
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.adapt(features)
        else:
            drawn = np.random.default_rng(zlib.crc32(layer.name.encode()))
            layer.set_weights([draw_weights(w.shape, drawn) for w in layer.get_weights()])
    try:
        return as_numpy(model([features[:2], words], training=False))
    except Exception as error:  # the inputs are the wrong way round, for one
        return f"the model cannot read [embeddings, words]: {type(error).__name__}"


_SMALL = {"image_bottleneck": 4, "word_size": 3, "lstm_units": 5, "logit_bottleneck": 6}


def _decoder_cases(rng: np.random.Generator) -> list[Case]:
    cases = [
        Case("a small decoder", (9, 7), dict(_SMALL)),
        Case("a small decoder with dropout", (9, 7), _SMALL | {"dropout": 0.25}),
        Case("without sizes, which then are the defaults", (30, 20)),
    ]
    drawn = {name: int(rng.integers(2, 8)) for name in _SMALL}
    return [*cases, Case("random sizes", (int(rng.integers(8, 14)), int(rng.integers(4, 9))), drawn)]


def _wrong_decoder(
    standardise: bool = True,
    squeeze_picture: bool = True,
    squeeze_logits: bool = True,
    activation: str | None = "elu",
    state_activation: str | None = "elu",
    start: Callable | None = lambda state: [state, state],
    sequences: bool = True,
    last: str | None = None,
    drop: Callable | None = lambda rate: rate,
    embedding: Callable = lambda vocab_size, word_size: (vocab_size, word_size),
    words_first: bool = False,
) -> Callable:
    """A `build_decoder` in which one step is done in another way."""

    def wrong(
        vocab_size, feature_size, image_bottleneck=120, word_size=100, lstm_units=300, logit_bottleneck=120, dropout=0.0
    ):
        image_embeds = layers.Input((feature_size,), name="image_embeds")
        words = layers.Input((None,), dtype="int32", name="words")
        seen = layers.Normalization(name="standardise")(image_embeds) if standardise else image_embeds
        if squeeze_picture:
            seen = layers.Dense(image_bottleneck, activation=activation, name="image_bottleneck")(seen)
        seen = layers.Dropout(drop(dropout))(seen) if drop else seen
        state = layers.Dense(lstm_units, activation=state_activation, name="initial_state")(seen)
        sizes = embedding(vocab_size, word_size)
        word_embeds = layers.Embedding(*sizes, name="word_embedding")(words)
        lstm = layers.LSTM(lstm_units, return_sequences=sequences, name="lstm")
        hidden = lstm(word_embeds, initial_state=start(state)) if start else lstm(word_embeds)
        hidden = layers.Dropout(drop(dropout))(hidden) if drop else hidden
        if squeeze_logits:
            hidden = layers.Dense(logit_bottleneck, activation=activation, name="logit_bottleneck")(hidden)
        logits = layers.Dense(vocab_size, activation=last, name="logits")(hidden)
        inputs = [words, image_embeds] if words_first else [image_embeds, words]
        return keras.Model(inputs, logits, name="decoder")

    return wrong


_BOTH_STATES = "An LSTM has two states, h and c. What do both of them begin with, as the text above says?"
_SIGNATURE_SIZES = "The signature and the text above name all sizes and layers. Which of them is not in your model?"

_BUILD_DECODER = Exercise(
    build_decoder,
    NOTEBOOK,
    _decoder_cases,
    mistakes=(
        Mistake(
            "the LSTM gives its last state only, so there are logits for one word instead of all",
            _wrong_decoder(sequences=False),
            "During training the decoder predicts a next word at every position. Which option of LSTM asks for that?",
        ),
        Mistake(
            "the last layer makes probabilities, where logits are wanted",
            _wrong_decoder(last="softmax"),
            "Logits are any numbers. The loss does the rest: which activation leaves numbers as they are?",
        ),
        Mistake(
            "the picture never reaches the LSTM, which begins with zeros",
            _wrong_decoder(start=None),
            "The first state comes from the picture. How does an LSTM learn of it when it is called?",
        ),
        Mistake(
            "only h comes from the picture, and c begins with zeros",
            _wrong_decoder(start=lambda state: [state, ops.zeros_like(state)]),
            _BOTH_STATES,
        ),
        Mistake(
            "only c comes from the picture, and h begins with zeros",
            _wrong_decoder(start=lambda state: [ops.zeros_like(state), state]),
            _BOTH_STATES,
        ),
        Mistake(
            "the embeddings are not standardised",
            _wrong_decoder(standardise=False),
            "The very first layer brings every feature to mean 0 and variance 1. Keras has one that learns them.",
        ),
        Mistake("the bottleneck of the picture is missing", _wrong_decoder(squeeze_picture=False), _SIGNATURE_SIZES),
        Mistake("the bottleneck before the logits is missing", _wrong_decoder(squeeze_logits=False), _SIGNATURE_SIZES),
        Mistake(
            "the layers of the bottlenecks have no activation, so each melts into its neighbour",
            _wrong_decoder(activation=None, state_activation=None),
            "Two layers without anything between them can do no more than one. The task names an activation.",
        ),
        Mistake(
            "the bottlenecks have no activation, so each melts into its neighbour",
            _wrong_decoder(activation=None),
            "Two layers without anything between them can do no more than one. The task names an activation.",
        ),
        Mistake(
            "the layer that makes the first state has no activation",
            _wrong_decoder(state_activation=None),
            "The task names an activation for this layer, too.",
        ),
        Mistake(
            "the activation is relu, and not elu",
            _wrong_decoder(activation="relu", state_activation="relu"),
            "relu forgets everything below 0. The task names another one.",
        ),
        Mistake(
            "dropout is not used",
            _wrong_decoder(drop=None),
            "The signature has an argument that no layer of yours looks at.",
        ),
        Mistake(
            "the rate of dropout is fixed, whatever the argument says",
            _wrong_decoder(drop=lambda rate: 0.5),
            "The signature has an argument that no layer of yours looks at.",
        ),
        Mistake(
            "the sizes of the word embedding have changed places",
            _wrong_decoder(embedding=lambda vocab_size, word_size: (word_size, vocab_size)),
            "An embedding is a table with one row for each word. How many rows has it?",
        ),
        Mistake(
            "the inputs have changed places: words first",
            _wrong_decoder(words_first=True),
            "The docstring says in which order the model takes its inputs.",
        ),
    ),
    hints=(
        "Write it along the way of the numbers: standardise, image_bottleneck, initial_state; then word_embedding, "
        "lstm, logit_bottleneck, logits. Each is a layer, and these are their names.",
        "A layer is made, and then called with what goes into it: layers.Dense(7, name='x')(what_goes_in).",
        "layers.LSTM is called with the words' vectors and with initial_state, a list of two.",
        "Dropout stands in two places: after the picture's bottleneck and after the LSTM.",
        "keras.Model takes a list of inputs and the output. Compare the shapes with those in the docstring.",
    ),
    observe=facts_of_decoder,
)


# masked_crossentropy


def loss_of(function: Callable, pad_idx: int, words: np.ndarray, logits: np.ndarray, in_training: bool = False) -> Any:
    """Make a loss and show it a batch: directly, or as Keras does it, compiled and with the words as floats."""
    loss = function(pad_idx)
    if not callable(loss):
        return f"no loss function, but {short(loss)}"
    if not in_training:
        return as_numpy(loss(ops.convert_to_tensor(words), ops.convert_to_tensor(logits)))
    model = keras.Sequential([layers.Input(logits.shape[1:]), layers.Identity()])
    model.compile(loss=loss)
    try:
        return as_numpy(model.test_on_batch(logits, words))
    except NotImplementedError as error:  # of TensorFlow, and not that of an unwritten exercise
        raise TypeError("NumPy cannot compute with the tensors of a compiled training step") from error


def _padded_words(lengths: Sequence[int], steps: int, pad_idx: int, vocab: int, rng: np.random.Generator) -> np.ndarray:
    """Words (captions, steps), each row padded after its length."""
    words = rng.choice([index for index in range(vocab) if index != pad_idx], size=(len(lengths), steps))
    words[np.arange(steps) >= np.array(lengths)[:, None]] = pad_idx
    return words.astype(np.int32)


def _loss_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(1)

    def case(name: str, lengths: Sequence[int], pad_idx: int, spread: float = 1.0, **keywords: Any) -> Case:
        source = rng if name.startswith("random") else fixed
        words = _padded_words(lengths, max(lengths), pad_idx, 6, source)
        logits = source.normal(0, spread, (*words.shape, 6)).astype(np.float32)
        return Case(name, (pad_idx, words, logits), keywords)

    return [
        case("captions of one length, without padding", (3, 3), 0),
        case("captions of different lengths, PAD is 0", (4, 2, 1), 0),
        case("captions of different lengths, PAD is 3", (4, 1), 3),
        case("logits that are very sure", (3, 2), 1, spread=80.0),
        case("in training: compiled by Keras, the words as floats", (3, 1), 2, in_training=True),
        *(case(f"random captions, number {n}", rng.integers(1, 6, size=4).tolist(), n, 2.0) for n in (1, 2, 3)),
    ]  # fmt: skip


def _crossentropy(words: Any, logits: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(words, logits, from_logits=True)


def _log_softmax_over(axis: int) -> Callable:
    def crossentropy(words: Any, logits: Any) -> Any:
        logs = ops.log_softmax(logits, axis=axis)
        return -ops.take_along_axis(logs, ops.cast(words, "int32")[..., None], axis=-1)[..., 0]

    return crossentropy


def _log_of_softmax(words: Any, logits: Any) -> Any:
    probabilities = ops.take_along_axis(ops.softmax(logits), ops.cast(words, "int32")[..., None], axis=-1)[..., 0]
    return -ops.log(probabilities)


def _per_word(losses: Any, real: Any) -> Any:
    return ops.sum(losses * real) / ops.maximum(ops.sum(real), 1)


def _per_caption(losses: Any, real: Any) -> Any:
    return ops.mean(ops.sum(losses * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1))


def _loss(
    summarise: Callable = _per_word,
    crossentropy: Callable = _crossentropy,
    is_real: Callable = lambda words, pad_idx: words != pad_idx,
) -> Callable:
    """A `masked_crossentropy` in which one step is done in another way."""

    def wrong(pad_idx: int) -> Callable:
        def loss(words: Any, logits: Any) -> Any:
            real = ops.cast(is_real(words, pad_idx), logits.dtype)
            return summarise(crossentropy(words, logits), real)

        return loss

    return wrong


def _loss_in_numpy(pad_idx: int) -> Callable:
    def loss(words: Any, logits: Any) -> float:
        words, logits = np.asarray(words), np.asarray(logits)
        logs = logits - logits.max(-1, keepdims=True)
        logs = logs - np.log(np.exp(logs).sum(-1, keepdims=True))
        real = words != pad_idx
        return -(np.take_along_axis(logs, words[..., None], -1)[..., 0] * real).sum() / real.sum()

    return loss


def _mask_of_truth_values(pad_idx: int) -> Callable:
    def loss(words: Any, logits: Any) -> Any:
        real = words != pad_idx
        return ops.sum(_crossentropy(words, logits) * real) / ops.sum(real)

    return loss


_SHARE = "The mean is over real words. By how many do you divide, and how many real words are there?"
_LOGITS = "The last layer of the decoder has no softmax. Which argument tells the cross-entropy of Keras so?"

_MASKED_CROSSENTROPY = Exercise(
    masked_crossentropy,
    NOTEBOOK,
    _loss_cases,
    mistakes=(
        Mistake(
            "PAD is counted in the loss",
            _loss(lambda losses, real: ops.mean(losses)),
            "A network that is praised for predicting PAD after END learns little else. Which places are real words?",
        ),
        Mistake(
            "the losses of PAD are set to 0, but its places are still counted in the mean",
            _loss(lambda losses, real: ops.mean(losses * real)),
            _SHARE,
        ),
        Mistake(
            "the mean is over the batch, and not over words",
            _loss(lambda losses, real: ops.sum(losses * real) / ops.cast(ops.shape(real)[0], real.dtype)),
            _SHARE,
        ),
        Mistake(
            "each caption counts the same, however many words it has",
            _loss(_per_caption),
            "In a mean of the captions' means, a word of a short caption weighs more than one of a long caption.",
        ),
        Mistake("the losses are added and not averaged", _loss(lambda losses, real: ops.sum(losses * real)), _SHARE),
        Mistake(
            "one number for each place comes back, and not one for the batch",
            _loss(lambda losses, real: losses * real),
            "Training needs a single number that is to become smaller.",
        ),
        Mistake(
            "one number for each caption comes back, and not one for the batch",
            _loss(lambda losses, real: ops.sum(losses * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1)),
            "Training needs a single number that is to become smaller.",
        ),
        Mistake(
            "the mask is the wrong way round: only PAD is counted",
            _loss(is_real=lambda words, pad_idx: words == pad_idx),
            "Where should the mask be 1, and where 0?",
        ),
        Mistake(
            "the mask holds truth values, and losses that are multiplied by them become truth values, too",
            _mask_of_truth_values,
            "ops.cast makes numbers of truth values: 1.0 for True, 0.0 for False.",
        ),
        Mistake(
            "index 0 is taken for PAD, whatever pad_idx says",
            _loss(is_real=lambda words, pad_idx: words != 0),
            "The special tokens are sorted among the words. Who knows the index of PAD?",
        ),
        Mistake(
            "logits are taken for probabilities",
            _loss(crossentropy=keras.losses.sparse_categorical_crossentropy),
            _LOGITS,
        ),
        Mistake(
            "the softmax goes over the positions of a caption, and not over the words of the vocabulary",
            _loss(crossentropy=_log_softmax_over(1)),
            "Logits are (captions, positions, vocabulary). Along which of these should probabilities sum to 1?",
        ),
        Mistake(
            "the softmax goes over the batch, and not over the words of the vocabulary",
            _loss(crossentropy=_log_softmax_over(0)),
            "Logits are (captions, positions, vocabulary). Along which of these should probabilities sum to 1?",
        ),
        Mistake(
            "a probability becomes 0 before its logarithm is taken",
            _loss(crossentropy=_log_of_softmax),
            "exp of -200 is 0 to a 32-bit float. Look for a function that takes softmax and logarithm in one step.",
        ),
        Mistake(
            "the sign is wrong: the loss rises as the network gets better",
            _loss(lambda losses, real: -_per_word(losses, real)),
            "A logarithm of a probability is below 0. What is to become smaller?",
        ),
        Mistake(
            "the loss is in bits, and not in nats",
            _loss(lambda losses, real: _per_word(losses, real) / math.log(2)),
            "Nats belong to the natural logarithm.",
        ),
        Mistake(
            "the loss function is not returned",
            lambda pad_idx: None,
            "masked_crossentropy makes a function inside and hands it over. What does its last line say?",
        ),
        Mistake(
            "it is written with NumPy, which stops at the first training step",
            _loss_in_numpy,
            "Keras compiles the loss and derives it, before there are numbers. keras.ops has what NumPy has.",
        ),
    ),
    hints=(
        "Inside, define a function of words and logits, and return it.",
        "keras.losses.sparse_categorical_crossentropy gives a loss for each place. Does it get logits?",
        "Make a mask that is 1 where a word is real and 0 where it is PAD, as floats: ops.cast.",
        "The mean over real words is the sum of their losses divided by how many there are.",
    ),
    observe=loss_of,
)


# generate_batch


def facts_of_batches(
    function: Callable,
    image_embeds: np.ndarray,
    captions: CaptionArrays,
    batch_size: int,
    seed: int,
    **options: Any,
) -> Facts:
    """What is so in all of several batches: any way of drawing them is fine."""
    batches = [
        function(image_embeds, captions, batch_size, np.random.default_rng([seed, number]), **options)
        for number in (0, 0, 1, 2, 3)
    ]
    facts = Facts.fromkeys(("form", "embeddings", "words", "next words", *_BATCH_FACTS))
    facts["form"] = _form_of(batches[0])
    if facts["form"] != _BATCH_FORM:
        return facts
    (embeds, words), next_words = batches[0]
    facts |= {"embeddings": describe(embeds), "words": describe(words), "next words": describe(next_words)}
    if words.shape == next_words.shape and len(words) == len(embeds) == batch_size:
        cut = captions.matrix[:, : options.get("max_len", 20)].astype(np.int64)
        facts |= _facts_of_sentences(batches, np.asarray(image_embeds, dtype=np.float32), cut, captions)
    return facts


_BATCH_FORM = "((embeddings, words), next words)"
_BATCH_FACTS = (
    "words are captions without their last index",
    "next words are captions without their first index",
    "next words belong to the words",
    "captions belong to the pictures",
    "every picture can come",
    "every caption can come",
    "every picture is as likely as the others",
    "the same generator gives the same batch",
    "another generator gives other captions",
    "another generator gives other pictures",
)


def _form_of(batch: Any) -> str:
    """The structure of a batch, in words."""
    if isinstance(batch, tuple) and len(batch) == 2 and isinstance(batch[0], (tuple, list)) and len(batch[0]) == 2:
        parts = (*batch[0], batch[1])
        if all(hasattr(part, "shape") for part in parts):
            return _BATCH_FORM

    def form(value: Any) -> str:
        if isinstance(value, (tuple, list)):
            inside = ", ".join(map(form, value[:5]))
            return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
        return "an array" if hasattr(value, "shape") else type(value).__name__

    return form(batch)


def _facts_of_sentences(
    batches: Sequence[Batch], image_embeds: np.ndarray, sentences: np.ndarray, captions: CaptionArrays
) -> dict[str, bool]:
    """Compare drawn batches with all sentences (captions, columns) and the pictures that they describe."""
    picture_of = captions.image_of_caption()
    embeds = np.concatenate([np.asarray(batch[0][0], dtype=np.float32) for batch in batches])
    words, next_words = (np.concatenate([np.asarray(part) for part in parts]) for parts in _words_of(batches))
    is_picture = np.all(np.isclose(embeds[:, None], image_embeds[None]), axis=-1)  # (rows, pictures)
    reads = _rows_equal(words, sentences[:, :-1])  # (rows, captions)
    predicts = _rows_equal(next_words, sentences[:, 1:])
    belongs = is_picture[:, picture_of] & (reads | predicts)
    share = is_picture.mean(axis=0) * len(image_embeds)
    values = (
        reads.any(axis=1).all(),
        predicts.any(axis=1).all(),
        (reads & predicts).any(axis=1).all(),
        belongs.any(axis=1).all(),
        is_picture.any(axis=0).all(),
        (reads | predicts).any(axis=0).all(),
        share.min() > 0.5 and share.max() < 2.0,
        _same_batch(batches[0], batches[1]),
        not _same_batch(batches[0], batches[2]),
        not np.array_equal(*(np.asarray(batch[0][0]) for batch in (batches[0], batches[2]))),
    )
    return dict(zip(_BATCH_FACTS, map(bool, values), strict=True))


def _words_of(batches: Sequence[Batch]) -> tuple[list, list]:
    return [batch[0][1] for batch in batches], [batch[1] for batch in batches]


def _rows_equal(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(rows, others), whether two rows are equal; never where they are of different lengths."""
    if rows.shape[1] != others.shape[1]:
        return np.zeros((len(rows), len(others)), dtype=bool)
    return np.all(rows[:, None] == others[None], axis=-1)


def _same_batch(one: Batch, other: Batch) -> bool:
    parts = zip((*one[0], one[1]), (*other[0], other[1]), strict=True)
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in parts)


def _toy_captions(sizes: Sequence[int], columns: int = 6) -> CaptionArrays:
    """So many captions for each picture, all of them different. PAD is 0, START 1, END 2."""
    rows = []
    for picture, size in enumerate(sizes):
        for number in range(size):
            words = [1, 3 + picture, 40 + number, *([99] * ((picture + number) % (columns - 3)))][: columns - 1]
            rows.append([*words, 2, *([0] * columns)][:columns])
    return CaptionArrays(np.array(rows, dtype=np.uint8), np.cumsum([0, *sizes]))


def _toy_embeds(count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 2, (count, 3)).astype(np.float16)


def _batch_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(2)
    sizes = rng.integers(1, 5, size=7).tolist()
    return [
        Case("five captions a picture", (_toy_embeds(4, fixed), _toy_captions([5] * 4), 200, 0)),
        Case("pictures with one caption and with many", (_toy_embeds(3, fixed), _toy_captions([1, 12, 2]), 400, 1)),
        Case(
            "captions longer than max_len",
            (_toy_embeds(3, fixed), _toy_captions([2, 2, 3], columns=9), 100, 2),
            {"max_len": 5},
        ),
        Case("captions longer than the default of max_len", (_toy_embeds(2, fixed), _toy_captions([3, 3], 24), 60, 3)),
        Case("random pictures", (_toy_embeds(7, rng), _toy_captions(sizes), 300, 4)),
    ]


def _draw(image_embeds, captions, batch_size, rng) -> tuple[np.ndarray, np.ndarray]:
    pictures = rng.integers(captions.n_images, size=batch_size)
    return pictures, captions.choose(pictures, rng)


def _batch(
    draw: Callable = _draw,
    read: Callable = lambda sentences, max_len: sentences[:, :max_len][:, :-1],
    predict: Callable = lambda sentences, max_len: sentences[:, :max_len][:, 1:],
    embeds_type: Any = np.float32,
    words_type: Any = np.int32,
    arrange: Callable = lambda embeds, words, next_words: ((embeds, words), next_words),
) -> Callable:
    """A `generate_batch` in which one step is done in another way."""

    def wrong(image_embeds, captions, batch_size, rng, max_len=20):
        pictures, sentences = draw(image_embeds, captions, batch_size, rng)
        sentences = sentences.astype(words_type)
        embeds = np.asarray(image_embeds[pictures], dtype=embeds_type)
        return arrange(embeds, read(sentences, max_len), predict(sentences, max_len))

    return wrong


def _any_captions(image_embeds, captions, batch_size, rng) -> tuple[np.ndarray, np.ndarray]:
    others = rng.integers(captions.n_images, size=batch_size)
    return rng.integers(captions.n_images, size=batch_size), captions.choose(others, rng)


def _first_captions(image_embeds, captions, batch_size, rng) -> tuple[np.ndarray, np.ndarray]:
    pictures = rng.integers(captions.n_images, size=batch_size)
    return pictures, captions.matrix[captions.first[pictures]]


def _first_pictures(image_embeds, captions, batch_size, rng) -> tuple[np.ndarray, np.ndarray]:
    pictures = np.arange(batch_size) % captions.n_images
    return pictures, captions.choose(pictures, rng)


def _any_rows(image_embeds, captions, batch_size, rng) -> tuple[np.ndarray, np.ndarray]:
    rows = rng.integers(len(captions.matrix), size=batch_size)
    return captions.image_of_caption()[rows], captions.matrix[rows]


def _not_the_last(image_embeds, captions, batch_size, rng) -> tuple[np.ndarray, np.ndarray]:
    pictures = rng.integers(captions.n_images - 1, size=batch_size)
    return pictures, captions.choose(pictures, rng)


def _each_once(image_embeds, captions, batch_size, rng) -> tuple[np.ndarray, np.ndarray]:
    pictures = rng.choice(captions.n_images, size=batch_size, replace=False)
    return pictures, captions.choose(pictures, rng)


def _other_generator(make: Callable) -> Callable:
    return lambda image_embeds, captions, batch_size, rng: _draw(image_embeds, captions, batch_size, make())


def _all_of_it(sentences: np.ndarray, max_len: int) -> np.ndarray:
    return sentences[:, :max_len]


def _but_the_last(sentences: np.ndarray, max_len: int) -> np.ndarray:
    return sentences[:, :max_len][:, :-1]


def _but_the_first(sentences: np.ndarray, max_len: int) -> np.ndarray:
    return sentences[:, :max_len][:, 1:]


_SHIFT = (
    "Write a caption of three words on paper. Under each index that is read, write the one that is to be predicted."
)
_CUT = "max_len counts all indices of a caption, before it becomes two. In what order do you cut?"
_GENERATOR = (
    "Who calls this function decides on chance, by the generator that comes as an argument. Draw from that one."
)

_GENERATE_BATCH = Exercise(
    generate_batch,
    NOTEBOOK,
    _batch_cases,
    mistakes=(
        Mistake(
            "the next words are not shifted by one: the network is to predict what it reads",
            _batch(predict=_but_the_last),
            _SHIFT,
        ),
        Mistake(
            "the next words are not shifted by one: words and next words are both whole captions",
            _batch(read=_all_of_it, predict=_all_of_it),
            _SHIFT,
        ),
        Mistake(
            "END is fed: the words keep their last index, after which nothing is to be predicted",
            _batch(read=_all_of_it),
            _SHIFT,
        ),
        Mistake(
            "the next words keep START, which nobody has to predict",
            _batch(predict=_all_of_it),
            _SHIFT,
        ),
        Mistake(
            "the wrong way round: the network is to predict the word before",
            _batch(read=_but_the_first, predict=_but_the_last),
            _SHIFT,
        ),
        Mistake(
            "the captions belong to other pictures",
            _batch(_any_captions),
            "Draw the pictures first. Then each of them takes one of its own captions.",
        ),
        Mistake(
            "always the first caption of a picture comes",
            _batch(_first_captions),
            "A picture has several captions. CaptionArrays has a method that picks one of them at random.",
        ),
        Mistake(
            "the pictures are not random: always the first ones, one after another",
            _batch(_first_pictures),
            "Each batch takes random pictures. The generator can draw whole numbers.",
        ),
        Mistake(
            "captions are drawn instead of pictures, so a picture with many captions comes more often",
            _batch(_any_rows),
            "Draw pictures, each as likely as the others; then for each of them a caption.",
        ),
        Mistake(
            "the last picture never comes",
            _batch(_not_the_last),
            "rng.integers(n) draws from 0 to n - 1.",
        ),
        Mistake(
            "each picture can come once only, which fails where the batch is larger than the data",
            _batch(_each_once),
            "Draw with replacement: pictures are independent of each other.",
        ),
        Mistake(
            "the generator is not used, so a batch cannot be had a second time",
            _batch(_other_generator(np.random.default_rng)),
            _GENERATOR,
        ),
        Mistake(
            "a generator of its own with a fixed seed gives the same batch each time",
            _batch(_other_generator(lambda: np.random.default_rng(0))),
            _GENERATOR,
        ),
        Mistake(
            "max_len is not looked at",
            _batch(read=lambda s, max_len: s[:, :-1], predict=lambda s, max_len: s[:, 1:]),
            "Longer captions are cut before anything else happens to them.",
        ),
        Mistake(
            "captions are one index too long: words and next words have max_len each",
            _batch(read=lambda s, max_len: s[:, :-1][:, :max_len], predict=lambda s, max_len: s[:, 1:][:, :max_len]),
            _CUT,
        ),
        Mistake(
            "the embeddings are float16, as on the disk, and not float32",
            _batch(embeds_type=np.float16),
            "np.asarray takes a dtype. So does the method astype.",
        ),
        Mistake(
            "the words keep the small type that they have on the disk, and are not int32",
            _batch(words_type=np.uint8),
            "np.asarray takes a dtype. So does the method astype.",
        ),
        Mistake(
            "the three arrays stand side by side, and not as ((embeddings, words), next words)",
            _batch(arrange=lambda *parts: parts),
            "Keras wants a pair: what goes in, and what should come out. Two things go in.",
        ),
        Mistake(
            "the next words are missing",
            _batch(arrange=lambda embeds, words, next_words: (embeds, words)),
            "Keras wants a pair: what goes in, and what should come out.",
        ),
    ),
    hints=(
        "Draw batch_size numbers of pictures: rng.integers.",
        "captions.choose(pictures, rng) picks a caption of each, as a matrix. Cut it to max_len columns.",
        "From one matrix two are made, each a column narrower: one has no last column, the other no first.",
        "The embeddings of the drawn pictures are rows of image_embeds; an array of numbers can be an index.",
    ),
    observe=facts_of_batches,
)


# shuffle_pictures


def facts_of_control(function: Callable, examples: Examples) -> Facts:
    """What is so for all of twenty seeds: any way of giving every picture the captions of another is fine."""
    first = function(examples, 0)
    if not isinstance(first, Examples):
        return Facts({"form": f"no Examples, but a {type(first).__name__}"} | dict.fromkeys(_CONTROL_FACTS))
    results = [first, *(function(copy_of(examples), seed) for seed in range(1, 20))]
    before = [_captions_by_picture(examples.captions)] * len(results)
    after = [_captions_by_picture(result.captions) for result in results]
    pairs = list(zip(before, after, strict=True))
    again = [_captions_by_picture(function(copy_of(examples), seed).captions) for seed in range(20)]
    values = (
        all(np.array_equal(result.image_embeds, examples.image_embeds) for result in results),
        all(sorted(sum(b, [])) == sorted(sum(a, [])) for b, a in pairs),
        all(sorted(map(sorted, b)) == sorted(map(sorted, a)) for b, a in pairs),
        not any(set(old) & set(new) for b, a in pairs for old, new in zip(b, a, strict=True)),
        again == after,
        any(a != after[0] for a in after),
    )
    return Facts({"form": "Examples"} | dict(zip(_CONTROL_FACTS, map(bool, values), strict=True)))


_CONTROL_FACTS = (
    "the embeddings stay where they are",
    "every caption is still there, once",
    "captions of one picture stay together",
    "no picture keeps one of its captions",
    "the same seed gives the same order",
    "another seed gives another order",
)


def _captions_by_picture(captions: CaptionArrays) -> list[list[tuple]]:
    """For each picture its captions, as tuples of indices."""
    bounds = zip(captions.first[:-1], captions.first[1:], strict=True)
    return [[tuple(row) for row in np.asarray(captions.matrix)[begin:end].tolist()] for begin, end in bounds]


def _control_cases(rng: np.random.Generator) -> list[Case]:
    def case(name: str, sizes: Sequence[int]) -> Case:
        embeds = np.random.default_rng(len(sizes)).normal(size=(len(sizes), 3)).astype(np.float32)
        return Case(name, (Examples(embeds, _toy_captions(sizes)),))

    return [
        case("five captions a picture", [5] * 6),
        case("pictures with different numbers of captions", [1, 4, 2, 3, 1, 2]),
        case("three pictures", [2, 2, 2]),
        case("random numbers of captions", rng.integers(1, 5, size=9).tolist()),
    ]


def _regroup(examples: Examples, order: np.ndarray, keep_first: bool = False) -> Examples:
    """Each picture gets the captions of another, by its number in `order`."""
    captions = examples.captions
    rows = [np.arange(captions.first[picture], captions.first[picture + 1]) for picture in order]
    first = captions.first if keep_first else np.cumsum([0, *map(len, rows)])
    return Examples(examples.image_embeds, CaptionArrays(captions.matrix[np.concatenate(rows)], first))


def _neighbours(examples: Examples, seed: int) -> np.ndarray:
    circle = np.random.default_rng(seed).permutation(examples.captions.n_images)
    order = np.empty_like(circle)
    order[circle] = np.roll(circle, 1)
    return order


def _any_permutation(examples: Examples, seed: int = 0) -> Examples:
    return _regroup(examples, np.random.default_rng(seed).permutation(examples.captions.n_images))


def _shuffled_rows(examples: Examples, seed: int = 0) -> Examples:
    captions = examples.captions
    rows = np.random.default_rng(seed).permutation(len(captions.matrix))
    return Examples(examples.image_embeds, CaptionArrays(captions.matrix[rows], captions.first))


def _shuffled_both(examples: Examples, seed: int = 0) -> Examples:
    order = _neighbours(examples, seed)
    return Examples(examples.image_embeds[order], _regroup(examples, order).captions)


def _shuffled_embeddings(examples: Examples, seed: int = 0) -> Examples:
    return Examples(examples.image_embeds[_neighbours(examples, seed)], examples.captions)


def _drawn_with_replacement(examples: Examples, seed: int = 0) -> Examples:
    rng, count = np.random.default_rng(seed), examples.captions.n_images
    return _regroup(examples, (np.arange(count) + rng.integers(1, count, size=count)) % count)


def _in_place(examples: Examples, seed: int = 0) -> Examples:
    examples.captions.matrix[:] = shuffle_images(examples, seed).captions.matrix
    return examples


_CONTROL = Exercise(
    shuffle_images,
    NOTEBOOK,
    _control_cases,
    mistakes=(
        Mistake(
            "some pictures keep their own captions: a random order leaves some things where they were",
            _any_permutation,
            "Every picture must get the captions of another. Think of people in a circle, each passing something on.",
        ),
        Mistake(
            "captions are shuffled one by one, so the captions of a picture no longer belong together",
            _shuffled_rows,
            "All captions of a picture go to the same other picture. Shuffle the numbers of pictures, not of rows.",
        ),
        Mistake(
            "embeddings and captions are shuffled in the same way, so each picture has its own captions again",
            _shuffled_both,
            "Only one of the two may move, or nothing has changed.",
        ),
        Mistake(
            "the embeddings are shuffled, and the captions stay where they are",
            _shuffled_embeddings,
            "It comes to the same for training, but the embeddings may be a memory map that would have to be read "
            "as a whole. The docstring says what moves.",
        ),
        Mistake(
            "some captions come twice and others never",
            _drawn_with_replacement,
            "The control should read the same captions as the model, each once. Whose turn is it twice?",
        ),
        Mistake(
            "seed is not used: the order is the same whatever it is",
            lambda examples, seed=0: shuffle_images(examples, 0),
            "np.random.default_rng takes a seed.",
        ),
        Mistake(
            "seed is not used: the order is another one each time",
            lambda examples, seed=0: shuffle_images(examples, int(np.random.default_rng().integers(1 << 30))),
            "np.random.default_rng takes a seed.",
        ),
        Mistake(
            "the captions have moved, and `first` still says where they used to begin",
            lambda examples, seed=0: _regroup(examples, _neighbours(examples, seed), keep_first=True),
            "Pictures have different numbers of captions. Where does each picture's group begin in the new matrix?",
        ),
        Mistake(
            "the examples that it was given are changed",
            _in_place,
            "The model itself still needs the right captions. Indexing with an array makes a new one.",
        ),
        Mistake(
            "the captions alone come back, and not Examples",
            lambda examples, seed=0: shuffle_images(examples, seed).captions,
            "train_decoder wants embeddings and captions together.",
        ),
        Mistake(
            "nothing has moved",
            lambda examples, seed=0: examples,
            "Every picture must get the captions of another.",
        ),
    ),
    hints=(
        "First decide for each picture whose captions it gets: an array of numbers of pictures.",
        "Put the pictures into a random circle with rng.permutation. np.roll moves everybody on by one place.",
        "The captions of picture p are the rows from captions.first[p] to captions.first[p + 1] of captions.matrix.",
        "Collect these rows in the new order; then `first` is a running sum of how many each picture has, from 0.",
    ),
    observe=facts_of_control,
)


EXERCISES = (_BUILD_DECODER, _MASKED_CROSSENTROPY, _GENERATE_BATCH, _CONTROL)
"""In the order of the notebook."""
