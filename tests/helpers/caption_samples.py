"""A tiny language, pictures whose features decide their captions, and tiny decoders, for tests."""

import itertools
from pathlib import Path

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.files import read_json, sha256_of, write_json
from say_what_you_see.language.captions import PAD, caption_tokens_to_indices, generate_vocabulary, pack_captions
from say_what_you_see.models.bottleneck_lstm import build_decoder
from say_what_you_see.training.examples import Examples

COLOURS, THINGS = ("red", "blue", "green"), ("ball", "kite", "fish")
KINDS = list(itertools.product(COLOURS, THINGS))
CAPTIONS = [[f"A {colour} {thing}.", f"There is a {colour} {thing}"] for colour, thing in KINDS]
VOCAB = generate_vocabulary(CAPTIONS, min_count=1)
FEATURES = len(COLOURS) + len(THINGS)
ENCODER = {"name": "tiny", "weights": "random ones", "weights_checksum": "0" * 64, "input_shape": [24, 24],
           "pictures_kind": "scenes", "encoder_setting": "inception_v3"}  # fmt: skip
"""What a model folder says of an encoder."""


def toy_examples(count: int, seed: int = 0, scale: float = 1.0, offset: float = 0.0) -> Examples:
    """Pictures of coloured things, as examples: features (count, 6) show colour and thing, with some noise."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(len(KINDS), size=count)
    shown = np.concatenate([np.eye(3)[kinds // 3], np.eye(3)[kinds % 3]], axis=1)
    features = (shown + rng.normal(0, 0.1, shown.shape)) * scale + offset
    indexed = caption_tokens_to_indices([CAPTIONS[kind] for kind in kinds], VOCAB)
    return Examples(features.astype(np.float32), pack_captions(indexed, VOCAB[PAD]))


def tiny_decoder(seed: int = 0, dropout: float = 0.0, vocab_size: int = len(VOCAB)) -> keras.Model:
    """A decoder of a few hundred parameters."""
    keras.utils.set_random_seed(seed)
    return build_decoder(vocab_size, FEATURES, 12, 8, 16, 12, dropout)


def opinionated(model: keras.Model, seed: int = 0, spread: float = 1.2) -> keras.Model:
    """A model with random weights, so large that its predictions differ clearly."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [w if w.ndim < 2 else rng.normal(0, spread, w.shape).astype(np.float32) for w in model.get_weights()]
    )
    return model


def opinionated_decoder(seed: int = 0) -> keras.Model:
    return opinionated(tiny_decoder(seed), seed)


def scores_by_hand(decoder: keras.Model, examples: Examples, max_len: int | None = None) -> dict[str, float]:
    """Loss and accuracy of the next word over all real words, computed caption by caption with NumPy."""
    crossentropies, right = [], []
    for caption, picture in zip(examples.captions.matrix, examples.captions.image_of_caption(), strict=True):
        words = caption[caption != VOCAB[PAD]][:max_len].astype(int)
        logits = decoder.predict_on_batch([examples.image_embeds[picture][None], words[None, :-1]])[0]
        shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        crossentropies += (-np.log(shares[np.arange(len(words) - 1), words[1:]])).tolist()
        right += (logits.argmax(axis=-1) == words[1:]).tolist()
    return {"loss": float(np.mean(crossentropies)), "accuracy": float(np.mean(right))}


def fit_checksums(folder: Path) -> None:
    """Let a model folder belong to its parts again, as who changes them can."""
    facts = read_json(folder / "model.json")
    facts["checksums"] = {part: sha256_of(folder / part) for part in facts["checksums"]}
    write_json(facts, folder / "model.json")


def write_tiny_encoder(path: Path, seed: int = 0, side: int = 24, filters: int = 8) -> Path:
    """An encoder of a few random filters for small pictures."""
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    convolution = layers.Conv2D(filters, 5, strides=3, activation="relu")
    keras.Sequential([layers.Input((side, side, 3)), layers.Rescaling(1 / 255), convolution]).save(path)
    return path
