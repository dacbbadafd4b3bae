"""What the stages of decoding work on: a decoder of the default sizes for COCO's vocabulary, and features.

Its weights are drawn at random, but for one unit of the LSTM: a clock, which starts from the picture, ticks with every
word, and raises the score of END. So captions end as COCO's do, after 10.5 words on average (standard deviation 2.1),
and differ in length. Words are as peaked as a trained decoder's, so that beams compete. What the words are makes no
difference to the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.stage import Repetition, Sample
from say_what_you_see.decoding.samplers import SpecialTokens, special_tokens
from say_what_you_see.language.captions import END, PAD, START, UNK
from say_what_you_see.models.numpy_decoder import LSTM, Dense, NumpyDecoder, elu, linear

MAX_LEN, BEAMS = 20, 3
ONE_BY_ONE = 8
"""So many images are captioned one after another where the stage is about one image."""
FULL = {"words": 8769, "features": 2048, "image": 120, "word": 100, "units": 300, "logit": 120, "pictures": 256}
SMALL = {"words": 90, "features": 16, "image": 12, "word": 10, "units": 30, "logit": 12, "pictures": 4}
TICK, SPREAD, SLOPE = 0.05, 1.6, 150.0
"""Of the clock, per word and between pictures; and of END's score by it: improbable to certain within a few words."""
END_BIAS = {FULL["words"]: -86.6, SMALL["words"]: -101.2}
"""END's bias by the size of the vocabulary, with which greedy captions have the length that they should."""


def make_work(folder: Path, small: bool) -> dict:
    """Write `weights.npz`, by names of Keras' layers, and `features.npy`; returns where they are, and the sizes."""
    sizes = SMALL if small else FULL
    rng = np.random.default_rng(0)
    weights = draw_weights(sizes, rng, lstm=1.5, logit_bottleneck=2.0, logits=9.0)
    _wind_the_clock(weights, sizes["units"], vocabulary(sizes["words"])[END])
    features = rng.normal(size=(sizes["pictures"], sizes["features"])).astype("float32")
    np.savez(folder / "weights.npz", **weights)
    np.save(folder / "features.npy", features)
    return {"weights_file": str(folder / "weights.npz"), "features_file": str(folder / "features.npy"), **sizes}


class DecoderWork(NamedTuple):
    """Weights by name, features (images, features), and the special tokens."""

    weights: dict[str, np.ndarray]
    features: np.ndarray
    tokens: SpecialTokens


def read_work(work: dict) -> DecoderWork:
    """Read what `make_work` wrote."""
    weights, features = dict(np.load(work["weights_file"])), np.load(work["features_file"])
    return DecoderWork(weights, features, special_tokens(vocabulary(work["words"])))


def repetition(search: Callable[[np.ndarray], np.ndarray], features: np.ndarray, kind: str) -> Repetition:
    """Search captions of all images together, or, for "greedy_one", of a few, one after another.

    `search` goes from features (images, features) to the log-probabilities of the captions, (images,).
    """
    few = range(min(ONE_BY_ONE, len(features)))
    batches = [features[row : row + 1] for row in few] if kind == "greedy_one" else [features]

    def repeat() -> Sample:
        log_probabilities = np.concatenate([search(batch) for batch in batches])
        return Sample(len(log_probabilities), log_probabilities.tolist())

    return repeat


def vocabulary(size: int) -> dict[str, int]:
    """Word to index, as large as asked for."""
    words = [PAD, UNK, START, END, *(f"word{number}" for number in range(size))]
    return {word: index for index, word in enumerate(words[:size])}


def draw_weights(sizes: dict[str, int], rng: np.random.Generator, **scales: float) -> dict[str, np.ndarray]:
    """Weights of `build_decoder`: of each layer "name/0", "name/1" and so on, in Keras' order.

    `scales` of kernels are relative to what keeps the size of numbers as it is.
    """
    units, words = sizes["units"], sizes["words"]
    shapes = {
        "image_bottleneck": (sizes["features"], sizes["image"]), "initial_state": (sizes["image"], units),
        "lstm": (sizes["word"], 4 * units), "logit_bottleneck": (units, sizes["logit"]),
        "logits": (sizes["logit"], words),
    }  # fmt: skip
    weights = {"word_embedding/0": rng.normal(size=(words, sizes["word"])) * scales.get("word_embedding", 1.0)}
    for name, (inputs, outputs) in shapes.items():
        weights[f"{name}/0"] = rng.normal(size=(inputs, outputs)) * scales.get(name, 1.0) / np.sqrt(inputs)
        weights[f"{name}/{2 if name == 'lstm' else 1}"] = np.zeros(outputs)
    weights["lstm/1"] = rng.normal(size=(units, 4 * units)) / np.sqrt(units)
    return {name: array.astype("float32") for name, array in weights.items()}


def _wind_the_clock(weights: dict[str, np.ndarray], units: int, end: int) -> None:
    """Make the LSTM's first unit add TICK with every word to where the picture let it start, and END heed it."""
    direction = weights["initial_state/0"][:, 0]
    direction *= TICK * SPREAD / (0.6 * np.linalg.norm(direction))  # elu halves the spread of what is negative
    weights["initial_state/1"][0] = 0.3
    for name in ("lstm/0", "lstm/1"):
        weights[name][:, ::units] = 0
    weights["lstm/2"][::units] = [10, 10, np.arctanh(TICK), 10]  # input gate, forget gate, candidate, output gate
    weights["logit_bottleneck/0"][:, 0] = np.eye(units)[0]
    weights["logits/0"][0] = 0
    weights["logits/0"][:, end] = SLOPE * np.eye(len(weights["logits/0"]))[0]
    weights["logits/1"][end] = END_BIAS[len(weights["logits/1"])]


def numpy_decoder(weights: dict[str, np.ndarray]) -> NumpyDecoder:
    """The decoder without a framework."""

    def dense(name: str, activation: Callable[[np.ndarray], np.ndarray] = elu) -> Dense:
        return Dense(weights[f"{name}/0"], weights[f"{name}/1"], activation)

    lstm = LSTM(*(weights[f"lstm/{part}"] for part in range(3)))
    start, output = ("image_bottleneck", "initial_state"), [dense("logit_bottleneck"), dense("logits", linear)]
    return NumpyDecoder([dense(name) for name in start], weights["word_embedding/0"], lstm, output)


def course_decoder(sizes: Mapping[str, int], weights: Mapping[str, np.ndarray]) -> Any:
    """The course's decoder of these sizes, with these weights; what has none stays as it is."""
    from say_what_you_see.models.bottleneck_lstm import build_decoder

    decoder = build_decoder(*(sizes[name] for name in ("words", "features", "image", "word", "units", "logit")))
    for layer in decoder.layers:
        if f"{layer.name}/0" in weights:
            layer.set_weights([weights[f"{layer.name}/{part}"] for part in range(len(layer.weights))])
    return decoder
