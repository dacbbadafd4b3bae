"""The exercises of notebook 04: the decoder, its batches, its loss, a step of training, and the control."""

import copy
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.exercises.compare import short
from say_what_you_see.exercises.exercise import Case, Exercise
from say_what_you_see.exercises.observe import Properties, as_numpy, describe, draw_weights, properties
from say_what_you_see.language.captions import CaptionArrays
from say_what_you_see.models.bottleneck_lstm import build_decoder
from say_what_you_see.training.by_hand import training_step
from say_what_you_see.training.examples import Batch, Examples, generate_batch, shuffle_images
from say_what_you_see.training.loop import seed_dropout
from say_what_you_see.training.losses import masked_crossentropy

_NOTEBOOK = "04_train_decoder"

layers, ops = keras.layers, keras.ops


def properties_of_decoder(function: Callable, vocab_size: int, feature_size: int, **sizes: Any) -> Properties:
    """Build a decoder, give its layers weights that depend on their names only, and let it read some words."""
    model = function(vocab_size, feature_size, **sizes)
    names = ("inputs", "weights", "dropout", "logits")
    if not isinstance(model, keras.Model):
        return properties(f"no model, but {short(model)}", names)
    inputs = [tuple(tensor.shape) for tensor in model.inputs]
    weights = {layer.name: [tuple(w.shape) for w in layer.weights] for layer in model.layers if layer.weights}
    rates = sorted(layer.rate for layer in model.layers if isinstance(layer, layers.Dropout))
    logits = _logits_of(model, vocab_size, feature_size) if sizes else None
    return properties("a model", names, (inputs, weights, rates, logits))


def _logits_of(model: keras.Model, vocab_size: int, feature_size: int) -> Any:
    """What a decoder says about two pictures and four words, all of its weights being set."""
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, (8, feature_size)).astype(np.float32)
    words = rng.integers(vocab_size, size=(2, 4)).astype(np.int32)
    _set_weights(model, features)
    try:
        return as_numpy(model([features[:2], words], training=False))
    except Exception as error:  # the inputs are the wrong way round, for one
        return f"the model cannot read [embeddings, words]: {type(error).__name__}"


def _set_weights(model: keras.Model, features: np.ndarray) -> None:
    """Weights that follow from the layers' names, and a standardisation of features."""
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.adapt(features)
        else:
            drawn = np.random.default_rng(zlib.crc32(layer.name.encode()))
            layer.set_weights([draw_weights(w.shape, drawn) for w in layer.get_weights()])


def _decoder_cases(rng: np.random.Generator) -> list[Case]:
    small = {"image_bottleneck": 4, "word_size": 3, "lstm_units": 5, "logit_bottleneck": 6}
    drawn = {name: int(rng.integers(2, 8)) for name in small}
    return [
        Case("a small decoder", (9, 7), small),
        Case("a small decoder with dropout", (9, 7), small | {"dropout": 0.25}),
        Case("without sizes, which then are the defaults", (30, 20)),
        Case("random sizes", (int(rng.integers(8, 14)), int(rng.integers(4, 9))), drawn),
    ]


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


def _loss_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(1)

    def case(name: str, lengths: Sequence[int], pad_idx: int, spread: float = 1.0, **keywords: Any) -> Case:
        source, steps = rng if name.startswith("random") else fixed, max(lengths)
        words = source.choice([index for index in range(6) if index != pad_idx], size=(len(lengths), steps))
        words[np.arange(steps) >= np.array(lengths)[:, None]] = pad_idx
        logits = source.normal(0, spread, (*words.shape, 6)).astype(np.float32)
        return Case(name, (pad_idx, words.astype(np.int32), logits), keywords)

    return [
        case("captions of one length, without padding", (3, 3), 0),
        case("captions of different lengths, PAD is 0", (4, 2, 1), 0),
        case("captions of different lengths, PAD is 3", (4, 1), 3),
        case("logits that are very sure", (3, 2), 1, spread=80.0),
        case("in training: compiled by Keras, the words as floats", (3, 1), 2, in_training=True),
        *(case(f"random captions, number {n}", rng.integers(1, 6, size=4).tolist(), n, 2.0) for n in (1, 2, 3)),
    ]


