"""What the decoding stages work on: a decoder of the default sizes for COCO's vocabulary, and features.

Its weights are drawn at random, except for one unit of the LSTM: a clock, which starts from the picture, ticks with
every word, and raises the score of END. So captions differ in length and end as COCO's do, after 10.5 words on average
(standard deviation 2.1). The probabilities of words are as peaked as a trained decoder's, so that beams compete. Which
words they are makes no difference to the work.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stage import Repetition, Sample
from say_what_you_see.language.captions import END, PAD, START, UNK

MAX_LEN, BEAMS = 20, 3
ONE_BY_ONE = 8  # how many images are captioned one after another where a stage is about single images

FULL = {"vocab_size": 8769, "feature_size": 2048}
SMALL = {"vocab_size": 90, "feature_size": 16, "image_bottleneck": 12, "word_size": 10, "lstm_units": 30,
         "logit_bottleneck": 12}  # fmt: skip
"""Arguments for `build_decoder`."""

SCALES = {"lstm/lstm_cell/kernel": 1.5, "logit_bottleneck/kernel": 2.0, "logits/kernel": 9.0}
"""The scales of kernels, relative to those that keep the size of the numbers that pass through."""

TICK, SPREAD, SLOPE = 0.05, 1.6, 150.0
"""The clock's step per word and its spread between pictures; and how END's score rises with it, within a few words."""

END_BIAS = {FULL["vocab_size"]: -87.5, SMALL["vocab_size"]: -82.0}
"""END's bias by the size of the vocabulary, which gives greedy captions the right length."""


def make_work(folder: Path, small: bool) -> dict:
    """Write the decoder, as a Keras file and as weights by their paths, and features (images, features)."""
    from say_what_you_see.models.bottleneck_lstm import build_decoder

    sizes, rng = SMALL if small else FULL, np.random.default_rng(0)
    decoder = build_decoder(**sizes)
    weights = draw_weights(decoder, rng)
    decoder.set_weights(list(weights.values()))
    decoder.save(folder / "decoder.keras")
    np.savez(folder / "weights.npz", **weights)
    features = rng.normal(size=(4 if small else 256, sizes["feature_size"]))
    np.save(folder / "features.npy", features.astype("float32"))
    return {"folder": str(folder), "words": sizes["vocab_size"]}


def draw_weights(decoder: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The weights of a decoder by their paths, in Keras' order: kernels drawn at random, biases 0, and the clock."""
    weights = {weight.path: np.array(weight) for weight in decoder.weights}
    for path, value in weights.items():
        if path.endswith("bias"):
            value[:] = 0
        elif value.ndim == 2:
            inputs = 1 if path == "word_embedding/embeddings" else len(value)
            value[:] = rng.normal(size=value.shape) * SCALES.get(path, 1.0) / np.sqrt(inputs)
    _wind_the_clock(weights)
    return weights


def _wind_the_clock(weights: dict[str, np.ndarray]) -> None:
    """Make the LSTM's first unit start from the picture and add TICK with every word, and END's score follow it."""
    direction = weights["initial_state/kernel"][:, 0]
    direction *= TICK * SPREAD / (0.6 * np.linalg.norm(direction))  # elu halves the spread of negative numbers
    weights["initial_state/bias"][0] = 0.3
    units = len(weights["initial_state/bias"])
    for name in ("kernel", "recurrent_kernel"):
        weights[f"lstm/lstm_cell/{name}"][:, ::units] = 0
    # input gate, forget gate, candidate, output gate
    weights["lstm/lstm_cell/bias"][::units] = [10, 10, np.arctanh(TICK), 10]
    weights["logit_bottleneck/kernel"][:, 0] = np.eye(units)[0]
    logits, bias = weights["logits/kernel"], weights["logits/bias"]
    end = vocabulary(len(bias))[END]
    logits[0] = logits[:, end] = 0
    logits[0, end] = SLOPE
    bias[end] = END_BIAS[len(bias)]


def vocabulary(size: int) -> dict[str, int]:
    """A vocabulary of this size, from words to indices."""
    words = [PAD, UNK, START, END, *(f"word{number}" for number in range(size))]
    return {word: index for index, word in enumerate(words[:size])}


def step_model(work: dict) -> Any:
    """The decoder as the course's Keras model that predicts a word at a time."""
    from say_what_you_see.core.keras_files import load_keras_file
    from say_what_you_see.models.bottleneck_lstm import decoder_step_model

    return decoder_step_model(load_keras_file(Path(work["folder"], "decoder.keras")))


def repetition(search: Callable[[np.ndarray], np.ndarray], work: dict, kind: str) -> Repetition:
    """Search for captions of all images together or, for "greedy_one", of a few images one after another.

    `search` goes from features (images, features) to the log-probabilities of the captions, (images,).
    """
    features = np.load(Path(work["folder"], "features.npy"))
    batches = np.split(features[:ONE_BY_ONE], len(features[:ONE_BY_ONE])) if kind == "greedy_one" else [features]

    def repeat() -> Sample:
        log_probabilities = np.concatenate([search(batch) for batch in batches])
        return Sample(len(log_probabilities), log_probabilities.tolist())

    return repeat
