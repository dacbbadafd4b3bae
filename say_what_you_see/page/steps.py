"""A caption with the steps that led to it: the probabilities of each word, and where the model looked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.probabilities import apply_temperature, softmax
from say_what_you_see.decoding.samplers import Sampler, Sampling, special_tokens
from say_what_you_see.language.captions import END, START, invert_vocabulary
from say_what_you_see.models.step import StepModel
from say_what_you_see.serving.caption_photos import doubts_of, sentences_with_probabilities

if TYPE_CHECKING:  # a quick captioner does not need Keras
    from say_what_you_see.serving.captioner import Captioner
    from say_what_you_see.serving.fast_captioner import FastCaptioner

LIKELY_WORDS = 5
"""The number of most probable words that are shown at each step."""


@dataclass(frozen=True)
class DemoModel:
    """A model to try."""

    name: str  # what people read
    captioner: Captioner | FastCaptioner  # what captions pictures
    # from features (1, ...), the words of a caption (1, steps) and the index of START to where the model looked for
    # each word, (1, steps, rows, columns); None for models without attention
    attention: Callable[[np.ndarray, np.ndarray, int], np.ndarray] | None = None


@dataclass(frozen=True)
class Step:
    """The choice of one word."""

    word: str  # the chosen one; "END" for the end
    probability: float  # with which it was chosen
    # the most probable words with their probabilities, the chosen one always among them
    likely: list[tuple[str, float]]


@dataclass(frozen=True)
class ExplainedCaption:
    """A caption and how it came about."""

    captions: list[tuple[str, float]]  # sentence and probability, the best first; more than one after beam search
    finished: bool  # whether the best one came to its END
    steps: list[Step]  # the choice of each word of the best one
    # where the model looked at each step, (steps, rows, columns); None for models without attention
    attention: np.ndarray | None = None
    doubts: list[str] = field(default_factory=list)  # the reasons to doubt the best one


def explain_caption(
    model: DemoModel, features: np.ndarray, sampler: Sampler, rng: np.random.Generator | None = None
) -> ExplainedCaption:
    """Caption one picture, then read the caption once more to see each step.

    Args:
        features: of one picture, (1, ...).
    """
    step_model, vocab = model.captioner.model, model.captioner.vocab
    generated = generate(step_model, features, vocab, sampler, rng)
    best, finished = generated.indices[0, 0], bool(generated.finished[0, 0])
    emitted = best[: int(np.argmax(best == vocab[END])) + 1] if finished else best
    temperature = sampler.temperature if isinstance(sampler, Sampling) else 1.0
    steps = caption_steps(step_model, features, emitted, vocab, temperature)
    attention = None
    if model.attention is not None:
        attention = model.attention(features, best[None], vocab[START])[0, : len(emitted)]
    doubts = doubts_of(model.captioner, features, generated, sampler)[0] or []
    return ExplainedCaption(sentences_with_probabilities(generated, vocab)[0], finished, steps, attention, doubts)


def caption_steps(
    model: StepModel, features: np.ndarray, emitted: Sequence[int], vocab: dict[str, int], temperature: float
) -> list[Step]:
    """The probabilities from which each word of a caption was chosen.

    Args:
        features: of one picture, (1, ...).
        emitted: the caption's words, and END where it has one.
        temperature: that sharpened or flattened the model's probabilities.
    """
    words = list(invert_vocabulary(vocab))
    words[vocab[END]] = "END"
    state, word, steps = model.start(features), vocab[START], []
    for chosen in map(int, emitted):
        logits, state = model.step(np.array([word]), state)
        probabilities = softmax(logits)[0].astype(np.float64)
        probabilities[list(special_tokens(vocab).suppressed)] = 0  # never said
        probabilities = apply_temperature(probabilities, temperature) if temperature != 1 else probabilities
        shown = dict.fromkeys([*probabilities.argsort()[::-1][:LIKELY_WORDS].tolist(), chosen])
        likely = [(words[index], float(probabilities[index])) for index in shown]
        steps.append(Step(words[chosen], float(probabilities[chosen]), likely))
        word = chosen
    return steps