def trained(function: Callable, batch: Batch, learning_rate: float, dropout: float = 0.0) -> Properties:
    """Train a small decoder for three steps of plain gradient descent."""
    decoder = build_decoder(6, batch[0][0].shape[1], 3, 4, 5, 4, dropout)
    _set_weights(decoder, batch[0][0])
    seed_dropout(decoder, seed=0, epoch=0)
    optimizer, loss = keras.optimizers.SGD(learning_rate), masked_crossentropy(0)
    losses = [function(decoder, batch, loss, optimizer) for _ in range(3)]
    return properties("trained", ("losses of three steps", "weights"), (losses, decoder.get_weights()))


def _training_cases(rng: np.random.Generator) -> list[Case]:
    def case(name: str, source: np.random.Generator, learning_rate: float, **options: float) -> Case:
        features = source.normal(size=(4, 3)).astype(np.float32)
        sentences = source.integers(1, 6, size=(4, 5)).astype(np.int32)
        sentences[np.arange(5) >= source.integers(2, 6, size=4)[:, None]] = 0
        return Case(name, (((features, sentences[:, :-1]), sentences[:, 1:]), learning_rate), options)

    fixed = np.random.default_rng(2)
    return [
        case("three steps without dropout", fixed, 0.1),
        case("three steps with dropout", fixed, 0.2, dropout=0.5),
        case("random captions", rng, 0.3),
    ]


_BATCH = (
    "embeddings",
    "words",
    "next words",
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


def properties_of_batches(
    function: Callable, image_embeds: np.ndarray, captions: CaptionArrays, batch_size: int, seed: int, **options: Any
) -> Properties:
    """What holds for all of several batches: any way of drawing them is fine."""
    batches = [
        function(image_embeds, captions, batch_size, np.random.default_rng([seed, number]), **options)
        for number in (0, 0, 1, 2, 3)
    ]
    form = _form_of(batches[0])
    if form != "((an array, an array), an array)":
        return properties(form, _BATCH)
    (embeds, words), next_words = batches[0]
    values: list[Any] = [describe(embeds), describe(words), describe(next_words)]
    if words.shape == next_words.shape and len(words) == len(embeds) == batch_size:
        cut = captions.matrix[:, : options.get("max_len", 20)].astype(np.int64)
        values += _properties_of_sentences(batches, np.asarray(image_embeds, dtype=np.float32), cut, captions)
    return properties("((embeddings, words), next words)", _BATCH, values)


def _form_of(value: Any) -> str:
    """The structure of a batch, in words."""
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_form_of, value[:5]))})"
    return "an array" if hasattr(value, "shape") else type(value).__name__


def _properties_of_sentences(
    batches: Sequence[Batch], image_embeds: np.ndarray, sentences: np.ndarray, captions: CaptionArrays
) -> list[bool]:
    """Compare drawn batches with all sentences (captions, columns) and the pictures that they describe."""
    flat = [tuple(map(np.asarray, (*inputs, targets))) for inputs, targets in batches]
    embeds, words, next_words = map(np.concatenate, zip(*flat, strict=True))
    is_picture = np.all(np.isclose(embeds.astype(np.float32)[:, None], image_embeds[None]), axis=-1)  # (rows, pictures)
    reads = _rows_equal(words, sentences[:, :-1])  # (rows, captions)
    predicts = _rows_equal(next_words, sentences[:, 1:])
    belongs = is_picture[:, captions.image_of_caption()] & (reads | predicts)
    frequency = is_picture.mean(axis=0) * len(image_embeds)
    same = [all(map(np.array_equal, flat[0], other)) for other in flat]
    values = (
        reads.any(axis=1).all(),
        predicts.any(axis=1).all(),
        (reads & predicts).any(axis=1).all(),
        belongs.any(axis=1).all(),
        is_picture.any(axis=0).all(),
        (reads | predicts).any(axis=0).all(),
        frequency.min() > 0.5 and frequency.max() < 2.0,
        same[1],
        not same[2],
        not np.array_equal(flat[0][0], flat[2][0]),
    )
    return list(map(bool, values))


