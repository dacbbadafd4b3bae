"""The exercises of notebook 04: the decoder, its batches, its loss, a step of training, and the control."""

import copy
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.exercises.compare import Properties, as_numpy, describe, draw_weights, short, with_tensors
from say_what_you_see.exercises.exercise import Cases, Exercise, drawn_cases
from say_what_you_see.language.captions import CaptionArrays
from say_what_you_see.models.bottleneck_lstm import build_decoder
from say_what_you_see.training.by_hand import training_step
from say_what_you_see.training.examples import Batch, Examples, generate_batch, shuffle_images
from say_what_you_see.training.loop import seed_dropout
from say_what_you_see.training.losses import masked_crossentropy

layers = keras.layers


def properties_of_decoder(
    function: Callable, vocab_size: int, feature_size: int, sizes: Mapping[str, Any]
) -> Properties:
    """Build a decoder, give its layers weights that depend only on their names, and let it read some words."""
    model = function(vocab_size, feature_size, **sizes)
    if not isinstance(model, keras.Model):
        return Properties(form=f"not a model, but {short(model)}")
    return Properties(
        form="a model",
        inputs=[tuple(tensor.shape) for tensor in model.inputs],
        weights={layer.name: [tuple(w.shape) for w in layer.weights] for layer in model.layers if layer.weights},
        mask_zero=any(getattr(layer, "mask_zero", False) for layer in model.layers),
        dropout={
            f"of {layer.input.shape[-1]} numbers": layer.rate
            for layer in model.layers
            if isinstance(layer, layers.Dropout)
        },
        logits=_logits_of(model, vocab_size, feature_size) if sizes else None,
    )


def _logits_of(model: keras.Model, vocab_size: int, feature_size: int) -> Any:
    """What a decoder with given weights predicts for two pictures and four words."""
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, (8, feature_size)).astype(np.float32)
    words = rng.integers(vocab_size, size=(2, 4)).astype(np.int32)
    _set_weights(model, features)
    try:
        return as_numpy(model([features[:2], words], training=False))
    except Exception as error:  # the inputs are swapped, for instance
        return f"the model cannot read [embeddings, words]: {type(error).__name__}"


def _set_weights(model: keras.Model, features: np.ndarray) -> None:
    """Set weights that depend on the layers' names, and standardise the features."""
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.adapt(features)
        else:
            drawn = np.random.default_rng(zlib.crc32(layer.name.encode()))
            layer.set_weights([draw_weights(w.shape, drawn) for w in layer.get_weights()])


def _decoder_cases(rng: np.random.Generator) -> Cases:
    small = {"image_bottleneck": 4, "word_size": 3, "lstm_units": 5, "logit_bottleneck": 6}
    drawn = {name: int(rng.integers(2, 8)) for name in small}
    return {
        "a small decoder": (9, 7, small),
        "a small decoder with dropout": (9, 7, small | {"dropout": 0.25}),
        "no sizes given, so they are the defaults": (30, 20, {}),
        "random sizes": (int(rng.integers(8, 14)), int(rng.integers(4, 9)), drawn),
    }


def loss_of(function: Callable, pad_idx: int, words: np.ndarray, logits: np.ndarray, in_training: bool = False) -> Any:
    """Make a loss and give it a batch: directly, or as Keras does, compiled and with the words as floats."""
    loss = function(pad_idx)
    if not callable(loss):
        return f"not a loss function, but {short(loss)}"
    if not in_training:
        return as_numpy(with_tensors(loss, words, logits))
    model = keras.Sequential([layers.Input(logits.shape[1:]), layers.Identity()])
    model.compile(loss=loss)
    try:
        return as_numpy(model.test_on_batch(logits, words))
    except NotImplementedError as error:  # TensorFlow's, not that of an unwritten exercise
        raise TypeError("NumPy cannot compute with the tensors of a compiled training step") from error


