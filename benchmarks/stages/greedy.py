"""Greedy decoding, decoder only: features in, captions out; one picture after another, and many together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.decoder_work import MAX_LEN, course_decoder, make_work, numpy_decoder, vocabulary
from benchmarks.peers.decoding import read_work, search_all, search_one_by_one
from benchmarks.stage import Contender, Goal, Sample, Stage
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import Greedy, Sampler

_HERE, _PEERS = "benchmarks.stages.greedy", "benchmarks.peers"


def course_search(work: dict, sampler: Sampler, plain: bool = False) -> Callable:
    """`say_what_you_see.decoding.generate.generate` with the decoder of notebook 04.

    Args:
        plain: take the steps with Keras, also where NumPy makes the same numbers faster.
    """
    from say_what_you_see.decoding.generate import generate
    from say_what_you_see.models.bottleneck_lstm import decoder_step_model

    weights, vocab = read_work(work).weights, vocabulary(work["words"])
    model = decoder_step_model(course_decoder(work, weights))
    if plain:
        model.fastest = lambda: model

    def search(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = generate(model, features, vocab, sampler)
        return found.indices[:, 0], found.log_probabilities[:, 0]

    return search


def exported_search(work: dict, sampler: Sampler) -> Callable:
    """The search of an exported captioner: no framework is imported."""
    decoder, vocab = numpy_decoder(read_work(work).weights), vocabulary(work["words"])

    def search(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = generate(decoder, features, vocab, sampler)
        return found.indices[:, 0], found.log_probabilities[:, 0]

    return search


def course_one(work: dict) -> Callable[[], Sample]:
    """The course, one picture after another."""
    return search_one_by_one(course_search(work, Greedy(MAX_LEN)), read_work(work).features, rounds=10)


def exported_one(work: dict) -> Callable[[], Sample]:
    """An exported captioner, one picture after another."""
    return search_one_by_one(exported_search(work, Greedy(MAX_LEN)), read_work(work).features, rounds=10)


def plain_one(work: dict) -> Callable[[], Sample]:
    """The course with steps by Keras, one picture after another."""
    return search_one_by_one(course_search(work, Greedy(MAX_LEN), plain=True), read_work(work).features, rounds=2)


def course_many(work: dict) -> Callable[[], Sample]:
    """The course, all pictures together."""
    return search_all(course_search(work, Greedy(MAX_LEN)), read_work(work).features, rounds=2)


def exported_many(work: dict) -> Callable[[], Sample]:
    """An exported captioner, all pictures together."""
    return search_all(exported_search(work, Greedy(MAX_LEN)), read_work(work).features, rounds=2)


def plain_many(work: dict) -> Callable[[], Sample]:
    """The course with steps by Keras, all pictures together."""
    return search_all(course_search(work, Greedy(MAX_LEN), plain=True), read_work(work).features, rounds=2)


PEERS = {"predict": "Keras predict per word", "tf_function": "tf.function per word", "torch": "PyTorch loop"}
_MODULES = {"predict": "keras_predict", "tf_function": "tf_function", "torch": "torch_decoder"}


def contenders(module: str, suffix: str) -> tuple[Contender, ...]:
    """The course in all its forms, and its peers; their functions end alike.

    Args:
        module: where the course's functions are, "course_one" and so on.
        suffix: how the functions end: "one", "many".
    """
    kind = "greedy" if module.endswith("greedy") else "beam"
    jax, torch = ({"KERAS_BACKEND": name} for name in ("jax", "torch"))
    return (
        Contender("course", "the course: generate", f"{module}:course_{suffix}"),
        Contender("exported", "the course: exported captioner", f"{module}:exported_{suffix}"),
        Contender("plain", "the course: generate, steps by Keras", f"{module}:plain_{suffix}"),
        Contender("jax", "the same on JAX", f"{module}:plain_{suffix}", "backend", ("jax",), jax),
        Contender("on_torch", "the same on PyTorch", f"{module}:plain_{suffix}", "backend", ("torch",), torch),
        *(
            Contender(key, title, f"{_PEERS}.{_MODULES[key]}:{kind}_{suffix}", "peer", ("torch",) * (key == "torch"))
            for key, title in PEERS.items()
        ),
    )


STAGES = (
    Stage(
        name="greedy_one", title="Greedy decoding, decoder only, one picture at a time", unit="captions/s",
        make_work=make_work, contenders=contenders(_HERE, "one"),
        goals=(
            Goal("course", 2.0, "generate 2 x the best peer", tuple(PEERS)),
            Goal("exported", 2.0, "exported 2 x the best peer", tuple(PEERS)),
        ),
        agreement=1e-3,
    ),
    Stage(
        name="greedy_many", title="Greedy decoding, decoder only, 256 pictures", unit="captions/s",
        make_work=make_work, contenders=contenders(_HERE, "many"),
        goals=(Goal("course", 1.3, "1.3 x the best peer", tuple(PEERS)),), agreement=1e-3,
    ),
)  # fmt: skip
