"""Runs networks with OpenVINO, which starts in a tenth of a second, while TensorFlow takes several seconds.

Unless bfloat16 is asked for, it computes with 32-bit floats, even on processors where it would choose 16 bits by
itself, so that the results are those of Keras.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_folder, atomic_path, read_note, slug, write_json

if TYPE_CHECKING:  # running a network does not need Keras, which starts slowly
    import keras
    import openvino


TOLERANCE = 1e-3
"""How far an export's results may be from Keras', relative to the largest number."""

OTHER_NUMBERS = "OpenVINO gives other numbers than Keras"
"""Why there is no export of a network whose results are farther off."""


def openvino_is_installed() -> bool:
    """Whether OpenVINO is installed; the course also works without it."""
    return find_spec("openvino") is not None


def import_openvino() -> ModuleType:
    """Import OpenVINO without its converter, which takes as long to import as the rest, and without the usage
    statistics that the converter would send without asking.
    """
    if sys.modules.get("openvino_telemetry"):  # OpenVINO was imported before: its converter is imported anew
        for name in [name for name in sys.modules if name.startswith(("openvino.tools", "openvino_telemetry"))]:
            del sys.modules[name]
    # None makes an import fail, which OpenVINO and its converter allow for.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    is_new = "openvino" not in sys.modules
    if is_new:
        sys.modules["openvino.tools.ovc"] = None  # type: ignore[assignment]
    import openvino

    if is_new:
        del sys.modules["openvino.tools.ovc"]
    return openvino


def has_bfloat16() -> bool:
    """Whether the processor computes with bfloat16, 16 bits with the exponents of 32, which is much faster."""
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def export_network(model: keras.Model, path: Path) -> None:
    """Write a Keras model in OpenVINO's format: `path`, which ends with .xml, and its weights beside it."""
    from say_what_you_see.core.backend import suppress_stderr

    openvino = import_openvino()
    from openvino.tools.ovc import convert_model

    setattr(openvino, "convert_model", convert_model)  # noqa: B010  where Keras looks for it
    with suppress_stderr():
        model.export(str(path), format="openvino", verbose=False)


def export_once(
    note_path: Path, note: dict[str, Any], export: Callable[[Path], str | None], announcement: str, otherwise: str
) -> str | None:
    """Make the folder of an export unless that failed before, and say so on standard error.

    Args:
        note_path: the file in that folder that will say what the export is, or why there is none.
        note: what the export is made from. If it fails, it is tried again only with something else.
        export: writes the export, its note included, into a folder and checks it; returns what is wrong with it.
        announcement: said before.
        otherwise: said if there will be none, "{}" standing for the reason.

    Returns:
        Why there is none; None if there is one.
    """
    before = read_note(note_path)
    if "failed" in before and note.items() <= before.items():
        return before["failed"]
    print(announcement, file=sys.stderr)
    try:
        with atomic_folder(note_path.parent) as staging:
            try:
                reason = export(staging)
            except (CourseError, OSError):
                raise
            except Exception as error:  # OpenVINO's have no class in common
                reason = f"OpenVINO cannot run it: {type(error).__name__}"
            if reason:
                shutil.rmtree(staging)
                write_json({**note, "failed": reason}, staging / note_path.name)
    except (CourseError, OSError) as error:  # a full disk, say: it may succeed another time
        reason = str(error)
    if reason:
        print(otherwise.format(reason), file=sys.stderr)
    return reason


def agree(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Whether an export gives Keras' numbers; False if some of them are not numbers."""
    return bool(np.abs(actual - expected).max() <= TOLERANCE * np.abs(expected).max())


_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
_OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
_IN_PARALLEL = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}


def compiled_network(path: Path) -> Callable[..., list[np.ndarray]]:
    """The network of an .xml file as a function, from all inputs in order to all outputs; the folder `compiled` beside
    the file keeps what OpenVINO has compiled, so that it starts sooner the next time.
    """
    options = {**_OPTIONS, "CACHE_DIR": str(path.with_name("compiled"))}
    compiled = import_openvino().Core().compile_model(path, "CPU", options)
    return lambda *arrays: [np.array(output) for output in compiled(list(arrays)).to_tuple()]


class ParallelNetwork:
    """A network with one input and one output that works on several images at once.

    Each image is computed by one core or a few, which do not wait for others, instead of by all cores together:
    OpenVINO calls this throughput. The result for an image does not depend on the others.
    """

    @classmethod
    def exported(cls, path: Path, input_shape: tuple[int, ...], precision: str = "float32") -> ParallelNetwork:
        """Load a network from an .xml file.

        Args:
            input_shape: the shape of one image, (height, width, 3).
            precision: what it computes in, "float32" or "bfloat16".
        """
        core = import_openvino().Core()
        model = core.read_model(path)
        model.reshape([1, *input_shape])
        options = {**_IN_PARALLEL, "INFERENCE_PRECISION_HINT": _PRECISIONS[precision]}
        return cls(core.compile_model(model, "CPU", options))

    @classmethod
    def described(cls, describe: Callable[[], openvino.Model], kept: Path) -> ParallelNetwork:
        """Load a network that was compiled before, or else compile it from its description and keep it.

        Args:
            describe: returns a network for one image.
            kept: the path after which the compiled file is named; its folder may be read-only.
        """
        openvino = import_openvino()
        core, path = openvino.Core(), kept.with_name(f"{kept.name}_parallel_{slug(openvino.__version__)}.blob")
        try:
            return cls(core.import_model(path.read_bytes(), "CPU", _IN_PARALLEL))
        except (OSError, RuntimeError):  # it is not there, or damaged
            compiled = core.compile_model(describe(), "CPU", _IN_PARALLEL)
        with suppress(CourseError, OSError), atomic_path(path) as partial:
            partial.write_bytes(compiled.export_model().getvalue())
        return cls(compiled)

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._free: SimpleQueue = SimpleQueue()
        for _ in range(count):
            self._free.put(compiled.create_infer_request())
        self._pool = ThreadPoolExecutor(count)
        # The first call initialises something in OpenVINO's bindings, and two at once can deadlock.
        self._compute(np.zeros(compiled.input(0).shape[1:], dtype="float32"))

    def submit(self, images: Iterable[np.ndarray]) -> list[Future]:
        """Start computing images, (height, width, 3); each one's future holds its result, or its error."""
        return [self._pool.submit(self._compute, image) for image in images]

    def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """The results for images, (n, ...)."""
        return np.stack([future.result() for future in self.submit(images)])

    def _compute(self, image: np.ndarray) -> np.ndarray:
        request = self._free.get()
        try:
            return request.infer([np.ascontiguousarray(image[None])], share_inputs=True)[0][0]
        finally:
            self._free.put(request)
