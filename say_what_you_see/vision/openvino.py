"""Runs networks with OpenVINO, which is there in a tenth of a second, where TensorFlow takes several seconds.

Numbers are 32-bit floats throughout, also on processors where OpenVINO would choose 16 bits by itself: the results
are to be those of Keras.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # for Keras nobody should wait who only runs a network
    import keras


def openvino_is_installed() -> bool:
    """Whether OpenVINO is installed; the course does without it, too."""
    return find_spec("openvino") is not None


def import_openvino() -> ModuleType:
    """OpenVINO, without the statistics that its converter would send over the network without asking."""
    sys.modules.setdefault("openvino_telemetry", None)  # cannot be imported then; the converter does without
    import openvino

    return openvino


def export_network(model: keras.Model, path: Path) -> None:
    """Write a Keras model in OpenVINO's format: `path`, which ends with .xml, and its weights beside it."""
    from say_what_you_see.core.backend import suppress_stderr

    import_openvino()
    with suppress_stderr():
        model.export(str(path), format="openvino", verbose=False)


class Network:
    """A network that was exported.

    Args:
        path: of the .xml file.
        cache: folder in which OpenVINO keeps what it has compiled, so that it starts quicker the next time.
    """

    def __init__(self, path: Path, cache: Path | None = None) -> None:
        core, options = import_openvino().Core(), {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if cache is not None:
            options["CACHE_DIR"] = str(cache)
        self._compiled = core.compile_model(path, "CPU", options)
        self._outputs = self._compiled.outputs

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """All outputs, from all inputs in their order."""
        results = self._compiled(list(arrays))
        return [np.array(results[output]) for output in self._outputs]


class ParallelNetwork:
    """A network that was exported, with one input and one output, that works on several pictures at once.

    Each picture is computed by few cores or one, which wait for nobody, instead of all of them sharing one picture:
    OpenVINO calls it throughput. What becomes of a picture does not depend on those beside it.

    Args:
        path: of the .xml file.
        input_shape: of one picture, (height, width, 3).
        precision: of the numbers; "bf16" is for measuring what it would bring, the course always computes in "f32".
    """

    def __init__(self, path: Path, input_shape: tuple[int, ...], precision: str = "f32") -> None:
        core = import_openvino().Core()
        model = core.read_model(path)
        model.reshape([1, *input_shape])
        options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
        compiled = core.compile_model(model, "CPU", options)
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._free: SimpleQueue = SimpleQueue()
        for _ in range(count):
            self._free.put(compiled.create_infer_request())
        self._pool = ThreadPoolExecutor(count)

    def submit(self, pictures: np.ndarray) -> list[Future]:
        """Have pictures computed, (n, height, width, 3); the future of each row holds its result, and any error."""
        return [self._pool.submit(self._compute, picture) for picture in pictures]

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """The results of pictures, (n, ...)."""
        return np.stack([future.result() for future in self.submit(pictures)])

    def _compute(self, picture: np.ndarray) -> np.ndarray:
        request = self._free.get()
        try:
            return request.infer([np.ascontiguousarray(picture[None])], share_inputs=True)[0][0]
        finally:
            self._free.put(request)