def _rows_equal(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(rows, others), whether two rows are equal; never where they are of different lengths."""
    if rows.shape[1] != others.shape[1]:
        return np.zeros((len(rows), len(others)), dtype=bool)
    return np.all(rows[:, None] == others[None], axis=-1)


def _toy_captions(sizes: Sequence[int], columns: int = 6) -> CaptionArrays:
    """So many captions for each picture, all of them different. PAD is 0, START 1, END 2."""
    rows = []
    for picture, size in enumerate(sizes):
        for number in range(size):
            words = [1, 3 + picture, 40 + number, *([99] * ((picture + number) % (columns - 3)))][: columns - 1]
            rows.append([*words, 2, *([0] * columns)][:columns])
    return CaptionArrays(np.array(rows, dtype=np.uint8), np.cumsum([0, *sizes]))


def _batch_cases(rng: np.random.Generator) -> list[Case]:
    def case(name: str, sizes: Sequence[int], batch_size: int, seed: int, columns: int = 6, **options: Any) -> Case:
        source = rng if name.startswith("random") else np.random.default_rng(seed)
        embeds = source.normal(0, 2, (len(sizes), 3)).astype(np.float16)
        return Case(name, (embeds, _toy_captions(sizes, columns), batch_size, seed), options)

    return [
        case("five captions a picture", [5] * 4, 200, 0),
        case("pictures with one caption and with many", [1, 12, 2], 400, 1),
        case("captions longer than max_len", [2, 2, 3], 100, 2, columns=9, max_len=5),
        case("captions longer than the default of max_len", [3, 3], 60, 3, columns=24),
        case("random pictures", rng.integers(1, 5, size=7).tolist(), 300, 4),
    ]


_CONTROL = (
    "the embeddings stay where they are",
    "every caption is still there, once",
    "captions of one picture stay together",
    "no picture keeps one of its captions",
    "the same seed gives the same order",
    "another seed gives another order",
)


def properties_of_control(function: Callable, examples: Examples) -> Properties:
    """What holds over twenty seeds: any way of giving every picture the captions of another is fine."""
    first = function(examples, 0)
    if not isinstance(first, Examples):
        return properties(f"no Examples, but a {type(first).__name__}", _CONTROL)
    results = [first, *(function(copy.deepcopy(examples), seed) for seed in range(1, 20))]
    before = _captions_by_picture(examples)
    after = [_captions_by_picture(result) for result in results]
    again = [_captions_by_picture(function(copy.deepcopy(examples), seed)) for seed in range(20)]
    values = (
        all(np.array_equal(result.image_embeds, examples.image_embeds) for result in results),
        all(sorted(sum(before, [])) == sorted(sum(groups, [])) for groups in after),
        all(sorted(map(sorted, before)) == sorted(map(sorted, groups)) for groups in after),
        not any(set(old) & set(new) for groups in after for old, new in zip(before, groups, strict=True)),
        again == after,
        any(groups != after[0] for groups in after),
    )
    return properties("Examples", _CONTROL, map(bool, values))


def _captions_by_picture(examples: Examples) -> list[list[tuple]]:
    """For each picture its captions, as tuples of indices."""
    captions = examples.captions
    bounds = zip(captions.first[:-1], captions.first[1:], strict=True)
    return [[tuple(row) for row in np.asarray(captions.matrix)[begin:end].tolist()] for begin, end in bounds]


def _control_cases(rng: np.random.Generator) -> list[Case]:
    sizes = {
        "five captions a picture": [5] * 6,
        "pictures with different numbers of captions": [1, 4, 2, 3, 1, 2],
        "three pictures": [2, 2, 2],
        "random numbers of captions": rng.integers(1, 5, size=9).tolist(),
    }
    embeds = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    return [Case(name, (Examples(embeds[: len(each)], _toy_captions(each)),)) for name, each in sizes.items()]


EXERCISES = (
    Exercise(build_decoder, _NOTEBOOK, _decoder_cases, observe=properties_of_decoder),
    Exercise(generate_batch, _NOTEBOOK, _batch_cases, observe=properties_of_batches),
    Exercise(masked_crossentropy, _NOTEBOOK, _loss_cases, observe=loss_of),
    Exercise(training_step, _NOTEBOOK, _training_cases, observe=trained, tolerance=1e-4),
    Exercise(shuffle_images, _NOTEBOOK, _control_cases, observe=properties_of_control),
)
"""In the order of the notebook."""