def _loss_cases(rng: np.random.Generator) -> Cases:
    def draw(source: np.random.Generator, lengths: Sequence[int], pad_idx: int, spread: float = 1.0, *options: bool):
        words = source.choice([index for index in range(6) if index != pad_idx], size=(len(lengths), max(lengths)))
        words[np.arange(max(lengths)) >= np.array(lengths)[:, None]] = pad_idx
        logits = source.normal(0, spread, (*words.shape, 6)).astype(np.float32)
        return pad_idx, words.astype(np.int32), logits, *options

    table = {
        "captions of one length, without padding": ((3, 3), 0),
        "captions of different lengths, PAD is 0": ((4, 2, 1), 0),
        "captions of different lengths, PAD is 3": ((4, 1), 3),
        "very confident logits": ((3, 2), 1, 80.0),
        "in training: compiled by Keras, the words as floats": ((3, 1), 2, 1.0, True),
        **{f"random captions, number {n}": (rng.integers(1, 6, size=4).tolist(), n, 2.0) for n in (1, 2, 3)},
    }
    only_padding = 0, np.zeros((2, 3), np.int32), np.ones((2, 3, 6), np.float32)
    return {"only padding": only_padding} | drawn_cases(rng, draw, table)


def trained(function: Callable, batch: Batch, learning_rate: float, dropout: float = 0.0) -> Properties:
    """Train a small decoder for three steps of plain gradient descent."""
    decoder = build_decoder(6, batch[0][0].shape[1], 3, 4, 5, 4, dropout)
    _set_weights(decoder, batch[0][0])
    seed_dropout(decoder, seed=0, epoch=0)
    optimizer, loss = keras.optimizers.SGD(learning_rate), masked_crossentropy(0)
    losses = [function(decoder, batch, loss, optimizer) for _ in range(3)]
    return Properties({"losses of three steps": losses, "weights": decoder.get_weights()})


def _training_cases(rng: np.random.Generator) -> Cases:
    def draw(source: np.random.Generator, *options: float) -> tuple:
        features = source.normal(size=(4, 3)).astype(np.float32)
        sentences = source.integers(1, 6, size=(4, 5)).astype(np.int32)
        sentences[np.arange(5) >= source.integers(2, 6, size=4)[:, None]] = 0
        return ((features, sentences[:, :-1]), sentences[:, 1:]), *options

    table = {"three steps without dropout": (0.1,), "three steps with dropout": (0.2, 0.5), "random captions": (0.3,)}
    return drawn_cases(rng, draw, table)


def properties_of_batches(
    function: Callable, image_embeds: np.ndarray, captions: CaptionArrays, batch_size: int, seed: int, *max_len: int
) -> Properties:
    """What is true of all of several batches: any way of drawing them is fine."""
    batches = [
        function(image_embeds, captions, batch_size, np.random.default_rng([seed, number]), *max_len)
        for number in (0, 0, 1, 2, 3)
    ]
    form = _form_of(batches[0])
    if form != "((an array, an array), an array)":
        return Properties(form=form)
    (embeds, words), next_words = batches[0]
    shapes = {"embeddings": describe(embeds), "words": describe(words), "next words": describe(next_words)}
    found = Properties({"form": "((embeddings, words), next words)"} | shapes)
    if words.shape == next_words.shape and len(words) == len(embeds) == batch_size:
        cut = captions.matrix[:, : max_len[0] if max_len else 20].astype(np.int64)
        found |= _properties_of_sentences(batches, np.asarray(image_embeds, dtype=np.float32), cut, captions)
    return found


def _form_of(value: Any) -> str:
    """The structure of a batch, in words."""
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_form_of, value[:5]))})"
    return "an array" if hasattr(value, "shape") else type(value).__name__


def _properties_of_sentences(
    batches: Sequence[Batch], image_embeds: np.ndarray, sentences: np.ndarray, captions: CaptionArrays
) -> dict[str, bool]:
    """Compare drawn batches with all sentences (captions, columns) and the pictures that they describe."""
    flat = [tuple(map(np.asarray, (*inputs, targets))) for inputs, targets in batches]
    embeds, words, next_words = map(np.concatenate, zip(*flat, strict=True))
    pictures = _numbers_of(embeds.astype(np.float32), image_embeds)
    reads, predicts = _numbers_of(words, sentences[:, :-1]), _numbers_of(next_words, sentences[:, 1:])
    owners = dict(enumerate(captions.image_of_caption().tolist()))
    drawn = zip(pictures, reads, predicts, strict=True)
    share = np.bincount(np.array(pictures) + 1, minlength=len(image_embeds) + 1)[1:] / len(pictures) * len(image_embeds)
    same = [all(map(np.array_equal, flat[0], other)) for other in flat]
    return {
        "words are captions without their last index": -1 not in reads,
        "next words are captions without their first index": -1 not in predicts,
        "next words belong to the words": reads == predicts,
        "captions belong to the pictures": all(own in (owners.get(r), owners.get(p)) for own, r, p in drawn),
        "every picture can be drawn": bool(share.all()),
        "every caption can be drawn": owners.keys() <= {*reads, *predicts},
        "every picture is as likely as the others": bool(share.min() > 0.5 and share.max() < 2.0),
        "the same generator gives the same batch": same[1],
        "another generator gives other captions": not same[2],
        "another generator gives other pictures": not np.array_equal(flat[0][0], flat[2][0]),
    }


