"""How fast, and how fast it could be: fair timing, the limits of a machine, the operations that a network needs."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras

ops = keras.ops


def time_in_turns(functions: Mapping[str, Callable[[], Any]], rounds: int = 5) -> dict[str, float]:
    """Time several functions that do the same work, in a fair way: in turn, round after round.

    A computer is slower when it is busy with something else, or when it is hot. Taking turns, all are affected alike.
    The first call of each, which compiles and fills caches, does not count.

    Args:
        functions: functions without arguments, by name.

    Returns:
        The median time of each in seconds.
    """
    for function in functions.values():
        function()
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def peak_gflops(side: int = 2048, rounds: int = 15) -> float:
    """The most floating-point operations per second that this machine reaches, in 10**9.

    Measured with the product of two matrices of 32-bit floats, the work that processors do best: for two matrices
    (side, side) it takes side**3 multiplications and as many additions. It runs on the device that Keras uses.
    """
    left, right = (ops.convert_to_tensor(matrix) for matrix in np.random.default_rng(0).random((2, side, side), "f"))
    multiply = lambda: ops.convert_to_numpy(ops.matmul(left, right))  # noqa: E731  waits for the result
    return 2 * side**3 / shortest_time(multiply, rounds) / 1e9


def memory_bandwidth(megabytes: int = 256, rounds: int = 7) -> float:
    """The most bytes per second that this machine moves between memory and processor, in 10**9.

    Measured by copying an array that is too large for any cache: each of its bytes is read once and written once.
    """
    source = np.ones(megabytes * 250_000, dtype=np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / shortest_time(lambda: np.copyto(target, source), rounds) / 1e9


def shortest_time(function: Callable[[], Any], rounds: int) -> float:
    """The seconds of the fastest of several calls: right for limits, which no accident can make look better."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def count_operations(model: Any, steps: int = 1) -> dict[str, int]:
    """Count the multiplications and additions that each layer of a Keras model needs for one example.

    A layer moves its kernels over all positions of its output (pixels, words), and at each of them every number of a
    kernel is multiplied once and added once. What has no kernel, such as activations, is negligible and left out.

    Args:
        model: a functional model, built; models inside it are counted layer by layer.
        steps: the length of sequences, where the model leaves it open.

    Returns:
        The operations by name of layer, for layers with kernels, in the model's order.
    """
    operations = {}
    for layer in model.layers:
        if hasattr(layer, "layers"):
            operations |= {f"{layer.name}/{name}": count for name, count in count_operations(layer, steps).items()}
            continue
        numbers = sum(math.prod(weight.shape) for weight in layer.weights if "kernel" in weight.name)
        if numbers:
            shape = _positions(layer)
            operations[layer.name] = 2 * numbers * math.prod(steps if length is None else length for length in shape)
    return operations


def count_bytes(model: Any, examples: int = 1, steps: int = 1) -> int:
    """Count the bytes that must come from memory and go to it when a Keras model runs.

    Counted are each weight, once for the whole batch, and for each example what layers with kernels read and write; of
    an embedding, only the rows of the words. What fits into the processor's caches may never reach the memory, so it
    can also be less.

    Args:
        model: a functional model, built, without models inside.
        examples: how many go through it at once.
        steps: the length of sequences, where the model leaves it open.
    """
    numbers = 0
    for layer in model.layers:
        is_table = isinstance(layer, keras.layers.Embedding)
        numbers += 0 if is_table else sum(math.prod(weight.shape) for weight in layer.weights)
        if is_table or any("kernel" in weight.name for weight in layer.weights):
            for tensor in [*_tensors(layer.input), *_tensors(layer.output)]:
                numbers += examples * math.prod(steps if length is None else length for length in tensor.shape[1:])
    return 4 * numbers


def _positions(layer: Any) -> tuple[int | None, ...]:
    """The positions over which a layer moves its kernels; a recurrent layer reads its input word by word."""
    tensors = _tensors(layer.input if hasattr(layer, "cell") else layer.output)
    return tensors[0].shape[1:-1]


def _tensors(given: Any) -> list[Any]:
    """A layer's inputs or outputs as a flat list: recurrent layers have states as well."""
    return [given] if hasattr(given, "shape") else [tensor for part in given for tensor in _tensors(part)]