def _numbers_of(rows: np.ndarray, known: np.ndarray) -> list[int]:
    """For each row the number of the known row that equals it, or -1."""
    numbers = {tuple(row): number for number, row in enumerate(known.tolist())}
    return [numbers.get(tuple(row), -1) for row in rows.tolist()]


def _toy_captions(sizes: Sequence[int], columns: int = 6) -> CaptionArrays:
    """As many captions of each picture as `sizes` says, all different. PAD is 0, START 1, END 2."""
    rows = []
    for picture, size in enumerate(sizes):
        for number in range(size):
            words = [1, 3 + picture, 40 + number, *([99] * ((picture + number) % (columns - 3)))][: columns - 1]
            rows.append([*words, 2, *([0] * columns)][:columns])
    return CaptionArrays(np.array(rows, dtype=np.uint8), np.cumsum([0, *sizes]))


def _batch_cases(rng: np.random.Generator) -> Cases:
    def draw(source: np.random.Generator, sizes: Sequence[int], size: int, seed: int, columns: int = 6, *max_len: int):
        embeds = source.normal(0, 2, (len(sizes), 3)).astype(np.float16)
        return embeds, _toy_captions(sizes, columns), size, seed, *max_len

    table = {
        "five captions per picture": ([5] * 4, 200, 0),
        "pictures with one caption and with many": ([1, 12, 2], 400, 1),
        "captions longer than max_len": ([2, 2, 3], 100, 2, 9, 5),
        "captions longer than the default of max_len": ([3, 3], 60, 3, 24),
        "random pictures": (rng.integers(1, 5, size=7).tolist(), 300, 4),
    }
    return drawn_cases(rng, draw, table)


def properties_of_control(function: Callable, examples: Examples) -> Properties:
    """What is true over twenty seeds: any way of giving every picture the captions of another is fine."""
    first = function(examples, 0)
    if not isinstance(first, Examples):
        return Properties(form=f"not Examples, but a {type(first).__name__}")
    results = [first, *(function(copy.deepcopy(examples), seed) for seed in range(1, 20))]
    before, *after = map(_captions_by_picture, (examples, *results))
    again = [_captions_by_picture(function(copy.deepcopy(examples), seed)) for seed in range(20)]
    kept = [np.array_equal(result.image_embeds, examples.image_embeds) for result in results]
    own = [set(old) & set(new) for groups in after for old, new in zip(before, groups, strict=True)]
    return Properties(
        {
            "form": "Examples",
            "the embeddings stay where they are": all(kept),
            "every caption is still there, once": all(sorted(sum(g, [])) == sorted(sum(before, [])) for g in after),
            "captions of one picture stay together": all(sorted(groups) == sorted(before) for groups in after),
            "no picture keeps one of its captions": not any(own),
            "the same seed gives the same order": again == after,
            "another seed gives another order": any(groups != after[0] for groups in after),
        }
    )


def _captions_by_picture(examples: Examples) -> list[list[tuple]]:
    """For each picture its captions, as sorted tuples of indices."""
    captions = np.split(np.asarray(examples.captions.matrix), np.asarray(examples.captions.first)[1:-1])
    return [sorted(map(tuple, rows.tolist())) for rows in captions]


def _control_cases(rng: np.random.Generator) -> Cases:
    sizes = {
        "five captions per picture": [5] * 6,
        "pictures with different numbers of captions": [1, 4, 2, 3, 1, 2],
        "three pictures": [2, 2, 2],
        "random numbers of captions": rng.integers(1, 5, size=9).tolist(),
    }
    embeds = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    return {name: (Examples(embeds[: len(each)], _toy_captions(each)),) for name, each in sizes.items()}


EXERCISES = (
    Exercise(build_decoder, _decoder_cases, properties_of_decoder),
    Exercise(generate_batch, _batch_cases, properties_of_batches),
    Exercise(masked_crossentropy, _loss_cases, loss_of),
    Exercise(training_step, _training_cases, trained),
    Exercise(shuffle_images, _control_cases, properties_of_control),
)
